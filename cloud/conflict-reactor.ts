/**
 * Makes the records of conflicts: an outbox reactor over one node's log. For each event of either side it looks at what
 * the other side had said in that slot when the event came, and where neither had seen the other appends a
 * `conflict.resolved`.
 *
 * Events are acted on again after a crash, and where the disk lost them and they came back. What of them was recorded
 * is in the log (`ConflictRecords`), so nothing is recorded twice.
 */
import type { Committer } from "../core/committer.ts";
import { type Draft, type Event, type Side, eventId, otherSide, sideOf } from "../core/event.ts";
import { compareOfSide, hasSeen } from "../core/generations.ts";
import type { Environment } from "../core/ports.ts";
import type { Log } from "../core/log.ts";
import { Outbox } from "../core/reactor.ts";
import type { Contenders } from "../core/registers.ts";
import { conflictDraft, isConflict } from "../protocol/devices/conflicts.ts";
import { twinDesired } from "../protocol/devices/twin-update.ts";
import { ConflictRecords, pairOf } from "./conflict-records.ts";

/** Records that go into one append: each may hold two values of 64 KiB, and together they must fit into one segment. */
const recordsPerAppend = 8;
/** How far the log is read back at a time. */
const stepBack = 4096;

export interface ConflictReactorOptions {
  /** The cloud's replica of a node's log. */
  readonly replica: Log;
  readonly committer: Committer;
  readonly environment: Environment;
  /** It appends nothing before this is settled. */
  readonly after: Promise<void>;
}

export class ConflictReactor {
  readonly #replica: Log;
  readonly #outbox: Outbox;
  /** What was recorded, as far as it was asked: until all has been acted on. */
  #records: ConflictRecords | undefined;

  constructor({ replica, committer, environment, after }: ConflictReactorOptions) {
    this.#replica = replica;
    this.#outbox = new Outbox({
      name: "conflicts",
      replica,
      committer,
      environment,
      act: async (events) => {
        await after;
        await this.#act(events);
      },
    });
  }

  /** Takes up where it stood. */
  open(): Promise<void> {
    return this.#outbox.open();
  }

  close(): Promise<void> {
    return this.#outbox.close();
  }

  async #act(events: readonly Event[]): Promise<void> {
    const records = (this.#records ??= new ConflictRecords(this.#replica));
    const drafts: { readonly pair: string; readonly draft: Draft }[] = [];
    for (const event of events) {
      // A day of reports has none: they are passed over without a promise for each.
      if (event.type !== twinDesired) continue;
      const found = await this.#conflictOf(event);
      if (found === undefined || (await records.has(found))) continue;
      drafts.push({ pair: pairOf(found), draft: conflictDraft(this.#replica.registers, found, idOf(event)) });
    }
    // One commit at a time: many conflicts must not fill the log's queue.
    for (let from = 0; from < drafts.length; from += recordsPerAppend) {
      const some = drafts.slice(from, from + recordsPerAppend);
      await this.#replica.appended(some.map(({ draft }) => draft));
      for (const { pair } of some) records.add(pair);
    }
    if ((events.at(-1)?.position ?? 0) >= this.#replica.position) this.#records = undefined;
  }

  async #conflictOf(event: Event): Promise<Contenders | undefined> {
    if (event.life === undefined || event.slot === undefined) return undefined;
    const { registers } = this.#replica;
    const register = registers.objects.get(event.key)?.get(event.life)?.slots.get(event.slot);
    const side = sideOf(event.origin);
    if (register === undefined || !(await this.#hasStood(register[side], event))) return undefined;
    const latest = register[otherSide(side)];
    // What the other side had said before that was seen too.
    if (latest === undefined || hasSeen(registers.generations, event.seen, latest)) return undefined;
    const other = await this.#standingAt(latest, event);
    if (other === undefined) return undefined;
    const contenders = side === "cloud" ? { cloud: event, node: other } : { cloud: other, node: event };
    return isConflict(registers, contenders) ? contenders : undefined;
  }

  /** Whether the event was ever its side's latest here: what came late, or was never applied, was not. */
  async #hasStood(held: Event | undefined, event: Event): Promise<boolean> {
    if (held === undefined) return false;
    if (held.origin === event.origin && held.seq === event.seq) return true;
    if (!(compareOfSide(this.#replica.registers.generations, held, event) > 0)) return false;
    return (await this.#positionOf(held)) > event.position;
  }

  /** A register that was read from a checkpoint does not say the positions of its events. */
  async #positionOf({ origin, seq, position }: Event): Promise<number> {
    return position > 0 ? position : ((await this.#replica.eventAt(origin, seq))?.position ?? 0);
  }

  /** What a side had said last in the event's slot when the event came. @param latest what it has said last by now */
  async #standingAt(latest: Event, event: Event): Promise<Event | undefined> {
    if ((await this.#positionOf(latest)) < event.position) return latest;
    const side = sideOf(latest.origin);
    // Written again since: the one before it is in the log, most likely not far back.
    for (let to = event.position; to > 1;) {
      const from = Math.max(1, to - stepBack);
      const found = await this.#latestBetween(from, to, (each) => isOf(side, event, each));
      if (found !== undefined) return found;
      to = from;
    }
    return undefined;
  }

  /** The latest such event from one position up to, and not counting, another. */
  async #latestBetween(
    from: number,
    to: number,
    isMeant: (event: Event) => boolean,
  ): Promise<Event | undefined> {
    const { generations } = this.#replica.registers;
    let latest: Event | undefined;
    for (let next = from; next < to;) {
      const events = await this.#replica.read(next);
      for (const event of events) {
        if (event.position >= to || !isMeant(event)) continue;
        if (latest === undefined || compareOfSide(generations, latest, event) < 0) latest = event;
      }
      next = (events.at(-1)?.position ?? to) + 1;
    }
    return latest;
  }
}

function isOf(side: Side, { key, life, slot }: Event, other: Event): boolean {
  const isSameSlot = other.key === key && other.slot === slot && other.life === life;
  return isSameSlot && other.type === twinDesired && sideOf(other.origin) === side;
}

function idOf({ origin, seq }: Event): ReturnType<typeof eventId> {
  return eventId(origin, seq);
}
