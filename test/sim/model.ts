/**
 * What the state must be, worked out the plain way: from all events of a log at once, in no order, keeping all of them.
 * It shares no code with the fold that it judges.
 */
import type { Event, EventId, Incarnation, Side } from "../../core/event.ts";
import { tagged, taggedSlot } from "./versions.ts";

/** What a slot must hold. */
export interface ModelSlot {
  readonly cloud: Event | undefined;
  readonly node: Event | undefined;
  /** The event that its value is read from; of concurrent ones the later, and the cloud's where both are as late. */
  readonly winner: Event | undefined;
  /** Whether both sides have said something, and neither knew of the other's. */
  readonly isDisputed: boolean;
}

interface ModelLife {
  readonly id: EventId;
  readonly isBorn: boolean;
  readonly isOver: boolean;
  readonly slots: ReadonlyMap<string, readonly Event[]>;
}

interface Era {
  readonly origin: Incarnation;
  readonly seq: number;
  readonly offset: number;
  readonly since: number;
}

type At = Pick<Event, "origin" | "seq">;

export class Model {
  readonly #generations = new Map<Incarnation, number>();
  readonly #eras: Era[] = [];
  readonly #resets: Event[] = [];
  readonly #ended: ((began: At) => boolean)[] = [];
  readonly #lives = new Map<string, ModelLife[]>();

  /** @param events each once */
  constructor(events: readonly Event[]) {
    for (const event of events) this.#takeMark(event);
    const byLife = new Map<string, Event[]>();
    for (const event of events) {
      const life = lifeOf(event);
      if (life === undefined || this.#isResetAway(originOf(life)) || this.#isEnded(life)) continue;
      const name = `${event.key} ${life}`;
      byLife.set(name, [...(byLife.get(name) ?? []), event]);
    }
    for (const [name, ofLife] of byLife) {
      const [key = "", id = ""] = name.split(" ");
      this.#lives.set(key, [...(this.#lives.get(key) ?? []), modelLife(id as EventId, ofLife)]);
    }
  }

  get keys(): Iterable<string> {
    return this.#lives.keys();
  }

  /** The order of an incarnation among those of its side; undefined where nobody has said. */
  generation(origin: Incarnation): number | undefined {
    return this.#generations.get(origin);
  }

  /** The life that goes on. */
  currentLife(key: string): EventId | undefined {
    return this.#current(key)?.id;
  }

  /** The slots of the life that goes on. */
  slotsOf(key: string): ReadonlyMap<string, ModelSlot> {
    const slots = new Map<string, ModelSlot>();
    for (const [slot, events] of this.#current(key)?.slots ?? []) slots.set(slot, this.#slot(events));
    return slots;
  }

  #current(key: string): ModelLife | undefined {
    const lives = (this.#lives.get(key) ?? []).filter(({ isBorn, isOver }) => isBorn && !isOver);
    return lives.sort((a, b) => this.#compare(parse(a.id), parse(b.id))).at(-1);
  }

  #slot(events: readonly Event[]): ModelSlot {
    const last = (side: Side): Event | undefined =>
      events
        .filter(({ origin }) => sideOf(origin) === side)
        .sort((a, b) => this.#compare(a, b))
        .at(-1);
    const cloud = last("cloud");
    const node = last("node");
    if (cloud === undefined || node === undefined)
      return { cloud, node, winner: cloud ?? node, isDisputed: false };
    if (this.#knew(node, cloud)) return { cloud, node, winner: node, isDisputed: false };
    if (this.#knew(cloud, node)) return { cloud, node, winner: cloud, isDisputed: false };
    const winner = this.#time(node) > this.#time(cloud) ? node : cloud;
    return { cloud, node, winner, isDisputed: true };
  }

  #knew(writer: Event, other: Event): boolean {
    return writer.seen.some(
      (seen) => sideOf(seen.origin) === sideOf(other.origin) && this.#compare(seen, other) >= 0,
    );
  }

  #time({ origin, seq, time }: Event): number {
    const wrong = this.#eras.filter((era) => era.origin === origin && seq < era.seq && time > era.since);
    return wrong.reduce((sum, { offset }) => sum + offset, time);
  }

  #compare(a: At, b: At): number {
    if (a.origin === b.origin) return a.seq - b.seq;
    const [first, second] = [this.#rank(a.origin), this.#rank(b.origin)];
    return first === second ? (a.origin < b.origin ? -1 : 1) : first < second ? -1 : 1;
  }

  #rank(origin: Incarnation): number {
    return this.#generations.get(origin) ?? Number.POSITIVE_INFINITY;
  }

  /** An incarnation of the cloud that is older than one that began anew. */
  #isResetAway(origin: Incarnation): boolean {
    if (sideOf(origin) !== "cloud") return false;
    return this.#resets.some(
      (reset) => reset.origin !== origin && this.#rank(origin) < this.#rank(reset.origin),
    );
  }

  /** Whether it was said to be over for good. */
  #isEnded(life: EventId): boolean {
    return this.#ended.some((isOver) => isOver(parse(life)));
  }

  #takeMark(event: Event): void {
    const { type, origin, seq, body } = event;
    if (type === "lives.ended") this.#ended.push((began) => saysEnded(event, began));
    if (type === "origin.reset") this.#resets.push({ origin } as Event);
    if (type === "origin.opened") {
      const { incarnation, generation } = body as { incarnation: Incarnation; generation: number };
      this.#generations.set(incarnation, Math.max(generation, this.#generations.get(incarnation) ?? 0));
    }
    if (type !== "clock.corrected") return;
    const { offset, since } = body as { offset: number; since: number };
    this.#eras.push({ origin, seq, offset, since });
  }
}

/** Whether a `lives.ended` says it of the life that this event began. */
export function saysEnded({ type, origin, cause, body }: Event, began: At): boolean {
  if (type !== "lives.ended" || sideOf(origin) !== "cloud" || cause !== undefined) return false;
  const bounds = (body as Record<Incarnation, readonly number[]>)[began.origin] ?? [];
  return bounds.some(
    (from, nth) => nth % 2 === 0 && from <= began.seq && began.seq <= (bounds[nth + 1] ?? 0),
  );
}

function sideOf(origin: Incarnation): Side {
  return origin.startsWith("c") ? "cloud" : "node";
}

function parse(id: EventId): At {
  const [origin, seq] = id.split("/") as [Incarnation, string];
  return { origin, seq: Number(seq) };
}

function originOf(life: EventId): Incarnation {
  return parse(life).origin;
}

/** A resource that the cloud says without naming a life begins one. */
function isBirth({ class: kind, life, slot, deletes, origin }: Event): boolean {
  const isSaid = kind === "resource" && slot !== undefined && deletes !== true;
  return isSaid && life === undefined && sideOf(origin) === "cloud";
}

function lifeOf(event: Event): EventId | undefined {
  return event.life ?? (isBirth(event) ? (`${event.origin}/${event.seq}` as EventId) : undefined);
}

/** What only newer versions know is in its slot all the same. */
function slotOf({ type, slot }: Event): string | undefined {
  return type === tagged("").type ? taggedSlot : slot;
}

function modelLife(id: EventId, events: readonly Event[]): ModelLife {
  const slots = new Map<string, Event[]>();
  for (const event of events) {
    const slot = slotOf(event);
    if (slot !== undefined && event.deletes !== true) slots.set(slot, [...(slots.get(slot) ?? []), event]);
  }
  return {
    id,
    isBorn: events.some(
      ({ class: kind, origin, deletes }) =>
        kind === "resource" && sideOf(origin) === "cloud" && deletes !== true,
    ),
    isOver: events.some(({ deletes, origin }) => deletes === true && sideOf(origin) === "cloud"),
    slots,
  };
}
