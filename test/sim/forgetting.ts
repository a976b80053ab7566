/**
 * Forgets, at any moment and on any machine, what retention lets go; and judges each pass from outside, by the events
 * that were on the disk before and are there after it.
 */
import {
  type Event,
  type EventId,
  type Incarnation,
  type LogId,
  clusterLog,
  eventId,
  sideOf,
} from "../../core/event.ts";
import type { Log } from "../../core/log.ts";
import { type RetentionPolicy, ageOf } from "../../core/retention.ts";
import type { Cluster } from "./cluster.ts";
import { type Arrived, arrivedOn } from "./disk.ts";
import type { CloudHost, NodeHost } from "./hosts.ts";
import { Model } from "./model.ts";

type AnyHost = CloudHost | NodeHost;

/** A log of a machine, and how far the other side has what this one wrote. */
export interface ReplicaOf {
  readonly log: Log;
  readonly acked: ReadonlyMap<Incarnation, number>;
}

/** What a pass is judged by. */
interface Judged {
  readonly host: string;
  readonly log: Log;
  readonly before: readonly Arrived[];
  readonly after: readonly Arrived[];
  /** Wall clock, at the latest. */
  readonly nowMs: number;
}

interface Known {
  readonly event: Event | undefined;
  /** What the cloud had is what it has forgotten, whatever a copy of the node's disk says under that name. */
  readonly isOfCloud: boolean;
}

export class ForgettingJudge {
  readonly #cluster: Cluster;
  readonly #policy: RetentionPolicy;
  /** Of which process a pass goes on. */
  readonly #busy = new Map<AnyHost, number>();
  /** Events that a disk has held, by log; without one: two that were called the same. */
  readonly #known = new Map<LogId, Map<EventId, Known>>();
  /** Where the cloud had them. */
  readonly #positions = new Map<LogId, Map<EventId, number>>();
  /** How far each origin was ever said to be on the other side. */
  readonly #acked = new Map<Incarnation, number>();

  constructor(cluster: Cluster, policy: RetentionPolicy) {
    this.#cluster = cluster;
    this.#policy = policy;
  }

  /** Notes what was acked by now. To be called again and again. */
  noteAcks(): void {
    for (const { acked } of this.#cluster.hosts.flatMap((host) => host.replicas())) {
      for (const [origin, seq] of acked) this.#acked.set(origin, Math.max(seq, this.#acked.get(origin) ?? 0));
    }
  }

  /** A whole pass over all logs of a machine. Where its process ends, so does this. */
  async pass(host: AnyHost, fromSnapshot: boolean): Promise<void> {
    const { product, starts, clock } = host;
    if (product === undefined || this.#busy.get(host) === starts) return;
    this.#busy.set(host, starts);
    const logs = host.replicas().map(({ log }) => log);
    // What was appended again under another name meanwhile is not forgotten.
    const putRight = new Set<Log>();
    const stops = logs.map((log) => log.onReset(() => putRight.add(log)));
    if (fromSnapshot) await snapshotsOf(logs);
    const before = await this.#readAll(host, logs);
    for (const log of logs) this.#note(log, before.get(log) ?? []);
    const beganMs = clock.now();
    await product.forgetting.forgetAll();
    const nowMs = Math.max(beganMs, clock.now());
    const after = await this.#readAll(host, logs);
    this.noteAcks();
    this.#busy.delete(host);
    for (const stop of stops) stop();
    for (const log of logs.filter((each) => each.isOpen && !putRight.has(each))) {
      const judged = {
        host: host.name,
        log,
        before: before.get(log) ?? [],
        after: after.get(log) ?? [],
        nowMs,
      };
      for (const wrong of this.#misjudged(judged)) this.#cluster.world.fail("forgotten", wrong);
    }
  }

  async #readAll({ disk }: AnyHost, logs: readonly Log[]): Promise<Map<Log, Arrived[]>> {
    const snapshot = disk.snapshot();
    const found = new Map<Log, Arrived[]>();
    for (const log of logs) found.set(log, await arrivedOn(snapshot, log.id, this.#cluster.releases.late));
    return found;
  }

  /** What was let go and should not have been; and what the log makes of the rest, where that is not what it was. */
  *#misjudged(judged: Judged): Generator<string> {
    const { host, log, before, after, nowMs } = judged;
    const left = new Set(after.map(({ event }) => idOf(event)));
    const gone = before.filter(({ event }) => !left.has(idOf(event)));
    if (gone.length === 0) return;
    this.#cluster.world.note(`${host} has forgotten ${gone.length} events of ${log.id}`);
    const all = [...new Map([...before, ...after].map((each) => [idOf(each.event), each])).values()];
    const aged = all.filter((each) => this.#isAged(each, nowMs));
    for (const each of gone) {
      const { event } = each;
      const name = `${host}: ${log.id}: ${idOf(event)}, ${event.type}, is forgotten, and`;
      if (!aged.includes(each)) yield `${name} is not past retention`;
      if (!this.#isDelivered(event, log)) yield `${name} the other side has not got it`;
      if (isNeeded(event, aged)) yield `${name} nothing has replaced it`;
      const thin = log.histories.get(event.origin)?.thin ?? [];
      if (!thin.some(({ from, to }) => from <= event.seq && event.seq <= to))
        yield `${name} the past is said to be whole there`;
    }
    const [was, is] = [all, after].map((some) => shown(new Model(some.map(({ event }) => event))));
    for (const key of new Set([...(was?.keys() ?? []), ...(is?.keys() ?? [])])) {
      if (was?.get(key) !== is?.get(key))
        yield `${host}: ${log.id}: of ${key} there was ${was?.get(key)}, and after forgetting ${is?.get(key)}`;
    }
  }

  #isAged({ event, arrived }: Arrived, nowMs: number): boolean {
    return ageOf(arrived, nowMs) >= this.#policy[event.class];
  }

  /** What the cloud says of a slot may go before it is sent: the node needs the latest. */
  #isDelivered({ origin, seq, slot }: Event, { id, side }: Log): boolean {
    const isFree = sideOf(origin) !== side || id === clusterLog || (side === "cloud" && slot !== undefined);
    return isFree || seq <= (this.#acked.get(origin) ?? 0);
  }

  #note({ id: log, side }: Log, held: readonly Arrived[]): void {
    const known = this.#known.get(log) ?? new Map<EventId, Known>();
    this.#known.set(log, known);
    const positions = this.#positions.get(log) ?? new Map<EventId, number>();
    this.#positions.set(log, positions);
    const isOfCloud = side === "cloud";
    for (const { event } of held) {
      const id = eventId(event.origin, event.seq);
      const other = known.get(id);
      if (other === undefined || (isOfCloud && !other.isOfCloud)) known.set(id, { event, isOfCloud });
      else if (other.isOfCloud === isOfCloud && (other.event === undefined || !isSame(other.event, event)))
        known.set(id, { event: undefined, isOfCloud });
      if (isOfCloud) positions.set(id, event.position);
    }
  }

  /** All events that the cloud ever had of a log, in the order in which they came to it. */
  inOrder(log: LogId, held: readonly Event[], forgotten: readonly Event[]): Event[] {
    const placed = forgotten.flatMap((event) => {
      const position = this.#positions.get(log)?.get(eventId(event.origin, event.seq));
      return position === undefined ? [] : [{ ...event, position }];
    });
    return [...held, ...placed].sort((a, b) => a.position - b.position);
  }

  /** The events of a log that a replica may have forgotten: it has others, or a cover, in their places. */
  forgotten(
    log: LogId,
    sequences: ReadonlyMap<Incarnation, ReadonlySet<number>>,
    held: readonly Event[],
  ): Event[] {
    const ids = new Set(held.map(({ origin, seq }) => eventId(origin, seq)));
    const forgotten: Event[] = [];
    for (const [id, { event }] of this.#known.get(log) ?? []) {
      if (event === undefined || ids.has(id)) continue;
      if (sequences.get(event.origin)?.has(event.seq) === true) forgotten.push(event);
    }
    return forgotten;
  }
}

/** A pass goes as far as the snapshots that are on the disk. */
async function snapshotsOf(logs: readonly Log[]): Promise<void> {
  for (const log of logs) if (log.isOpen) log.snapshot();
  // What can't be stored on a failing or full disk is not waited for.
  for (const log of logs) await log.settled().catch(() => undefined);
}

function idOf({ origin, seq }: Event): EventId {
  return eventId(origin, seq);
}

function isSame(a: Event, b: Event): boolean {
  if (a.origin !== b.origin || a.seq !== b.seq) return false;
  return a.time === b.time && a.type === b.type && JSON.stringify(a.body) === JSON.stringify(b.body);
}

/** Marks, ends of lives that are not over for good, and what is the last that its origin said of a life and slot. */
function isNeeded(event: Event, aged: readonly Arrived[]): boolean {
  const { origin, seq, key, slot, type, class: of, deletes, cause } = event;
  const life = lifeOf(event);
  const isEnded = aged.some(({ event: other }) => saysEnded(other, life));
  // A life may be ended twice: the last end is the one that says it.
  const isSaidAgain = aged.some(
    ({ event: other }) =>
      other.deletes === true &&
      other.origin === origin &&
      other.seq > seq &&
      other.key === key &&
      lifeOf(other) === life,
  );
  if (deletes === true) return !isEnded && !isSaidAgain;
  if (slot === undefined && marks.includes(type)) return true;
  const isFree = slot === undefined && (type !== "lives.ended" || cause !== undefined);
  return !aged.some(({ event: other }) => {
    if (isFree || isEnded) return true;
    if (
      other.deletes === true &&
      sideOf(other.origin) === "cloud" &&
      other.key === key &&
      lifeOf(other) === life
    )
      return true;
    const isSameFacet = other.key === key && other.slot === slot && other.type === type && other.class === of;
    const isSameLife = slot === undefined || lifeOf(other) === life;
    return other.origin === origin && other.seq > seq && isSameFacet && isSameLife;
  });
}

const marks: readonly string[] = ["origin.opened", "origin.reset", "clock.corrected"];

/**
 * Whether an event of the cloud says that the life is over for good: `[from, to, from, to, …]` of where lives began. One
 * that was appended again says nothing.
 */
function saysEnded({ type, origin, body, cause }: Event, life: EventId): boolean {
  if (type !== "lives.ended" || sideOf(origin) !== "cloud" || cause !== undefined) return false;
  const [began = "", seq] = life.split("/");
  const flat = (body as Readonly<Record<string, readonly number[]>>)[began] ?? [];
  return flat.some((from, at) => at % 2 === 0 && Number(seq) >= from && Number(seq) <= (flat[at + 1] ?? 0));
}

/** A resource without a life begins one, which is called as it. */
function lifeOf({ life, origin, seq }: Event): EventId {
  return life ?? eventId(origin, seq);
}

function shown(model: Model): Map<string, string> {
  const id = (event: Event | undefined): string =>
    event === undefined ? "-" : eventId(event.origin, event.seq);
  const found = new Map<string, string>();
  for (const key of model.keys) {
    const slots = [...model.slotsOf(key)].sort(([a], [b]) => (a < b ? -1 : 1));
    const held = slots.map(
      ([slot, { cloud, node, winner }]) => `${slot}: ${id(cloud)} ${id(node)} ${id(winner)}`,
    );
    found.set(key, `${model.currentLife(key)}: ${held.join(", ")}`);
  }
  return found;
}
