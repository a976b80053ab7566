/**
 * Reads the past of a log by its history index: where a time lies, and what an object was made of at a cut. What is not
 * merged yet, and what the disk lost and got back, is scanned; so an answer takes as long for a long log as for a short.
 */
import type { Event, Incarnation, Seen, Side } from "./event.ts";
import { sideOf } from "./event.ts";
import { type Era } from "./clock.ts";
import { compareOfSide } from "./generations.ts";
import {
  type Entry,
  type Span,
  decodeEntry,
  decodeGaps,
  decodeSpan,
  gapsName,
  historyPrefix,
  livesAt,
  numberedName,
  spanPrefix,
} from "./history-entries.ts";
import { refOf } from "./history-refs.ts";
import type { Range } from "./history.ts";
import type { Log } from "./log.ts";
import { readableEvents } from "./replay.ts";

/** What of a log its past is read from. */
export type IndexedLog = Pick<Log, "id" | "histories" | "registers" | "stored" | "eventAt" | "applies">;

const nothing: Entry = { before: [], refs: [] };
const readBytes = 256 * 1024;
/** Looking for a time: what is read at a guess, and how many events on either side of it are looked at. */
const probeBytes = 8 * 1024;
const guessSlack = 16;

/** Of each side the last event whose time, put right by what its clock was corrected by since, is not later. */
export async function cutAtTime(log: IndexedLog, timeMs: number): Promise<Record<Side, Seen | undefined>> {
  const found: Record<Side, Seen | undefined> = { cloud: undefined, node: undefined };
  for (const side of ["cloud", "node"] as const) {
    for (const { origin, seq } of originsUpTo(log, side, undefined)) {
      const last = await lastAt(log, origin, seq, timeMs);
      if (last === undefined) continue;
      found[side] = { origin, seq: last };
      break;
    }
  }
  return found;
}

/**
 * The events that one side's part of an object is folded from, at a cut: of each of its origins the latest of each
 * life and slot, and what ended a life. In no order that matters.
 * @param cut the last event of that side that counts in
 */
export async function stateOfSide(
  log: IndexedLog,
  key: string,
  side: Side,
  cut: Seen | undefined,
): Promise<Event[]> {
  if (cut === undefined) return [];
  const events: Event[] = [];
  for (const { origin, seq } of originsUpTo(log, side, cut))
    events.push(...(await stateOfOrigin(log, key, origin, seq)));
  return events;
}

/** The origins of a side, the latest first, each with the last sequence that counts in. */
function originsUpTo({ histories, registers }: IndexedLog, side: Side, cut: Seen | undefined): Seen[] {
  const compare = (a: Seen, b: Seen): number => {
    const order = compareOfSide(registers.generations, a, b);
    return Number.isNaN(order) ? (a.origin < b.origin ? -1 : 1) : order;
  };
  return [...histories.values()]
    .filter(({ origin, top }) => sideOf(origin) === side && top > 0)
    .map(({ origin, top }) => ({ origin, seq: origin === cut?.origin ? Math.min(top, cut.seq) : top }))
    .filter((last) => cut === undefined || compare(last, cut) <= 0)
    .sort((a, b) => compare(b, a));
}

async function stateOfOrigin(
  log: IndexedLog,
  key: string,
  origin: Incarnation,
  cut: number,
): Promise<Event[]> {
  const { store } = log.stored;
  const prefix = historyPrefix(log.id, key, origin);
  const entry = await store.floor(prefix, numberedName(prefix, cut));
  const latest = new Map<string, number>();
  for (const { life, over, slots } of livesAt(decodeEntry(entry) ?? nothing, cut)) {
    if (over > 0) latest.set(`${life}!`, over);
    for (const [slot, seq] of slots) if (seq > 0) latest.set(`${life}!${slot}`, seq);
  }
  const scanned = new Map<number, Event>();
  for (const range of await unindexed(log, origin, cut)) {
    for await (const event of eventsIn(log, origin, range)) {
      const ref = event.key === key && log.applies(event) ? refOf(event) : undefined;
      if (ref === undefined) continue;
      const place = `${ref.life}!${ref.slot ?? ""}`;
      if ((latest.get(place) ?? 0) >= event.seq) continue;
      latest.set(place, event.seq);
      scanned.set(event.seq, event);
    }
  }
  const events: Event[] = [];
  for (const seq of latest.values()) {
    const event = scanned.get(seq) ?? (await log.eventAt(origin, seq));
    if (event !== undefined) events.push(event);
  }
  return events;
}

/** Sequences up to `cut` that no entry tells of: the tail, and gaps. */
async function unindexed(log: IndexedLog, origin: Incarnation, cut: number): Promise<Range[]> {
  const gaps = await gapsOf(log, origin);
  const ranges = gaps
    .filter(({ from }) => from <= cut)
    .map(({ from, to }) => ({ from, to: Math.min(to, cut) }));
  const span = await spanAt(log, origin, cut);
  const end = span?.hi ?? 0;
  if (end < cut) ranges.push({ from: end + 1, to: cut });
  return ranges;
}

/** The last span that begins at or before `seq`. */
async function spanAt(
  { id, stored }: IndexedLog,
  origin: Incarnation,
  seq: number,
): Promise<Span | undefined> {
  const prefix = spanPrefix(id, origin);
  return decodeSpan(await stored.store.floor(prefix, numberedName(prefix, seq)));
}

async function gapsOf({ id, stored }: IndexedLog, origin: Incarnation): Promise<Range[]> {
  return decodeGaps(await stored.store.get(gapsName(id, origin)));
}

/** Readable events of an origin, in order of sequence. */
async function* eventsIn(
  { id, stored }: IndexedLog,
  origin: Incarnation,
  { from, to }: Range,
  atOnceBytes: number = readBytes,
): AsyncGenerator<Event> {
  for (let next = from; next <= to;) {
    const records = await stored.store.readOrigin(id, origin, next, atOnceBytes);
    const before = next;
    for (const record of records) {
      if (record.lo === undefined || record.lo > to) return;
      for (const event of readableEvents(record, stored.digest) ?? [])
        if (event.seq >= from && event.seq <= to) yield event;
      next = Math.max(next, record.lo + (record.count ?? 1));
    }
    if (next === before) return;
  }
}

/** The last sequence of an origin, up to `top`, whose corrected time is at or before an instant. */
export async function lastAt(
  log: IndexedLog,
  origin: Incarnation,
  top: number,
  timeMs: number,
): Promise<number | undefined> {
  const eras = log.registers.eras.get(origin) ?? [];
  const gaps = await gapsOf(log, origin);
  const begins = new Set([1, ...eras.map(({ seq }) => seq), ...(await beginsAfterHoles(log, origin))]);
  let to = top;
  for (const from of [...begins].sort((a, b) => b - a)) {
    // In one era times only rise; put right, they do between the times since which a clock was wrong.
    const later = eras.filter(({ seq }) => seq > from);
    for (const { after, until } of piecesOf(later, timeMs)) {
      const last = await lastWritten(log, origin, { range: { from, to }, until, gaps });
      if (last !== undefined && last.time > after) return last.seq;
    }
    to = Math.min(to, from - 1);
  }
  return undefined;
}

/** An era may have begun in a hole. What is indexed is of one era for as long as its span. */
async function beginsAfterHoles(log: IndexedLog, origin: Incarnation): Promise<number[]> {
  const begins: number[] = [];
  for (const { from } of log.histories.get(origin)?.beyond ?? []) {
    const span = await spanAt(log, origin, from);
    begins.push(span !== undefined && span.hi >= from ? span.lo : from);
  }
  return begins;
}

/** Which times as they were written are, put right, not after an instant: latest first. */
function piecesOf(later: readonly Era[], timeMs: number): { after: number; until: number }[] {
  const sinces = [...new Set(later.map(({ since }) => since))].sort((a, b) => b - a);
  const pieces: { after: number; until: number }[] = [];
  let before = Number.POSITIVE_INFINITY;
  for (const after of [...sinces, Number.NEGATIVE_INFINITY]) {
    let offset = 0;
    for (const era of later) if (era.since <= after) offset += era.offset;
    const until = Math.min(before, timeMs - offset);
    if (until > after) pieces.push({ after, until });
    before = after;
  }
  return pieces;
}

interface Written {
  readonly seq: number;
  /** As it was written. */
  readonly time: number;
}

/** The last event of a range, in one era, that was written at or before a time. */
async function lastWritten(
  log: IndexedLog,
  origin: Incarnation,
  { range, until, gaps }: { readonly range: Range; readonly until: number; readonly gaps: readonly Range[] },
): Promise<Written | undefined> {
  const end = await spanAt(log, origin, range.to);
  const span = await lastSpan(log, origin, { range, until, end });
  const scans = gaps.filter(({ from, to }) => from <= range.to && to >= range.from);
  if ((end?.hi ?? 0) < range.to) scans.push({ from: (end?.hi ?? 0) + 1, to: range.to });
  let found = span && (await lastInSpan(log, origin, span, until));
  for (const { from, to } of scans) {
    const within = { from: Math.max(from, range.from), to: Math.min(to, range.to) };
    for await (const { seq, time } of eventsIn(log, origin, within)) {
      if (time > until) break;
      if (seq > (found?.seq ?? 0)) found = { seq, time };
    }
  }
  return found;
}

/** What is not after a time, of what was written in a span. */
async function lastInSpan(
  log: IndexedLog,
  origin: Incarnation,
  { lo, hi, firstTime, lastTime }: Span,
  until: number,
): Promise<Written> {
  if (lastTime <= until) return { seq: hi, time: lastTime };
  let low: Written = { seq: lo, time: firstTime };
  let high: Written = { seq: hi, time: lastTime };
  for (let nth = 1; low.seq + 1 < high.seq; nth += 1) {
    const guess = guessBetween(low, high, until, nth);
    const from = Math.max(low.seq + 1, guess - guessSlack);
    // What is held no more, or can't be read any more, is passed over: the log reports it.
    let next: Written = { seq: from, time: high.time };
    for await (const event of eventsIn(log, origin, { from, to: high.seq - 1 }, probeBytes)) {
      next = event;
      if (event.time > until) break;
      low = event;
      next = high;
      if (event.seq >= guess + guessSlack) break;
    }
    high = next;
  }
  return low;
}

/** The last span of a range that begins at or before a time. `end` is the last one of all that begin up to its end. */
async function lastSpan(
  log: IndexedLog,
  origin: Incarnation,
  {
    range: { from },
    until,
    end,
  }: { readonly range: Range; readonly until: number; readonly end: Span | undefined },
): Promise<Span | undefined> {
  if (end === undefined || end.lo < from) return undefined;
  if (end.firstTime <= until) return end;
  let found: Span | undefined;
  let low: Written = { seq: from - 1, time: Number.NEGATIVE_INFINITY };
  let high: Written = { seq: end.lo, time: end.firstTime };
  for (let nth = 0; low.seq + 1 < high.seq; nth += 1) {
    const guess = nth === 0 ? from : guessBetween(low, high, until, nth);
    const span = await spanAt(log, origin, guess);
    if (span === undefined || span.lo < from) {
      low = { seq: guess, time: low.time };
    } else if (span.firstTime <= until) {
      found = span;
      low = { seq: Math.max(guess, span.hi), time: span.lastTime };
    } else {
      high = { seq: span.lo, time: span.firstTime };
    }
  }
  return found;
}

/**
 * A sequence between two where a time may lie. Events that come evenly are found at once, and others, by every third
 * guess, in three times as many steps as halving takes.
 */
function guessBetween(low: Written, high: Written, until: number, nth: number): number {
  const share = (until - low.time) / (high.time - low.time);
  const isLikely = nth % 3 > 0 && share >= 0 && share <= 1;
  const guess = Math.round(low.seq + (high.seq - low.seq) * (isLikely ? share : 0.5));
  return Math.min(high.seq - 1, Math.max(low.seq + 1, guess));
}
