/**
 * Forgets, in the oldest part of one log, what retention lets go and no fold needs: a pass walks from the start of the
 * log to the horizon, and puts covers in the place of what it finds, a block at a time. Each is one batch: a crash at
 * any moment loses nothing, and the next pass finds what is left to do by itself.
 */
import { checkpointPrefix } from "./checkpoint.ts";
import { unpack } from "./codec.ts";
import type { Committer } from "./committer.ts";
import { type PlacedSegment, byOrigin, coverOf, kept } from "./compaction.ts";
import { hasCode } from "./errors.ts";
import { type Event, type Incarnation, sideOf } from "./event.ts";
import type { Log } from "./log.ts";
import type { Mark } from "./marks.ts";
import { blockBytesDefault, mergedBefore } from "./merger.ts";
import { readable } from "./replay.ts";
import type { RetentionPolicy } from "./retention.ts";
import { type Segment, chainHash, lastOf, zeroHash } from "./segment.ts";
import type { StoredSegment } from "./store-port.ts";

export interface CompactorOptions {
  readonly log: Log;
  readonly committer: Committer;
  readonly policy: RetentionPolicy;
  /** How far the peer has an origin of this side durable. */
  readonly acked: (origin: Incarnation) => number;
  /** Wall clock, ms: as what segments say of when they arrived. */
  readonly now: () => number;
  /** A run of about so many bytes is looked at together. */
  readonly runBytes?: number | undefined;
}

/** What a pass has come to. */
interface Pass {
  /** Where the next run begins. */
  next: number;
  /** Nothing after this position is touched. */
  readonly horizon: number;
  /** Chain hashes where the walk stands. */
  readonly chains: Map<Incarnation, Mark>;
}

interface Placed extends PlacedSegment {
  readonly stored: StoredSegment;
}

/** Neighbours in position, and dense in each origin. */
interface Run {
  readonly members: readonly Placed[];
  /** Of each origin, the chain hash before its first member. */
  readonly before: ReadonlyMap<Incarnation, Uint8Array>;
  /** Position of what comes next. */
  readonly next: number;
}

/** A cover has room for more, and none has so many. */
const runPositionsMax = 2 ** 31;
/** What a record costs beside its segment: keys, index entries, envelope. */
const recordBytes = 200;
/** A run is written again when it becomes smaller than this share of what it was. */
const worthwhileShare = 0.75;

export class Compactor {
  readonly log: Log;
  readonly #options: CompactorOptions;
  readonly #stop: () => void;
  #pass: Pass | undefined;

  constructor(options: CompactorOptions) {
    this.log = options.log;
    this.#options = options;
    // What was read before the log was put right is not to be written after.
    this.#stop = options.log.onReset(() => {
      this.#pass = undefined;
    });
  }

  /**
   * Looks at one run, and writes it again where that is worth it.
   * @returns whether the pass goes on
   */
  async slice(): Promise<boolean> {
    if (!this.log.isOpen) return false;
    const pass = (this.#pass ??= await this.#begin());
    const run = await this.#gather(pass);
    const isOver = run.next === pass.next || run.next > pass.horizon;
    if (run.members.length > 0) await this.#rewrite(run, pass);
    if (this.#pass !== pass) return false;
    pass.next = run.next;
    if (isOver) this.#pass = undefined;
    return !isOver;
  }

  async #begin(): Promise<Pass> {
    const { log } = this;
    const { committer } = this.#options;
    const limits = [await oldestCheckpoint(log, committer), await mergedBefore(committer, log.id)];
    limits.push(await slowestCursor(log, committer));
    return { next: 1, horizon: Math.min(...limits), chains: new Map() };
  }

  /** Records from where the pass stands: those that can't be covered are passed over, where they come first. */
  async #gather(pass: Pass): Promise<Run> {
    const { committer, runBytes = blockBytesDefault } = this.#options;
    const members: Placed[] = [];
    const before = new Map<Incarnation, Uint8Array>();
    let { next } = pass;
    let bytes = 0;
    // What was covered together stays together.
    let spanTo = 0;
    const isEnough = (): boolean => bytes >= runBytes || next - pass.next >= runPositionsMax;
    const isDone = (): boolean => members.length > 0 && next > spanTo && isEnough();
    while (next <= pass.horizon && !isDone()) {
      const records = await committer.store.read(this.log.id, next, runBytes);
      const start = next;
      for (const record of records) {
        if (isDone() || record.position > pass.horizon) return { members, before, next };
        const to = record.position + (record.count ?? 1);
        const segment = readable(record, this.log.stored.digest);
        const isNeighbour = record.position === next || members.length === 0;
        const fits = isNeighbour && segment !== undefined && (await this.#follows(segment, pass, before));
        if (segment === undefined || record.segment === undefined || !fits || to - 1 > pass.horizon) {
          // Half of what was covered together is left as it is.
          if (members.length > 0) return { members: next > spanTo ? members : [], before, next };
          next = to;
          continue;
        }
        members.push({ segment, position: record.position, stored: record });
        bytes += segment.bytes.length;
        spanTo = Math.max(spanTo, segment.cover?.places?.span.to ?? 0);
        next = to;
      }
      if (next === start) break;
    }
    return { members: next > spanTo ? members : [], before, next };
  }

  /** Whether a segment may be covered: the peer has it where it must, and the chain hash before it is known. */
  async #follows(segment: Segment, { chains }: Pass, before: Map<Incarnation, Uint8Array>): Promise<boolean> {
    const { origin, lo } = segment;
    const { log } = this;
    const isOwn = sideOf(origin) === log.side;
    if (isOwn && lastOf(segment) > this.#options.acked(origin)) return false;
    if (lastOf(segment) > (log.histories.get(origin)?.end ?? 0)) return false;
    const chain = chains.get(origin);
    let hash = chain?.seq === lo - 1 ? chain.hash : undefined;
    if (hash === undefined && !before.has(origin))
      hash = lo === 1 ? zeroHash : await this.#hashAt(origin, lo - 1);
    if (hash === undefined) return false;
    if (!before.has(origin)) before.set(origin, hash);
    const mark = { seq: lastOf(segment), hash: chainHash(hash, segment, log.stored.digest) };
    chains.set(origin, mark);
    if (segment.cover !== undefined) log.histories.get(origin)?.noteEdge(mark);
    return true;
  }

  /** Damage is told of by the log itself. */
  async #hashAt(origin: Incarnation, seq: number): Promise<Uint8Array | undefined> {
    try {
      return await this.log.hashAt(origin, seq);
    } catch (error) {
      if (hasCode(error, "LOG_GAP")) return undefined;
      throw error;
    }
  }

  async #rewrite({ members, before, next }: Run, pass: Pass): Promise<void> {
    const { committer, policy, now } = this.#options;
    const { log } = this;
    const from = members[0]?.position ?? 0;
    const span = { from, to: next - 1 };
    const nowMs = now();
    const covers: StoredSegment[] = [];
    const isSmaller = shrinks(members);
    let forgotten = 0;
    for (const [origin, ofOrigin] of byOrigin(members)) {
      const arrivals = arrivalsOf(ofOrigin);
      const mayForget = (event: Event): boolean => nowMs - arrivals(event.seq) >= policy[event.class];
      const { digest } = log.stored;
      const segment = coverOf(ofOrigin, {
        reason: "compaction",
        hashBefore: before.get(origin) ?? zeroHash,
        digest,
        span,
        choose: (events) => {
          const chosen = kept(events, log.registers, mayForget);
          forgotten += events.length - chosen.length;
          return chosen;
        },
      });
      const position = (covers.at(-1)?.position ?? from) + (covers.at(-1)?.count ?? 0);
      const arrived = Math.max(...ofOrigin.map(({ stored }) => stored.arrived));
      const { lo, count, bytes } = segment;
      covers.push({ log: log.id, origin, lo, count, position, arrived, segment: bytes });
    }
    const hasCommit = members.some(({ segment }) => segment.cover === undefined);
    if ((hasCommit && forgotten === 0) || !isSmaller(covers)) return;
    const packed = await committer.store.pack(covers);
    // What was read may have been taken out meanwhile.
    if (this.#pass !== pass || !log.isOpen) return;
    committer.merge({ log: log.id, from, to: span.to, members: covers, packed });
    await committer.flush();
    for (const { origin } of covers) {
      const mark = pass.chains.get(origin);
      if (mark !== undefined) log.histories.get(origin)?.noteEdge(mark);
    }
  }

  close(): void {
    this.#stop();
  }
}

function shrinks(members: readonly Placed[]): (covers: readonly StoredSegment[]) => boolean {
  const sizeOf = (sizes: readonly Uint8Array[]): number =>
    sizes.reduce((sum, { length }) => sum + length + recordBytes, 0);
  const size = sizeOf(members.map(({ segment }) => segment.bytes));
  return (covers) => sizeOf(covers.map(({ segment }) => segment)) <= size * worthwhileShare;
}

/** When the event with a sequence arrived, as its segment says. */
function arrivalsOf(placed: readonly Placed[]): (seq: number) => number {
  let index = placed.length - 1;
  return (seq) => {
    // It is asked from the latest to the oldest, as `kept` looks at them.
    while (index > 0 && (placed[index]?.segment.lo ?? 0) > seq) index -= 1;
    while (index < placed.length - 1 && lastOf((placed[index] as Placed).segment) < seq) index += 1;
    return placed[index]?.stored.arrived ?? Number.POSITIVE_INFINITY;
  };
}

/** The log is opened from a checkpoint: nothing is put across one. */
async function oldestCheckpoint({ id }: Log, { store }: Committer): Promise<number> {
  const [oldest] = await store.names(checkpointPrefix(id));
  return oldest === undefined ? 0 : Number.parseInt(oldest.slice(checkpointPrefix(id).length), 16);
}

/** An outbox is told of every event: it is waited for. */
async function slowestCursor({ id }: Log, { store }: Committer): Promise<number> {
  let slowest = Number.POSITIVE_INFINITY;
  for (const name of await store.names(`cursor!${id}!`)) {
    const stored = await store.get(name).catch((error: unknown) => {
      if (hasCode(error, "SEGMENT_CORRUPT")) return undefined;
      throw error;
    });
    const cursor = stored === undefined ? 0 : unpack(stored);
    slowest = Math.min(slowest, typeof cursor === "number" ? cursor : 0);
  }
  return slowest;
}
