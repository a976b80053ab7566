/**
 * Makes the records of conflicts: an outbox reactor over one node's log. For each event of either side it looks at what
 * the other side had said in that slot when the event came, and where neither had seen the other appends a
 * `conflict.resolved`.
 *
 * A record comes after the events it is about. So what was recorded of the events that are acted on again after a crash
 * lies behind the cursor too, and one look there tells what not to record twice.
 */
import type { Committer } from "../core/committer.ts";
import { type Draft, type Event, type Side, eventId, otherSide, sideOf } from "../core/event.ts";
import { compareOfSide } from "../core/generations.ts";
import type { Environment } from "../core/ports.ts";
import { Outbox } from "../core/reactor.ts";
import type { Contenders, Register, Registers } from "../core/registers.ts";
import type { Replica } from "../core/replica.ts";
import {
  conflictDraft,
  identityOf,
  isConflict,
  pairId,
  readConflict,
} from "../protocol/devices/conflicts.ts";
import { twinDesired } from "../protocol/devices/twin-update.ts";

/** Records that go into one append: each may hold two values of 64 KiB, and together they must fit into one segment. */
const recordsPerAppend = 8;
/** How far the log is read back at a time. */
const stepBack = 4096;

export interface ConflictReactorOptions {
  /** The cloud's replica of a node's log. */
  readonly replica: Replica;
  readonly committer: Committer;
  readonly environment: Environment;
  /** It appends nothing before this is settled. */
  readonly after: Promise<void>;
}

export class ConflictReactor {
  readonly #replica: Replica;
  readonly #outbox: Outbox;
  /** Pairs of which there is a record already, as far as they may come up again. */
  #recorded: Set<string> | undefined;
  /** Where the log ended when it was looked through for records. */
  #lookedTo = 0;

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
    const [first] = events;
    const last = events.at(-1);
    if (first === undefined || last === undefined) return;
    this.#recorded ??= await this.#lookForRecords(first.position);
    const drafts: { readonly pair: string; readonly draft: Draft }[] = [];
    for (const event of events) {
      const found = await this.#conflictOf(event);
      if (found === undefined) continue;
      const pair = pairId(idOf(found.cloud), idOf(found.node));
      if (this.#recorded.has(pair)) continue;
      drafts.push({ pair, draft: conflictDraft(this.#replica.registers, found, idOf(event)) });
    }
    await this.#append(drafts, this.#recorded);
    // What was acted on does not come up again.
    if (last.position >= this.#lookedTo) this.#recorded.clear();
  }

  async #append(
    drafts: readonly { readonly pair: string; readonly draft: Draft }[],
    recorded: Set<string>,
  ): Promise<void> {
    // One commit at a time: many conflicts must not fill the log's queue.
    for (let from = 0; from < drafts.length; from += recordsPerAppend) {
      const some = drafts.slice(from, from + recordsPerAppend);
      await this.#replica.appended(some.map(({ draft }) => draft));
      for (const { pair } of some) recorded.add(pair);
    }
  }

  async #lookForRecords(from: number): Promise<Set<string>> {
    const recorded = new Set<string>();
    this.#lookedTo = this.#replica.position;
    for (let next = from; next <= this.#lookedTo;) {
      const events = await this.#replica.read(next);
      for (const event of events) {
        const record = readConflict(event);
        if (record !== undefined) recorded.add(identityOf(record));
      }
      next = (events.at(-1)?.position ?? this.#lookedTo) + 1;
    }
    return recorded;
  }

  async #conflictOf(event: Event): Promise<Contenders | undefined> {
    if (event.type !== twinDesired || event.life === undefined || event.slot === undefined) return undefined;
    const { registers } = this.#replica;
    const register = registers.objects.get(event.key)?.get(event.life)?.slots.get(event.slot);
    const side = sideOf(event.origin);
    if (register === undefined || !hasStood(registers, register[side], event)) return undefined;
    const other = await this.#standingAt(register, otherSide(side), event);
    if (other === undefined) return undefined;
    const contenders = side === "cloud" ? { cloud: event, node: other } : { cloud: other, node: event };
    return isConflict(registers, contenders) ? contenders : undefined;
  }

  /** What one side had said last in the event's slot when the event came. */
  async #standingAt(register: Register, side: Side, event: Event): Promise<Event | undefined> {
    const held = register[side];
    if (held === undefined || held.position < event.position) return held;
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

/** Whether the event was ever its side's latest here: what came late, or was never applied, was not. */
function hasStood({ generations }: Registers, held: Event | undefined, event: Event): boolean {
  if (held === undefined) return false;
  if (held.origin === event.origin && held.seq === event.seq) return true;
  return held.position > event.position && compareOfSide(generations, held, event) > 0;
}

function isOf(side: Side, { key, life, slot }: Event, other: Event): boolean {
  const isSameSlot = other.key === key && other.slot === slot && other.life === life;
  return isSameSlot && other.type === twinDesired && sideOf(other.origin) === side;
}

function idOf({ origin, seq }: Event): ReturnType<typeof eventId> {
  return eventId(origin, seq);
}
