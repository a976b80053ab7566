/**
 * Forgets, at any moment and on any machine, what retention lets go; and judges each pass from outside, by the events
 * that were on the disk before and are there after it.
 */
import type { Committer } from "../../core/committer.ts";
import { TidemarkError } from "../../core/errors.ts";
import {
  type Event,
  type EventId,
  type Incarnation,
  type LogId,
  type Seen,
  eventId,
  parseEventId,
  sideOf,
} from "../../core/event.ts";
import type { Log } from "../../core/log.ts";
import { type RetentionPolicy, ageOf } from "../../core/retention.ts";
import type { Cluster } from "./cluster.ts";
import { type Arrived, arrivedOn } from "./disk.ts";
import type { CloudHost, NodeHost } from "./hosts.ts";
import { Model, saysEnded } from "./model.ts";

type AnyHost = CloudHost | NodeHost;

/** A log of a machine, and how far the other side has what this one wrote. */
export interface Forgettable {
  readonly log: Log;
  readonly acked: (origin: Incarnation) => number;
}

/** What a pass is judged by. */
interface Judged {
  readonly host: AnyHost;
  readonly of: Forgettable;
  readonly policy: RetentionPolicy;
  readonly before: readonly Arrived[];
  readonly after: readonly Arrived[];
  /** Wall clock, at the latest. */
  readonly nowMs: number;
}

export class Forgetting {
  readonly #cluster: Cluster;
  readonly #policy: RetentionPolicy;
  readonly #busy = new Set<AnyHost>();
  /** Events that a disk has held, by log; undefined: two that were called the same. */
  readonly #known = new Map<LogId, Map<EventId, Event | undefined>>();
  /** Where the cloud had them. */
  readonly #positions = new Map<LogId, Map<EventId, number>>();

  constructor(cluster: Cluster, policy: RetentionPolicy) {
    this.#cluster = cluster;
    this.#policy = policy;
  }

  /** A whole pass over each log of a machine, one after the other. Where its process ends, so does this. */
  async pass(host: AnyHost): Promise<void> {
    if (this.#busy.has(host)) return;
    this.#busy.add(host);
    const { starts } = host;
    void this.#passes(host).finally(() => this.#busy.delete(host));
    // A process that is gone answers no more.
    this.#cluster.world.after(60_000, () => {
      if (host.starts !== starts) this.#busy.delete(host);
    });
  }

  async #passes(host: AnyHost): Promise<void> {
    const committer = host.newCommitter();
    if (committer === undefined) return;
    try {
      for (const each of host.forgettable()) await this.#forget(host, each, committer);
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error;
    }
  }

  async #forget(host: AnyHost, of: Forgettable, committer: Committer): Promise<void> {
    const { runs, clock } = host;
    const { world, releases } = this.#cluster;
    if (runs === undefined) return;
    const policy = this.#policy;
    const compactor = new runs.Compactor({
      log: of.log,
      committer,
      demand: () => ({ ages: policy, undelivered: false }),
      acked: of.acked,
      now: () => clock.now(),
      runBytes: 4000,
    });
    const read = (): Promise<Arrived[]> => arrivedOn(host.disk.snapshot(), of.log.id, releases.late);
    const before = await read();
    this.#note(of.log, before);
    let nowMs = clock.now();
    try {
      while (await compactor.slice()) nowMs = Math.max(nowMs, clock.now());
    } finally {
      compactor.close();
    }
    const after = await read();
    const gone =
      before.length - after.filter(({ event }) => before.some((each) => isSame(each.event, event))).length;
    if (gone > 0) world.note(`${host.name} has forgotten ${gone} events of ${of.log.id}`);
    nowMs = Math.max(nowMs, clock.now());
    for (const wrong of misjudged({ host, of, policy, before, after, nowMs })) world.fail("forgotten", wrong);
  }

  #note({ id: log, side }: Log, held: readonly Arrived[]): void {
    const known = this.#known.get(log) ?? new Map<EventId, Event | undefined>();
    this.#known.set(log, known);
    const positions = this.#positions.get(log) ?? new Map<EventId, number>();
    this.#positions.set(log, positions);
    for (const { event } of held) {
      const id = eventId(event.origin, event.seq);
      const other = known.get(id);
      const isOne = !known.has(id) || (other !== undefined && isSame(other, event));
      known.set(id, isOne ? (other ?? event) : undefined);
      if (side === "cloud") positions.set(id, event.position);
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
    for (const [id, event] of this.#known.get(log) ?? []) {
      if (event === undefined || ids.has(id)) continue;
      if (sequences.get(event.origin)?.has(event.seq) === true) forgotten.push(event);
    }
    return forgotten;
  }
}

function isSame(a: Event, b: Event): boolean {
  if (a.origin !== b.origin || a.seq !== b.seq) return false;
  return a.time === b.time && a.type === b.type && JSON.stringify(a.body) === JSON.stringify(b.body);
}

/** What was let go and should not have been; and what the log makes of the rest, where that is not what it was. */
function* misjudged({ host, of, policy, before, after, nowMs }: Judged): Generator<string> {
  const { log } = of;
  const left = new Set(after.map(({ event }) => eventId(event.origin, event.seq)));
  const all = new Map(
    [...before, ...after].map((each) => [eventId(each.event.origin, each.event.seq), each]),
  );
  const isAged = ({ event, arrived }: Arrived): boolean => ageOf(arrived, nowMs) >= policy[event.class];
  for (const gone of before) {
    const { event } = gone;
    const id = eventId(event.origin, event.seq);
    if (left.has(id)) continue;
    const name = `${host.name}: ${log.id}: ${id}, ${event.type},`;
    if (!isAged(gone)) yield `${name} is forgotten, and is not past retention`;
    const isOwn = sideOf(event.origin) === log.side;
    const isDelivered = !isOwn || event.seq <= of.acked(event.origin);
    if (!isDelivered && (log.side === "node" || event.slot === undefined))
      yield `${name} is forgotten, and the other side has not got it`;
    if (isNeeded(event, [...all.values()].filter(isAged), after))
      yield `${name} is forgotten, and nothing has replaced it`;
    const thin = log.histories.get(event.origin)?.thin ?? [];
    if (!thin.some(({ from, to }) => from <= event.seq && event.seq <= to))
      yield `${name} is forgotten, and the past is said to be whole there`;
  }
  const [whole, rest] = [[...all.values()], after].map((some) => new Model(some.map(({ event }) => event)));
  if (whole === undefined || rest === undefined) return;
  const [was, is] = [whole, rest].map(shown);
  for (const key of new Set([...(was?.keys() ?? []), ...(is?.keys() ?? [])])) {
    if (was?.get(key) !== is?.get(key))
      yield `${host.name}: ${log.id}: of ${key} there was ${was?.get(key)}, and after forgetting ${is?.get(key)}`;
  }
}

/**
 * Marks, ends of lives of which something is left or nothing else says that they are over, and what is the last that its
 * origin said of a life and slot.
 * @param aged past retention
 */
function isNeeded(event: Event, aged: readonly Arrived[], left: readonly Arrived[]): boolean {
  const { origin, seq, key, slot, type, class: of } = event;
  const life = lifeOf(event);
  if (event.deletes === true && left.some(({ event: other }) => isUnder(other, life))) return true;
  if (slot === undefined)
    return (
      ["origin.opened", "origin.reset", "clock.corrected", "lives.ended"].includes(type) &&
      !isSaidAgain(event, aged)
    );
  return !aged.some(({ event: other }) => {
    if (saysEnded(other, parseEventId(life) as Seen)) return true;
    if (event.deletes === true) return false;
    if (other.key !== key || lifeOf(other) !== life) return false;
    if (other.deletes === true && sideOf(other.origin) === "cloud") return true;
    return (
      other.origin === origin &&
      other.seq > seq &&
      other.slot === slot &&
      other.type === type &&
      other.class === of
    );
  });
}

/** Each `lives.ended` says all that those before it said. */
function isSaidAgain({ origin, seq, type }: Event, aged: readonly Arrived[]): boolean {
  const later = aged.filter(({ event }) => event.type === type && event.origin === origin && event.seq > seq);
  return type === "lives.ended" && later.length > 0;
}

function isUnder(event: Event, life: EventId): boolean {
  return event.deletes !== true && event.slot !== undefined && lifeOf(event) === life;
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
    // Of one that is over, nothing need be left.
    if (model.currentLife(key) === undefined) continue;
    const slots = [...model.slotsOf(key)].sort(([a], [b]) => (a < b ? -1 : 1));
    const held = slots.map(
      ([slot, { cloud, node, winner }]) => `${slot}: ${id(cloud)} ${id(node)} ${id(winner)}`,
    );
    found.set(key, `${model.currentLife(key)}: ${held.join(", ")}`);
  }
  return found;
}
