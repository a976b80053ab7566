/**
 * Reads a log's stored segments in order of position, and checks them as it goes: nothing that the disk says is
 * trusted, because LevelDB skips damage in its own write-ahead log without a word.
 */
import { eventsOf } from "./cover.ts";
import { type ErrorCode, TidemarkError, hasCode } from "./errors.ts";
import type { Event, Incarnation, LogId } from "./event.ts";
import { History, type Range } from "./history.ts";
import type { Digest } from "./ports.ts";
import { type Segment, chainHash, lastOf, parseSegment } from "./segment.ts";
import type { ReadRecord, Store, StoredSegment } from "./store-port.ts";

/** Something wrong with what is stored. Sequences where the origin is known, else positions. */
export interface Problem {
  readonly code: ErrorCode;
  readonly origin: Incarnation | undefined;
  readonly from: number;
  readonly to: number;
}

export interface ReplayOptions {
  readonly store: Store;
  readonly log: LogId;
  readonly digest: Digest;
  /** Position to start at. */
  readonly from: number;
  /** Position after which no segment begins; the log's end unless said. */
  readonly to?: number;
  /** Positions that were taken out on purpose. */
  readonly removed: readonly Range[];
  /** What is held before `from`; brought up to the end. */
  readonly histories: Map<Incarnation, History>;
  /** Takes each segment in. Events are in order within their origin, holes or not. */
  readonly take: (events: readonly Event[], segment: Segment, stored: StoredSegment) => void;
  readonly onProgress?: ((events: number) => void) | undefined;
}

export interface ReplayResult {
  readonly problems: Problem[];
  /** Position of the last record, readable or not. */
  readonly position: number;
  readonly events: number;
  readonly segments: number;
}

/** Little enough that the events of one read are gone before the garbage collector has moved them. */
const readBytes: number = 256 * 1024;

/** @throws FORMAT_NEWER: a newer version wrote here, and this one must not go on */
export async function replay(options: ReplayOptions): Promise<ReplayResult> {
  const steps = replaySteps(options);
  for (;;) {
    const step = await steps.next();
    if (step.done === true) return step.value;
    options.onProgress?.(step.value);
  }
}

/** As `replay`, some segments at a time, for those who do something in between. Yields how many events there were yet. */
export async function* replaySteps(options: ReplayOptions): AsyncGenerator<number, ReplayResult> {
  const { store, log, removed, to = Infinity } = options;
  const walk = { problems: [] as Problem[], position: options.from - 1, events: 0, segments: 0 };
  for (;;) {
    const records = await store.read(log, walk.position + 1, readBytes);
    // What was covered since the last step may begin before it and end after it.
    const fresh = records.filter((record) => endOf(record) > walk.position && record.position <= to);
    if (fresh.length === 0) break;
    for (const record of fresh) {
      if (record.position > walk.position + 1)
        missing(walk.position + 1, record.position - 1, removed, walk.problems);
      const { positions, events } = takeRecord(record, options, walk.problems);
      walk.position = record.position + positions - 1;
      walk.events += events;
      walk.segments += 1;
    }
    yield walk.events;
  }
  for (const history of options.histories.values()) {
    await absorbBeyond({ store, log, digest: options.digest, history });
    const { origin, hole, end, beyond, top } = history;
    if (hole !== undefined) walk.problems.push({ code: "LOG_GAP", origin, ...hole });
    // It is there by position, and nothing of it by sequence: half of its index is lost.
    else if (beyond.length > 0) walk.problems.push({ code: "LOG_GAP", origin, from: end + 1, to: top });
  }
  return {
    ...walk,
    problems: walk.problems.filter((problem) => isOpen(problem, options.histories, removed)),
  };
}

/**
 * Whether what was lost has not come back since, and is not past the end at which its incarnation was closed. Of what
 * was lost with its name, whether its positions are not accounted for.
 */
export function isOpen(
  { origin, from, to }: Problem,
  histories: ReadonlyMap<Incarnation, History>,
  removed: readonly Range[],
): boolean {
  if (origin === undefined) return !removed.some((range) => range.from <= from && to <= range.to);
  const { end = 0, closedAt = to } = histories.get(origin) ?? {};
  return from <= closedAt && end < Math.min(to, closedAt);
}

/** `ORIGIN/FROM-TO`, or `positions/FROM-TO` where the origin is not known. */
export function rangeText({
  origin,
  from,
  to,
}: {
  origin?: string | null | undefined;
  from: number;
  to: number;
}): string {
  return `${origin ?? "positions"}/${from}-${to}`;
}

function missing(from: number, to: number, removed: readonly Range[], problems: Problem[]): void {
  let next = from;
  for (const range of removed.toSorted((a, b) => a.from - b.from)) {
    if (range.to < next || range.from > to) continue;
    if (range.from > next)
      problems.push({ code: "LOG_GAP", origin: undefined, from: next, to: range.from - 1 });
    next = range.to + 1;
  }
  if (next <= to) problems.push({ code: "LOG_GAP", origin: undefined, from: next, to });
}

/** @returns how many positions the record takes, and how many events it has */
function takeRecord(
  record: ReadRecord,
  options: ReplayOptions,
  problems: Problem[],
): { positions: number; events: number } {
  const { position } = record;
  if (record.segment === undefined) {
    const { origin, lo, count = 1 } = record;
    const from = lo ?? position;
    problems.push({ code: "SEGMENT_CORRUPT", origin, from, to: from + count - 1 });
    return { positions: count, events: 0 };
  }
  try {
    const segment = parseSegment(record.segment, options.digest);
    const events = eventsOf(segment, position);
    place(segment, options);
    options.take(events, segment, record);
    return { positions: segment.count, events: events.length };
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.code === "FORMAT_NEWER") throw error;
    const { origin, lo, count } = record;
    problems.push({ code: error.code, origin, from: lo, to: lo + count - 1 });
    return { positions: count, events: 0 };
  }
}

function endOf({ position, count = 1 }: ReadRecord): number {
  return position + count - 1;
}

function place(segment: Segment, { histories, digest }: ReplayOptions): void {
  const history = historyOf(histories, segment.origin);
  switch (history.place(segment)) {
    case "next":
    case "known":
      history.checkEdge(segment);
      history.settle(segment, chainHash(history.hash, segment, digest));
      break;
    case "gap":
      if (segment.cover !== undefined && segment.lo <= history.end)
        history.settle(segment, segment.cover.hashAfter);
      else history.extendBeyond(segment);
      break;
    case "held":
      // What filled a hole arrives after what lies beyond it. Twice the same changes nothing.
      break;
  }
}

export function historyOf(histories: Map<Incarnation, History>, origin: Incarnation): History {
  let history = histories.get(origin);
  if (history === undefined) {
    history = new History(origin);
    histories.set(origin, history);
  }
  return history;
}

interface Beyond {
  readonly store: Store;
  readonly log: LogId;
  readonly digest: Digest;
  readonly history: History;
}

/** Carries an origin's chain across what was stored beyond a hole that has been filled. */
export async function absorbBeyond(options: Beyond): Promise<void> {
  const { store, log, digest, history } = options;
  while (history.beyond[0] !== undefined && history.beyond[0].from <= history.end + 1) {
    const records = await store.readOrigin(log, history.origin, history.end + 1, readBytes);
    const before = history.end;
    for (const record of records) {
      const segment = readable(record, digest);
      // What came again lies also where it was damaged.
      if (segment === undefined) continue;
      if (segment.lo > history.end + 1) break;
      // A cover that came for the hole may end inside one that was here.
      const isNext =
        segment.cover === undefined ? segment.lo === history.end + 1 : lastOf(segment) > history.end;
      if (isNext) history.settle(segment, chainHash(history.hash, segment, digest));
    }
    if (history.end === before) {
      await loseUnreadable(options);
      return;
    }
  }
}

/**
 * What follows the end is said to be there, by a snapshot or by position, and can't be read by sequence. It counts as
 * lost up to what can be, and comes from the peer; else its owner would seem to have been rolled back to here.
 */
async function loseUnreadable({ store, log, digest, history }: Beyond): Promise<void> {
  const { origin, end, top } = history;
  for (let next = end + 1; next <= top;) {
    const records = await store.readOrigin(log, origin, next, readBytes);
    const before = next;
    for (const record of records) {
      const { lo = 0, count = 1 } = record;
      if (lo > end + 1 && readable(record, digest) !== undefined) {
        history.lose(lo - 1);
        return;
      }
      next = Math.max(next, lo + count);
    }
    if (next === before) return;
  }
}

/** The segment of a record. @returns undefined where its bytes are gone or wrong. @throws FORMAT_NEWER */
export function readable(record: ReadRecord, digest: Digest): Segment | undefined {
  if (record.segment === undefined) return undefined;
  try {
    return parseSegment(record.segment, digest);
  } catch (error) {
    if (hasCode(error, "SEGMENT_CORRUPT")) return undefined;
    throw error;
  }
}

/** The events of a record. @returns undefined where its bytes are gone or wrong. @throws FORMAT_NEWER */
export function readableEvents(record: ReadRecord, digest: Digest): Event[] | undefined {
  const segment = readable(record, digest);
  return segment && soundEvents(segment, record.position);
}

/** As `eventsOf`. @returns undefined where one of them can't be read */
export function soundEvents(segment: Segment, position: number): Event[] | undefined {
  try {
    return eventsOf(segment, position);
  } catch (error) {
    if (hasCode(error, "EVENT_INVALID")) return undefined;
    throw error;
  }
}
