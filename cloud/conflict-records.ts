/** The records of conflicts that a log holds already, wherever in it they lie. */
import type { Event, Incarnation } from "../core/event.ts";
import { eventId, sideOf } from "../core/event.ts";
import { compareOfSide, hasSeen } from "../core/generations.ts";
import type { Log } from "../core/log.ts";
import { pastOf } from "../core/log-past.ts";
import type { PastLog } from "../core/past.ts";
import type { Contenders } from "../core/registers.ts";
import { identityOf, pairId, readConflict } from "../protocol/devices/conflicts.ts";

/** How many sequences of an origin are read at once, at first and at most. */
const windowMin = 64;
const windowMax = 4096;

/** How far an origin of the cloud was looked through, from its latest event back. */
interface Looked {
  /** The earliest event that was looked at. */
  earliest: Event | undefined;
  /** The sequence to look at next; 0 when there is none. */
  next: number;
  /** Where the first sequence was missing: the event after it. */
  gap: { readonly before: Event | undefined } | undefined;
  /** Events that were read, and not looked at yet, by sequence. */
  readonly read: Map<number, Event>;
  window: number;
}

/**
 * Looks records up by the sequences of who wrote them: what the disk lost and got back has other positions than before,
 * and so has its record, but a record's writer had seen both events of its pair, which nothing that it wrote before had.
 * So of a conflict that is new, one event is looked at.
 */
export class ConflictRecords {
  readonly #log: PastLog;
  readonly #pairs = new Set<string>();
  readonly #looked = new Map<Incarnation, Looked>();

  constructor(log: Log) {
    this.#log = pastOf(log);
  }

  /** A record of this pair was made since. */
  add(pair: string): void {
    this.#pairs.add(pair);
  }

  /**
   * Whether the two events were recorded. Where some of what may be their record is missing, they count as recorded:
   * both were here before it was lost.
   */
  async has(contenders: Contenders): Promise<boolean> {
    const pair = pairOf(contenders);
    for (const { origin, top } of this.#log.histories.values()) {
      if (sideOf(origin) !== "cloud") continue;
      const looked = this.#looked.get(origin) ?? {
        earliest: undefined,
        next: top,
        gap: undefined,
        read: new Map<number, Event>(),
        window: windowMin,
      };
      this.#looked.set(origin, looked);
      while (looked.next > 0 && this.#mayFollow(looked.earliest, contenders))
        await this.#lookAtNext(origin, looked);
      if (looked.gap !== undefined && this.#mayFollow(looked.gap.before, contenders)) return true;
    }
    return this.#pairs.has(pair);
  }

  /** Whether what was written before `event`, and it itself, may be a record of the two. */
  #mayFollow(event: Event | undefined, { cloud, node }: Contenders): boolean {
    if (event === undefined) return true;
    const { generations } = this.#log.registers;
    return !(compareOfSide(generations, event, cloud) <= 0) && hasSeen(generations, event.seen, node);
  }

  async #lookAtNext(origin: Incarnation, looked: Looked): Promise<void> {
    const seq = looked.next;
    if (looked.read.size === 0) await this.#read(origin, looked);
    const event = looked.read.get(seq);
    looked.read.delete(seq);
    looked.next -= 1;
    if (event === undefined) {
      looked.gap ??= { before: looked.earliest };
      return;
    }
    looked.earliest = event;
    const record = readConflict(event);
    if (record !== undefined) this.#pairs.add(identityOf(record));
  }

  async #read(origin: Incarnation, looked: Looked): Promise<void> {
    const from = Math.max(1, looked.next - looked.window + 1);
    for await (const events of this.#log.events(origin, { from, to: looked.next }))
      for (const event of events) looked.read.set(event.seq, event);
    looked.window = Math.min(looked.window * 2, windowMax);
  }
}

export function pairOf({ cloud, node }: Contenders): string {
  return pairId(eventId(cloud.origin, cloud.seq), eventId(node.origin, node.seq));
}
