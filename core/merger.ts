/**
 * Makes large compressed blocks of a log's small segments, oldest first, a slice at a time. Nothing that is read from
 * the log changes by it, and a crash loses nothing: each slice is one batch.
 */
import { blockBytesDefault, memberBytes } from "./block-size.ts";
import { pack, unpack } from "./codec.ts";
import type { Committer } from "./committer.ts";
import { hasCode } from "./errors.ts";
import type { LogId } from "./event.ts";
import type { Log } from "./log.ts";
import { type ReadSegment, type StoredSegment, maxBlockBytes } from "./store-port.ts";

/** What a block is about to hold for the first time is also put into an index, in the same batch. */
export interface MergeIndex {
  /** @param members neighbours, which no index has seen */
  valuesOf(members: readonly StoredSegment[]): Promise<ReadonlyMap<string, Uint8Array | undefined>>;
}

export interface MergerOptions {
  readonly log: Log;
  readonly committer: Committer;
  readonly index?: MergeIndex | undefined;
  /** A block holds about so much before it is compressed. */
  readonly blockBytes?: number | undefined;
}

/** One segment by itself is worth a block from here on. */
const aloneBytesMin = 4096;

const cursorVersion = 1;

/** How far a log is merged. */
interface Cursor {
  /** Position of the last event that is in a block, or has been passed over. */
  readonly to: number;
  /** The last blocks, where they are small, each smaller than the one before: they are merged again as more comes. */
  readonly small: readonly Small[];
}

interface Small {
  readonly from: number;
  readonly bytes: number;
}

interface Gathered {
  readonly members: readonly ReadSegment[];
  readonly bytes: number;
  /** Why no more: there is enough; what follows is damaged or missing; or it is the end of the log. */
  readonly until: "enough" | "hole" | "end";
  /** Position of what comes next. */
  readonly next: number;
}

export class Merger {
  readonly log: Log;
  readonly #committer: Committer;
  readonly #index: MergeIndex | undefined;
  readonly #blockBytes: number;
  readonly #stop: () => void;
  #cursor: Cursor | undefined;
  /** What was read before the log was put right is not to be written after. */
  #resets = 0;
  /** Bytes of members that are left unmerged; undefined while nobody has looked. */
  #left: number | undefined;

  constructor({ log, committer, index, blockBytes = blockBytesDefault }: MergerOptions) {
    this.log = log;
    this.#committer = committer;
    this.#index = index;
    this.#blockBytes = blockBytes;
    const stops = [
      log.onReset(() => {
        this.#resets += 1;
        this.#left = undefined;
      }),
      log.onVisible((_, segment) => {
        if (this.#left !== undefined) this.#left += memberBytes(segment.bytes);
      }),
    ];
    this.#stop = (): void => {
      for (const stop of stops) stop();
    };
  }

  /** Whether there is enough for a block, as far as is known. */
  get isDue(): boolean {
    return this.log.isOpen && (this.#left ?? this.#blockBytes) >= this.#blockBytes;
  }

  /** Whether anything is left that a block does not hold. */
  get hasLeft(): boolean {
    return this.#left !== 0;
  }

  /**
   * Makes one block, when there is enough for it.
   * @param all also when there is not
   * @returns whether it made one
   */
  async slice(all: boolean): Promise<boolean> {
    if (!this.log.isOpen) return false;
    const resets = this.#resets;
    const cursor = (this.#cursor ??= await readCursor(this.#committer, this.log.id));
    const fresh = await this.#gather(cursor.to + 1);
    const small = fresh.members[0]?.position === cursor.to + 1 ? cursor.small : [];
    const smallBytes = small.reduce((total, { bytes }) => total + bytes, 0);
    const isEnough = fresh.until !== "end" || smallBytes + fresh.bytes >= this.#blockBytes;
    if (!isEnough && !(all && isWorth(fresh))) {
      this.#left = fresh.bytes;
      return false;
    }
    const plan = await this.#plan(fresh, small, smallBytes);
    const { group } = plan;
    const seen = cursor.to;
    const isBlock = (small.length > 0 || isWorth(group)) && !isOneBlock(group);
    const packed = isBlock ? await this.#committer.store.pack(group.members) : undefined;
    const values = await this.#index?.valuesOf(group.members.filter(({ position }) => position > seen));
    // What was read may have been taken out meanwhile.
    if (resets !== this.#resets || !this.log.isOpen) return false;
    const last = group.members.at(-1);
    if (packed !== undefined && last !== undefined) {
      const from = group.members[0]?.position ?? 0;
      const to = last.position + last.count - 1;
      this.#committer.merge({ log: this.log.id, from, to, members: group.members, packed });
    }
    for (const [name, value] of values ?? []) this.#committer.put(name, value);
    this.#cursor = { to: Math.max(group.next - 1, seen), small: plan.small };
    this.#left = undefined;
    this.#committer.put(mergedName(this.log.id), encodeCursor(this.#cursor));
    await this.#committer.flush();
    return true;
  }

  /** Which of the small blocks are merged again with what came, and what is then small. */
  async #plan(
    fresh: Gathered,
    small: readonly Small[],
    smallBytes: number,
  ): Promise<{ group: Gathered; small: readonly Small[] }> {
    const [first] = small;
    if (first !== undefined && smallBytes + fresh.bytes >= this.#blockBytes) {
      return { group: await this.#gather(first.from), small: [] };
    }
    // Only those that are no larger than what they are merged with: so what is written again is bounded.
    let { bytes } = fresh;
    const kept = [...small];
    let again: Small | undefined;
    for (let last = kept.at(-1); last !== undefined && last.bytes <= bytes; last = kept.at(-1)) {
      kept.pop();
      bytes += last.bytes;
      again = last;
    }
    const group = again === undefined ? fresh : await this.#gather(again.from);
    const [member] = group.members;
    const isStuck = group.next <= (this.#cursor?.to ?? 0) + 1;
    // A block is over where what follows does not fit, and where nothing ever will.
    const isFull = group.until !== "end" || bytes >= this.#blockBytes;
    const isOver = isFull || member === undefined || isStuck;
    return { group, small: isOver ? [] : [...kept, { from: member.position, bytes }] };
  }

  /** Readable neighbours from `from` on, as many as go into one block. */
  async #gather(from: number): Promise<Gathered> {
    const seen = this.#cursor?.to ?? 0;
    const end = this.log.position;
    const members: ReadSegment[] = [];
    let bytes = 0;
    let storedBytes = 0;
    let next = from;
    while (next <= end) {
      const records = await this.#committer.store.read(this.log.id, next, this.#blockBytes);
      const before = next;
      for (const record of records) {
        if (record.position > end) return { members, bytes, until: "end", next };
        const isNeighbour = record.position === next && record.segment !== undefined;
        if (!isNeighbour && members.length > 0) return { members, bytes, until: "hole", next };
        next = record.position + (record.count ?? 1);
        if (record.segment === undefined) continue;
        const more = memberBytes(record.segment);
        // A block that came whole goes in whole, or begins the next: to cut it is to compress the rest of it again.
        const isWhole = record.block?.from === record.position && record.position > seen;
        const atLeast = isWhole ? (record.block?.bytes ?? more) : more;
        const isOver = storedBytes + record.segment.length > maxBlockBytes;
        const isFull = bytes + atLeast > this.#blockBytes || isOver;
        if (isFull && members.length > 0) return { members, bytes, until: "enough", next: record.position };
        members.push(record);
        bytes += more;
        storedBytes += record.segment.length;
      }
      if (next === before) break;
    }
    return { members, bytes, until: bytes >= this.#blockBytes ? "enough" : "end", next };
  }

  close(): void {
    this.#stop();
  }
}

function isWorth({ members, bytes }: Gathered): boolean {
  return members.length > 1 || bytes >= aloneBytesMin;
}

/** Whether it is stored as it is to be: of what the peer sent in bulk, only the index is made. */
function isOneBlock({ members }: Gathered): boolean {
  const [first] = members;
  const last = members.at(-1);
  if (first === undefined || last === undefined) return true;
  return first.block?.from === first.position && first.block.to === last.position + last.count - 1;
}

export function mergedName(log: LogId): string {
  return `merged!${log}`;
}

function encodeCursor({ to, small }: Cursor): Uint8Array {
  return pack([cursorVersion, to, small.map(({ from, bytes }) => [from, bytes])]);
}

/** Up to which position nothing is going to be merged again. */
export async function mergedBefore(committer: Committer, log: LogId): Promise<number> {
  const { to, small } = await readCursor(committer, log);
  return (small[0]?.from ?? to + 1) - 1;
}

/** Where it can't be read, everything is merged again: that changes nothing but the time it takes. */
async function readCursor({ store }: Committer, log: LogId): Promise<Cursor> {
  try {
    const stored = await store.get(mergedName(log));
    const [version, to, small] = (stored === undefined ? [] : unpack(stored)) as [number, number, number[][]];
    if (version !== cursorVersion || !Number.isSafeInteger(to)) return { to: 0, small: [] };
    return { to, small: small.map(([from = 0, bytes = 0]) => ({ from, bytes })) };
  } catch (error) {
    if (hasCode(error, "LOG_CLOSED")) throw error;
    return { to: 0, small: [] };
  }
}
