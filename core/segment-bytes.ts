/** What segments of both kinds are made of: what is read from them, numbers and names in their bytes, and errors. */
import { TidemarkError } from "./errors.ts";
import { type Incarnation, type Seen, incarnationLength, isIncarnation } from "./event.ts";
import type { Range } from "./history.ts";

export const segmentVersion = 1;
export const kindCover = 3;
export const hashLength = 32;
export const crcLength = 4;
export const maxSegmentEvents = 65_536;

/** An entry of `seen`: origin, ASCII, and sequence, u64. */
export const seenLength: number = incarnationLength + 8;
export const maxSeen = 8;

export interface Segment {
  readonly origin: Incarnation;
  /** The first sequence of its range. */
  readonly lo: number;
  /** How many sequences its range has; a commit has an event for each, a cover for those that it keeps. */
  readonly count: number;
  /** What all its events had seen; of a cover each event has its own. */
  readonly seen: readonly Seen[];
  /** The events, one after the other. A view into `bytes`. */
  readonly events: Uint8Array;
  /** A view into `bytes`. */
  readonly mac: Uint8Array | undefined;
  /** Undefined for a commit. */
  readonly cover: Cover | undefined;
  readonly bytes: Uint8Array;
}

/** The last sequence of a segment's range. */
export function lastOf({ lo, count }: Pick<Segment, "lo" | "count">): number {
  return lo + count - 1;
}

/** Why events of a range are gone. The order is the format's: append only. */
export const coverReasons = ["compaction", "retention", "damage"] as const;
export type CoverReason = (typeof coverReasons)[number];

/** What a cover has that a commit has not. */
export interface Cover {
  readonly reason: CoverReason;
  readonly hashBefore: Uint8Array;
  readonly hashAfter: Uint8Array;
  /** From this sequence on the past is whole: what is not kept, was replaced up to it. */
  readonly wholeFrom: number;
  /** Of each kept event, what it had seen. */
  readonly seen: readonly (readonly Seen[])[];
  /** Where the kept events are in this replica; undefined where position follows sequence. */
  readonly places: Places | undefined;
}

/** Arrival positions, where events of several origins were covered together. */
export interface Places {
  /** All that was covered together. */
  readonly span: Range;
  readonly positions: readonly number[];
  /** When each arrived: ms, as a stored segment says it. */
  readonly arrivals: readonly number[];
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function writeAscii(bytes: Uint8Array, at: number, text: string): void {
  for (let index = 0; index < text.length; index += 1) bytes[at + index] = text.charCodeAt(index);
}

/** A log's segments name the same few again and again. */
const originsRemembered = 8;
const remembered: Incarnation[] = [];

/** @throws SEGMENT_CORRUPT */
export function readOriginAt(bytes: Uint8Array, at: number): Incarnation {
  for (const origin of remembered) if (isAsciiAt(bytes, at, origin)) return origin;
  const origin = decodeOriginAt(bytes, at);
  remembered.unshift(origin);
  if (remembered.length > originsRemembered) remembered.pop();
  return origin;
}

function isAsciiAt(bytes: Uint8Array, at: number, text: string): boolean {
  for (let index = text.length - 1; index >= 0; index -= 1)
    if (bytes[at + index] !== text.charCodeAt(index)) return false;
  return true;
}

function decodeOriginAt(bytes: Uint8Array, at: number): Incarnation {
  let text = "";
  for (let index = 0; index < incarnationLength; index += 1)
    text += String.fromCharCode(bytes[at + index] ?? 0);
  if (!isIncarnation(text)) throw corrupt("an origin is not one");
  return text;
}

export function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value >>> 0);
}

export function readU64(view: DataView, at: number): number {
  return view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4);
}

export function writeSeen(bytes: Uint8Array, at: number, seen: readonly Seen[]): void {
  const view = viewOf(bytes);
  seen.forEach((entry, index) => {
    const entryAt = at + index * seenLength;
    writeAscii(bytes, entryAt, entry.origin);
    writeU64(view, entryAt + incarnationLength, entry.seq);
  });
}

/** @throws SEGMENT_CORRUPT */
export function readSeen(bytes: Uint8Array, at: number, count: number): Seen[] {
  if (count > maxSeen) throw corrupt(`${count} entries in seen`);
  const view = viewOf(bytes);
  const seen: Seen[] = [];
  for (let index = 0; index < count; index += 1) {
    const entryAt = at + index * seenLength;
    const seq = readU64(view, entryAt + incarnationLength);
    if (!Number.isSafeInteger(seq)) throw corrupt(`seen of sequence ${seq}`);
    seen.push({ origin: readOriginAt(bytes, entryAt), seq });
  }
  return seen;
}

export function newer(what: string): TidemarkError {
  return new TidemarkError(
    "FORMAT_NEWER",
    `a segment was written by a newer version (${what}); use a newer Tidemark`,
  );
}

export function corrupt(reason: string): TidemarkError {
  return new TidemarkError("SEGMENT_CORRUPT", `the segment can't be used: ${reason}`);
}
