/**
 * Forgets, in the oldest part of one log, what retention lets go and no fold needs: a pass walks from the start of the
 * log to the horizon, and puts covers in the place of what it finds, a block at a time. Each is one batch: a crash at
 * any moment loses nothing, and the next pass finds what is left to do by itself.
 */
import { checkpointPrefix, edgesName, encodeEdges } from "./checkpoint.ts";
import { unpack } from "./codec.ts";
import type { Committer } from "./committer.ts";
import { type PlacedSegment, Survey, byOrigin, coverOf, isKept } from "./compaction.ts";
import { type KeptEvent, keptOf } from "./cover.ts";
import { hasCode } from "./errors.ts";
import { type Incarnation, sideOf } from "./event.ts";
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

/** What a pass has come to: first it looks at all there is, then it writes. */
interface Pass {
  readonly survey: Survey;
  /** Of each origin the latest event that is past retention. */
  readonly aged: Map<Incarnation, number>;
  /** How far it has looked. */
  surveyed: number;
  /** Wall clock when it began. */
  readonly nowMs: number;
  /** Where the next run begins. */
  next: number;
  /** Nothing after this position is touched. */
  readonly horizon: number;
  /** Chain hashes where the walk stands. */
  readonly chains: Map<Incarnation, Mark>;
}

/** Neighbours in position, and dense in each origin. */
interface Run {
  readonly members: readonly PlacedSegment[];
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
   * Looks at a part of the log; once all was looked at, writes a run again where that is worth it.
   * @returns whether the pass goes on
   */
  async slice(): Promise<boolean> {
    if (!this.log.isOpen) return false;
    const pass = (this.#pass ??= await this.#begin());
    if (pass.surveyed < pass.horizon) {
      await this.#look(pass);
      return this.#pass === pass;
    }
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
    const { committer, now } = this.#options;
    const limits = [await oldestCheckpoint(log, committer), await mergedBefore(committer, log.id)];
    limits.push(await slowestCursor(log, committer));
    const horizon = Math.min(...limits);
    return {
      survey: new Survey(),
      aged: new Map(),
      surveyed: 0,
      nowMs: now(),
      next: 1,
      horizon,
      chains: new Map(),
    };
  }

  /** Takes note of what is past retention, a part at a time. */
  async #look(pass: Pass): Promise<void> {
    const { committer, runBytes = blockBytesDefault } = this.#options;
    const records = await committer.store.read(this.log.id, pass.surveyed + 1, runBytes);
    for (const record of records) {
      pass.surveyed = Math.max(pass.surveyed, record.position + (record.count ?? 1) - 1);
      const segment = readable(record, this.log.stored.digest);
      if (segment === undefined || record.segment === undefined || pass.surveyed > pass.horizon) continue;
      for (const each of keptOf(segment, record.position, record.arrived)) {
        if (!this.#mayForget(each, pass)) continue;
        const { origin, seq } = each.event;
        pass.survey.note(each.event);
        pass.aged.set(origin, Math.max(seq, pass.aged.get(origin) ?? 0));
      }
    }
    if (records.length === 0) pass.surveyed = pass.horizon;
  }

  #mayForget({ event, arrived = Number.POSITIVE_INFINITY }: KeptEvent, { nowMs }: Pass): boolean {
    return nowMs - arrived >= this.#options.policy[event.class];
  }

  /** Records from where the pass stands: those that can't be covered are passed over, where they come first. */
  async #gather(pass: Pass): Promise<Run> {
    const { committer, runBytes = blockBytesDefault } = this.#options;
    const members: PlacedSegment[] = [];
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
        members.push({ segment, position: record.position, arrived: record.arrived });
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
    if (segment.cover !== undefined)
      log.histories.get(origin)?.noteCover(segment.lo, mark, segment.cover.wholeFrom);
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
    const { committer } = this.#options;
    const { log } = this;
    const from = members[0]?.position ?? 0;
    const span = { from, to: next - 1 };
    const { digest } = log.stored;
    const covers: StoredSegment[] = [];
    const isSmaller = shrinks(members);
    let forgotten = 0;
    for (const [origin, ofOrigin] of byOrigin(members)) {
      const segment = coverOf(ofOrigin, {
        reason: "compaction",
        hashBefore: before.get(origin) ?? zeroHash,
        digest,
        span,
        replacedUpTo: pass.aged.get(origin),
        keeps: (each) => {
          const isLeft = !this.#mayForget(each, pass) || isKept(each.event, pass.survey);
          if (!isLeft) forgotten += 1;
          return isLeft;
        },
      });
      const last = covers.at(-1);
      const position = last === undefined ? from : last.position + last.count;
      const arrived = Math.max(...ofOrigin.map((placed) => placed.arrived));
      const { lo, count, bytes } = segment;
      covers.push({ log: log.id, origin, lo, count, position, arrived, segment: bytes });
    }
    const hasCommit = members.some(({ segment }) => segment.cover === undefined);
    if ((hasCommit && forgotten === 0) || !isSmaller(covers)) return;
    const packed = await committer.store.pack(covers);
    // What was read may have been taken out meanwhile.
    if (this.#pass !== pass || !log.isOpen) return;
    for (const { origin, lo } of covers) {
      const mark = pass.chains.get(origin);
      if (mark !== undefined) log.histories.get(origin)?.noteCover(lo, mark, pass.aged.get(origin) ?? 0);
    }
    committer.put(edgesName(log.id), encodeEdges(log.histories.values()));
    committer.merge({ log: log.id, from, to: span.to, members: covers, packed });
    await committer.flush();
  }

  close(): void {
    this.#stop();
  }
}

function shrinks(members: readonly PlacedSegment[]): (covers: readonly StoredSegment[]) => boolean {
  const sizeOf = (sizes: readonly Uint8Array[]): number =>
    sizes.reduce((sum, { length }) => sum + length + recordBytes, 0);
  const size = sizeOf(members.map(({ segment }) => segment.bytes));
  return (covers) => sizeOf(covers.map(({ segment }) => segment)) <= size * worthwhileShare;
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
