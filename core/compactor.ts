/**
 * Forgets, in the oldest part of one log, what retention lets go and no fold needs: a pass walks from the start of the
 * log to the horizon, and puts covers in the place of what it finds, a block at a time. Each is one batch: a crash at
 * any moment loses nothing, and the next pass finds what is left to do by itself.
 */
import { checkpointPrefix, edgesName, encodeEdges } from "./checkpoint.ts";
import { calibratedTime } from "./clock.ts";
import { unpack } from "./codec.ts";
import type { Committer } from "./committer.ts";
import { type PlacedSegment, Survey, byOrigin, coverOf, isKept } from "./compaction.ts";
import { type Run, RunBuilder } from "./compactor-run.ts";
import { type KeptEvent, keptOf } from "./cover.ts";
import { hasCode } from "./errors.ts";
import { type Event, type Incarnation, sideOf } from "./event.ts";
import type { Log } from "./log.ts";
import type { Mark } from "./marks.ts";
import { blockBytesDefault } from "./block-size.ts";
import { mergedBefore } from "./merger.ts";
import { type Dropped, droppedDraft } from "./log-dropped.ts";
import { readable } from "./replay.ts";
import { type Demand, type RetentionPolicy, ageOf, leastAge, mayGoUndelivered } from "./retention.ts";
import { outboxPrefix } from "./rules.ts";
import { type Segment, chainHash, coveredCount, lastOf, zeroHash } from "./segment.ts";
import { sayEnded } from "./say-ended.ts";
import type { ReadRecord, StoredSegment } from "./store-port.ts";
import { undamaged } from "./undamaged.ts";
import { YoungRanges } from "./young-ranges.ts";

export interface CompactorOptions {
  readonly log: Log;
  readonly committer: Committer;
  /** Asked when a pass begins. */
  readonly demand: () => Demand;
  /** How far the other side has an origin of this side durable; for what has no other side, infinity. */
  readonly acked: (origin: Incarnation) => number;
  /** Wall clock, ms: as what segments say of when they arrived. */
  readonly now: () => number;
  /** A run of about so many bytes is looked at together. */
  readonly runBytes?: number | undefined;
}

/** What a pass has come to: first it looks at all there is, then it writes. */
interface Pass {
  readonly demand: Demand;
  /** Of each origin of this side, how far the other side had it when the pass began. */
  readonly acked: Map<Incarnation, number>;
  readonly survey: Survey;
  /** How far it has looked. */
  surveyed: number;
  /** Wall clock when it began. */
  readonly nowMs: number;
  /** Where the next run begins. */
  next: number;
  /** Nothing after this position is touched. */
  horizon: number;
  /** The last position at which something has come to its age. */
  oldTo: number;
  forgotten: number;
  /** How long ago the first commit came that is no part of a cover. */
  oldestMs: number;
  /** Chain hashes where the walk stands. */
  readonly chains: Map<Incarnation, Mark>;
}

/** What a record costs beside its segment: keys, index entries, envelope. */
const recordBytes = 200;
/** A run is written again when it becomes smaller than this share of what it was. */
const worthwhileShare = 0.75;

export class Compactor {
  readonly log: Log;
  readonly #options: CompactorOptions;
  readonly #stop: () => void;
  #pass: Pass | undefined;
  /** What the last pass came to. */
  #last: Pick<Pass, "forgotten" | "oldestMs"> = { forgotten: 0, oldestMs: 0 };
  /** By what was seen under these ages. */
  readonly #young = new YoungRanges();
  #ages: RetentionPolicy | undefined;

  constructor(options: CompactorOptions) {
    this.log = options.log;
    this.#options = options;
    // What was read before the log was put right is not to be written after.
    this.#stop = options.log.onReset(() => {
      this.#pass = undefined;
      this.#young.clear();
    });
  }

  /** How many events the last pass has let go. */
  get forgotten(): number {
    return this.#last.forgotten;
  }

  /** How long ago the oldest of what the last pass saw came that nothing had been let go of, ms; 0 for none. */
  get oldestMs(): number {
    return this.#last.oldestMs;
  }

  /**
   * Looks at a part of the log; once all was looked at, writes a run again where that is worth it.
   * @returns whether the pass goes on
   */
  async slice(): Promise<boolean> {
    const { log } = this;
    if (!log.isOpen) return false;
    const pass = (this.#pass ??= await this.#begin());
    if (pass.surveyed < pass.horizon) {
      await this.#look(pass);
      if (this.#pass === pass && pass.surveyed >= pass.horizon) await sayEnded(log, pass.survey);
      return this.#pass === pass;
    }
    for (let to = this.#youngTo(pass.next, pass); to !== undefined; to = this.#youngTo(pass.next, pass))
      pass.next = to + 1;
    const run = pass.next > pass.oldTo ? undefined : await this.#gather(pass);
    if (run === undefined) return this.#over(pass);
    const isOver = run.next === pass.next || run.next > pass.horizon;
    if (run.members.length > 0) await this.#rewrite(run, pass);
    if (this.#pass !== pass) return false;
    pass.next = run.next;
    return isOver ? this.#over(pass) : true;
  }

  #over(pass: Pass): boolean {
    this.#pass = undefined;
    this.#last = { forgotten: pass.forgotten, oldestMs: pass.oldestMs };
    return false;
  }

  async #begin(): Promise<Pass> {
    const { log } = this;
    const { committer, now } = this.#options;
    const limits = [await oldestCheckpoint(log, committer), await mergedBefore(committer, log.id)];
    limits.push(await slowestCursor(log, committer));
    const horizon = Math.min(...limits);
    const demand = this.#options.demand();
    if (demand.ages !== this.#ages) this.#young.clear();
    this.#ages = demand.ages;
    return {
      demand,
      acked: new Map(),
      survey: new Survey(),
      surveyed: 0,
      nowMs: now(),
      next: 1,
      horizon,
      oldTo: 0,
      forgotten: 0,
      oldestMs: 0,
      chains: new Map(),
    };
  }

  /** Takes note of what is past retention, a part at a time; where all that comes is too young, the pass ends. */
  async #look(pass: Pass): Promise<void> {
    const { committer, runBytes = blockBytesDefault } = this.#options;
    const youngTo = this.#youngTo(pass.surveyed + 1, pass);
    if (youngTo !== undefined) {
      pass.surveyed = youngTo;
      return;
    }
    const records = await committer.store.read(this.log.id, pass.surveyed + 1, runBytes);
    for (const record of records) {
      const isCommit = record.segment !== undefined && coveredCount(record.segment) === undefined;
      if (isCommit) pass.oldestMs = Math.max(pass.oldestMs, ageOf(record.arrived, pass.nowMs));
      if (isTooYoung(record, pass)) {
        pass.horizon = Math.min(pass.horizon, pass.surveyed);
        return;
      }
      pass.surveyed = Math.max(pass.surveyed, record.position + (record.count ?? 1) - 1);
      const segment = readable(record, this.log.stored.digest);
      if (segment === undefined) pass.survey.miss();
      if (segment === undefined || record.segment === undefined || pass.surveyed > pass.horizon) continue;
      const kept = keptOf(segment, record.position, record.arrived);
      this.#noteAges(record.position, pass.surveyed, kept, pass);
      for (const each of kept) {
        pass.survey.see(each.event);
        if (!this.#mayForget(each, pass)) continue;
        pass.oldTo = pass.surveyed;
        pass.survey.note(each.event, calibratedTime(this.log.registers.eras, each.event));
      }
    }
    if (records.length === 0) pass.surveyed = pass.horizon;
  }

  /** Where nothing has come to its age, no pass has to look before something does. */
  #noteAges(from: number, to: number, kept: readonly KeptEvent[], { nowMs, demand }: Pass): void {
    let dueMs = Number.POSITIVE_INFINITY;
    for (const { event, arrived } of kept)
      dueMs = Math.min(dueMs, nowMs + demand.ages[event.class] - ageOf(arrived, nowMs));
    if (kept.length > 0 && dueMs > nowMs) this.#young.note({ from, to, dueMs });
    else this.#young.drop(from, to);
  }

  #youngTo(position: number, { nowMs }: Pass): number | undefined {
    return this.#young.endAt(position, nowMs);
  }

  #mayForget({ event, arrived }: KeptEvent, pass: Pass): boolean {
    const { demand, nowMs } = pass;
    if (ageOf(arrived, nowMs) < demand.ages[event.class]) return false;
    return this.#isDelivered(event.origin, event.seq, pass) || mayGoUndelivered(event, this.log.side, demand);
  }

  /** Whether the other side has what this side wrote; of what it wrote itself, it has. */
  #isDelivered(origin: Incarnation, seq: number, { acked }: Pass): boolean {
    if (sideOf(origin) !== this.log.side) return true;
    let end = acked.get(origin);
    if (end === undefined) acked.set(origin, (end = this.#options.acked(origin)));
    return seq <= end;
  }

  /** Records from where the pass stands: those that can't be covered are passed over, where they come first. */
  async #gather(pass: Pass): Promise<Run> {
    const { committer, runBytes = blockBytesDefault } = this.#options;
    const builder = new RunBuilder(pass.next, runBytes);
    while (builder.next <= pass.horizon) {
      const start = builder.next;
      for (const record of await committer.store.read(this.log.id, start, runBytes)) {
        if (builder.isEnough || record.position > pass.horizon) return builder.run;
        if (await this.#takes(record, builder, pass)) continue;
        if (builder.hasSome) return builder.run;
        builder.skipTo(record.position + (record.count ?? 1));
      }
      if (builder.next === start) break;
    }
    return builder.run;
  }

  /** Adds a record to a run, if it can be covered with what is there. */
  async #takes(record: ReadRecord, builder: RunBuilder, pass: Pass): Promise<boolean> {
    const segment = readable(record, this.log.stored.digest);
    if (segment === undefined || record.segment === undefined) return false;
    if (record.position + record.count - 1 > pass.horizon) return false;
    if (this.#youngTo(record.position, pass) !== undefined) return false;
    const isDelivered = this.#isDelivered(segment.origin, lastOf(segment), pass);
    // Where all of it is kept, ends of commits that the other side may still name are kept too.
    if (!isDelivered && this.log.side === "node" && !pass.demand.undelivered) return false;
    if (!builder.fits(record, segment, isDelivered)) return false;
    if (!(await this.#follows(segment, pass, builder.before))) return false;
    builder.add(record, segment, isDelivered);
    return true;
  }

  /** Whether the chain hash before a segment is known. */
  async #follows(segment: Segment, { chains }: Pass, before: Map<Incarnation, Uint8Array>): Promise<boolean> {
    const { origin, lo } = segment;
    const { log } = this;
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
    const covers: Segment[] = [];
    const stored: StoredSegment[] = [];
    const undelivered = new Tally();
    let forgotten = 0;
    for (const [origin, ofOrigin] of byOrigin(members)) {
      const last = ofOrigin.at(-1)?.segment;
      const isDelivered = last === undefined || this.#isDelivered(origin, lastOf(last), pass);
      const cover = coverOf(ofOrigin, {
        reason: isDelivered ? "compaction" : "retention",
        hashBefore: before.get(origin) ?? zeroHash,
        digest,
        span,
        replacedUpTo: pass.survey.lastOf(origin),
        keeps: (each) => {
          const isLeft = !this.#mayForget(each, pass) || isKept(each.event, pass.survey);
          if (isLeft) return true;
          forgotten += 1;
          if (!isDelivered) undelivered.add(each.event);
          return false;
        },
      });
      covers.push(cover);
      const end = stored.at(-1);
      const position = end === undefined ? from : end.position + end.count;
      const arrived = Math.max(...ofOrigin.map((placed) => placed.arrived));
      const { lo, count, bytes } = cover;
      stored.push({ log: log.id, origin, lo, count, position, arrived, segment: bytes });
    }
    const hasCommit = members.some(({ segment }) => segment.cover === undefined);
    if ((hasCommit && forgotten === 0) || !isWorth(members, stored)) return;
    const packed = await committer.store.pack(stored);
    // What was read may have been taken out meanwhile.
    if (this.#pass !== pass || !log.isOpen) return;
    for (const { origin, lo, count, cover } of covers) {
      if (cover === undefined) continue;
      const end = { seq: lo + count - 1, hash: cover.hashAfter };
      log.histories.get(origin)?.noteCover(lo, end, cover.wholeFrom);
    }
    // In one commit with the cover: neither is there without the other.
    if (log.side === "node")
      log.append(undelivered.dropped().map((dropped) => droppedDraft(log.id, dropped)));
    committer.put(edgesName(log.id), encodeEdges(log.histories.values()));
    committer.merge({ log: log.id, from, to: span.to, members: stored, packed });
    pass.forgotten += forgotten;
    await committer.flush();
  }

  close(): void {
    this.#stop();
  }
}

/** What is let go that the other side never had, by origin and class. */
class Tally {
  readonly #found = new Map<string, Dropped & { to: number; count: number }>();

  add({ origin, seq, class: of }: Event): void {
    const name = `${origin} ${of}`;
    const found = this.#found.get(name);
    if (found === undefined) {
      this.#found.set(name, { origin, from: seq, to: seq, reason: "retention", class: of, count: 1 });
    } else {
      found.to = seq;
      found.count += 1;
    }
  }

  dropped(): Dropped[] {
    return [...this.#found.values()];
  }
}

/** Positions are in order of arrival, so all that comes after is younger. A clock that was ahead proves nothing. */
function isTooYoung(record: ReadRecord, { nowMs, demand }: Pass): boolean {
  if (record.segment === undefined || record.arrived > nowMs) return false;
  return nowMs - record.arrived < leastAge(demand.ages);
}

/** Whether covers are so much smaller than what they take the place of. */
function isWorth(members: readonly PlacedSegment[], covers: readonly StoredSegment[]): boolean {
  const sizeOf = (records: readonly Uint8Array[]): number =>
    records.reduce((sum, { length }) => sum + length + recordBytes, 0);
  const before = sizeOf(members.map(({ segment }) => segment.bytes));
  return sizeOf(covers.map(({ segment }) => segment)) <= before * worthwhileShare;
}

/** The log is opened from a checkpoint: nothing is put across one. */
async function oldestCheckpoint({ id }: Log, { store }: Committer): Promise<number> {
  const [oldest] = await store.names(checkpointPrefix(id));
  return oldest === undefined ? 0 : Number.parseInt(oldest.slice(checkpointPrefix(id).length), 16);
}

/** An outbox is told of every event: it is waited for. */
async function slowestCursor({ id }: Log, { store }: Committer): Promise<number> {
  let slowest = Number.POSITIVE_INFINITY;
  for (const name of await store.names(outboxPrefix(id))) {
    const stored = await undamaged(store, name);
    const cursor = stored === undefined ? 0 : unpack(stored);
    slowest = Math.min(slowest, typeof cursor === "number" ? cursor : 0);
  }
  return slowest;
}
