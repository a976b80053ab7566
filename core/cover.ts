/**
 * Covers: segments that stand for a range of one origin of which not every event is kept. They say the range, the chain
 * hash before and after it, and why; what they keep are the events' original bytes, each with its own sequence and
 * what it had seen.
 *
 * Layout, numbers big-endian (`docs/log-format.md`); header and checksum are where those of a commit are:
 *
 *     0  u8   format version, 1
 *     1  u8   kind: 3
 *     2  u8   flags: 2 = arrival positions follow
 *     3  u8   why: 1 compaction, 2 retention, 3 damage
 *     4  14×  origin, ASCII
 *    18  u64  first sequence of the range
 *    26  u32  sequences in the range
 *    30  u32  bytes of kept events
 *    34  32×  chain hash before the range
 *    66  32×  chain hash after it
 *    98  u32  number of kept events
 *   102  u32  entries in the table of `seen`
 *   106  u64  from this sequence on the past is whole: what is gone, was replaced up to it
 *     …  …    that table: each u8 count, and as many times origin (14, ASCII), sequence (u64)
 *     …  u32× of each kept event, which entry of the table it had seen
 *     …       when flagged: u64 first and u64 last arrival position of what was covered together; of each kept event,
 *             u32×, its own, counted from the first; and, f64×, when it arrived
 *     …       the kept events
 *     …  u32  CRC-32 of all before it
 */
import { type Event, type Incarnation, type Seen } from "./event.ts";
import { EventReader, type ReadEvent } from "./event-reader.ts";
import { decodeEvents } from "./codec.ts";
import type { Range } from "./history.ts";
import type { Digest } from "./ports.ts";
import {
  type Cover,
  type CoverReason,
  type Places,
  type Segment,
  corrupt,
  coverReasons,
  crcLength,
  hashLength,
  kindCover,
  lastOf,
  maxSegmentEvents,
  maxSeen,
  newer,
  readOriginAt,
  readSeen,
  readU64,
  seenLength,
  segmentVersion,
  viewOf,
  writeAscii,
  writeSeen,
  writeU64,
} from "./segment-bytes.ts";

/** An event of a segment, its bytes, and when it arrived in this replica, where that is known. */
export interface KeptEvent extends ReadEvent {
  readonly arrived?: number | undefined;
}

export interface CoverDraft {
  readonly origin: Incarnation;
  /** The range. */
  readonly lo: number;
  readonly to: number;
  readonly reason: CoverReason;
  readonly hashBefore: Uint8Array;
  readonly hashAfter: Uint8Array;
  /** What is not kept, was replaced by this sequence at the latest; the end of the range unless said. */
  readonly wholeFrom?: number | undefined;
  /** In order of sequence. */
  readonly kept: readonly KeptEvent[];
  /** The arrival positions of all that is covered together; unless said, position follows sequence. */
  readonly span?: Range | undefined;
}

export { coverReasons, type CoverReason } from "./segment-bytes.ts";

const flagPlaces = 2;
/** Position and arrival of one event. */
const placeLength = 12;
const tableAt = 114;

/** A cover has at most so many sequences; a longer range takes several. */
export const maxCovered = 0xffff_ffff;

export function encodeCover(draft: CoverDraft, digest: Digest): Segment {
  const { origin, lo, to, reason, hashBefore, hashAfter, wholeFrom = to, kept, span } = draft;
  const { table, indexes, tableLength } = seenTable(kept);
  const eventsLength = kept.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const placesLength = span === undefined ? 0 : 16 + kept.length * placeLength;
  const length = tableAt + tableLength + kept.length * 4 + placesLength + eventsLength + crcLength;
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  bytes[0] = segmentVersion;
  bytes[1] = kindCover;
  bytes[2] = span === undefined ? 0 : flagPlaces;
  bytes[3] = coverReasons.indexOf(reason) + 1;
  writeAscii(bytes, 4, origin);
  writeU64(view, 18, lo);
  view.setUint32(26, to - lo + 1);
  view.setUint32(30, eventsLength);
  bytes.set(hashBefore, 34);
  bytes.set(hashAfter, 34 + hashLength);
  view.setUint32(98, kept.length);
  view.setUint32(102, table.length);
  writeU64(view, 106, Math.max(wholeFrom, to));
  let at = tableAt;
  for (const seen of table) {
    bytes[at] = seen.length;
    writeSeen(bytes, at + 1, seen);
    at += 1 + seen.length * seenLength;
  }
  for (const index of indexes) {
    view.setUint32(at, index);
    at += 4;
  }
  if (span !== undefined) {
    writeU64(view, at, span.from);
    writeU64(view, at + 8, span.to);
    at += 16;
    for (const { event } of kept) {
      view.setUint32(at, event.position - span.from);
      at += 4;
    }
    for (const { arrived = 0 } of kept) {
      view.setFloat64(at, arrived);
      at += 8;
    }
  }
  for (const { bytes: event } of kept) {
    bytes.set(event, at);
    at += event.length;
  }
  view.setUint32(at, digest.crc32(bytes.subarray(0, at)));
  return parseCover(bytes);
}

/** What the kept events had seen, each different list once; those of one commit have the same. */
function seenTable(kept: readonly KeptEvent[]): {
  table: (readonly Seen[])[];
  indexes: number[];
  tableLength: number;
} {
  const table: (readonly Seen[])[] = [];
  const known = new Map<string, number>();
  let tableLength = 0;
  const indexes = kept.map(({ event: { seen } }) => {
    const name = seen.map(({ origin, seq }) => `${origin}/${seq}`).join();
    let index = known.get(name);
    if (index === undefined) {
      index = table.push(seen) - 1;
      known.set(name, index);
      tableLength += 1 + seen.length * seenLength;
    }
    return index;
  });
  return { table, indexes, tableLength };
}

/** For `parseSegment`, which has looked at length, version and checksum. @throws SEGMENT_CORRUPT, FORMAT_NEWER */
export function parseCover(bytes: Uint8Array): Segment {
  if (bytes.length < tableAt + crcLength) throw corrupt("it is too short");
  const view = viewOf(bytes);
  const [, , flags = 0, reasonCode = 0] = bytes;
  const reason = coverReasons[reasonCode - 1];
  if ((flags & ~flagPlaces) !== 0) throw newer(`flags ${flags}`);
  if (reason === undefined) throw newer(`reason ${reasonCode}`);
  const lo = readU64(view, 18);
  const count = view.getUint32(26);
  const keptCount = view.getUint32(98);
  if (lo < 1 || count === 0 || lo + count > Number.MAX_SAFE_INTEGER)
    throw corrupt(`sequences ${lo} + ${count}`);
  if (keptCount > Math.min(count, maxSegmentEvents)) throw corrupt(`${keptCount} events kept of ${count}`);
  const eventsAt = bytes.length - crcLength - view.getUint32(30);
  const wholeFrom = readU64(view, 106);
  if (wholeFrom < lo + count - 1 || !Number.isSafeInteger(wholeFrom))
    throw corrupt(`whole from ${wholeFrom}`);
  const { seen, at } = readSeenTable(bytes, keptCount, eventsAt);
  const hasPlaces = (flags & flagPlaces) !== 0;
  if (at + (hasPlaces ? 16 + keptCount * placeLength : 0) !== eventsAt)
    throw corrupt("its length is not what it declares");
  return {
    origin: readOriginAt(bytes, 4),
    lo,
    count,
    seen: [],
    events: bytes.subarray(eventsAt, bytes.length - crcLength),
    mac: undefined,
    cover: {
      reason,
      hashBefore: bytes.subarray(34, 34 + hashLength),
      hashAfter: bytes.subarray(34 + hashLength, 34 + 2 * hashLength),
      wholeFrom,
      seen,
      places: hasPlaces ? readPlaces(view, at, keptCount) : undefined,
    },
    bytes,
  };
}

/** @returns what each kept event had seen, and where the table and its indexes end */
function readSeenTable(
  bytes: Uint8Array,
  keptCount: number,
  end: number,
): { seen: (readonly Seen[])[]; at: number } {
  const view = viewOf(bytes);
  const tableCount = view.getUint32(102);
  if (tableCount > keptCount) throw corrupt(`${tableCount} entries in the table of seen`);
  const table: Seen[][] = [];
  let at = tableAt;
  for (let index = 0; index < tableCount; index += 1) {
    const entries = bytes[at] ?? 0;
    if (entries > maxSeen || at + 1 + entries * seenLength > end)
      throw corrupt("its table of seen is cut off");
    table.push(readSeen(bytes, at + 1, entries));
    at += 1 + entries * seenLength;
  }
  if (at + keptCount * 4 > end) throw corrupt("its length is not what it declares");
  const seen: (readonly Seen[])[] = [];
  for (let index = 0; index < keptCount; index += 1) {
    const entry = table[view.getUint32(at)];
    if (entry === undefined) throw corrupt("an event names no entry of the table of seen");
    seen.push(entry);
    at += 4;
  }
  return { seen, at };
}

function readPlaces(view: DataView, at: number, keptCount: number): Places {
  const from = readU64(view, at);
  const to = readU64(view, at + 8);
  if (from < 1 || to < from || !Number.isSafeInteger(to)) throw corrupt(`positions ${from} to ${to}`);
  const positions: number[] = [];
  for (let index = 0; index < keptCount; index += 1) {
    const position = from + view.getUint32(at + 16 + index * 4);
    if (position > to || position <= (positions.at(-1) ?? 0)) throw corrupt(`position ${position}`);
    positions.push(position);
  }
  const arrivalsAt = at + 16 + keptCount * 4;
  const arrivals = positions.map((_, index) => view.getFloat64(arrivalsAt + index * 8));
  return { span: { from, to }, positions, arrivals };
}

/**
 * The events of a segment, in order of sequence: of a commit all of its range, of a cover those that it keeps.
 * @param position of the segment in this replica
 * @throws EVENT_INVALID
 */
export function eventsOf(segment: Segment, position: number): Event[] {
  if (segment.cover !== undefined) return keptOf(segment, position).map(({ event }) => event);
  const { origin, lo, count, seen } = segment;
  return decodeEvents(segment.events, { origin, lo, count, seen, position });
}

/**
 * As `eventsOf`, with the bytes of each, and when it arrived.
 * @param arrived when the segment did
 * @throws EVENT_INVALID
 */
export function keptOf(segment: Segment, position: number, arrived?: number): KeptEvent[] {
  const { origin, lo, count, seen, cover } = segment;
  const places = cover?.places;
  const events = new EventReader(segment.events).readKept({
    origin,
    lo,
    to: lastOf(segment),
    count: cover === undefined ? count : cover.seen.length,
    seen: (index) => cover?.seen[index] ?? seen,
    position: (index, seq) => places?.positions[index] ?? position + seq - lo,
  });
  return events.map((each, index) => ({ ...each, arrived: places?.arrivals[index] ?? arrived }));
}

/** The part of a cover that lies after `after`, where the chain hash is `hashBefore`. Its positions follow sequence. */
export function cutCover(cover: Segment, after: number, hashBefore: Uint8Array, digest: Digest): Segment {
  const { reason, hashAfter, wholeFrom } = coverOf(cover);
  const { origin } = cover;
  const kept = keptOf(cover, 1).filter(({ event }) => event.seq > after);
  return encodeCover(
    { origin, lo: after + 1, to: lastOf(cover), reason, hashBefore, hashAfter, wholeFrom, kept },
    digest,
  );
}

/** As it goes to the peer, to which this replica's positions say nothing. */
export function withoutPlaces(segment: Segment, digest: Digest): Segment {
  if (segment.cover?.places === undefined) return segment;
  return cutCover(segment, segment.lo - 1, segment.cover.hashBefore, digest);
}

function coverOf({ cover }: Segment): Cover {
  if (cover === undefined) throw corrupt("a commit is no cover");
  return cover;
}
