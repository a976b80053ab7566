/**
 * Segments: the events of one origin that were committed together. The unit of storage, exchange and checksum.
 *
 * Layout, numbers big-endian (`docs/log-format.md`):
 *
 *     0  u8   format version, 1
 *     1  u8   kind: 1 a commit as its origin made it. 3 a cover (`cover.ts`), with a layout of its own. 2 is not used
 *     2  u8   flags: 1 = a MAC follows the events
 *     3  u8   number of entries in `seen`
 *     4  14×  origin, ASCII
 *    18  u64  sequence of the first event
 *    26  u32  number of events
 *    30  u32  bytes of events
 *    34  22×  seen: origin (14, ASCII), sequence (u64)
 *     …       the events
 *     …  16×  MAC, when flagged: HMAC-SHA-256 of the chain hash after this commit, cut to 16 bytes
 *     …  u32  CRC-32 of all before it
 *
 * The hash chain runs over everything before the MAC: `hash = SHA-256(hash before ‖ those bytes)`, from 32 zeros.
 */
import { maxEventBytes } from "./codec.ts";
import { parseCover } from "./cover.ts";
import type { Incarnation, Seen } from "./event.ts";
import type { Digest } from "./ports.ts";
import {
  type Segment,
  corrupt,
  crcLength,
  hashLength,
  kindCover,
  maxSegmentEvents,
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

export type { Cover, CoverReason, Segment } from "./segment-bytes.ts";
export { hashLength, lastOf, maxSegmentEvents, segmentVersion } from "./segment-bytes.ts";

export const macLength = 16;
/** Commits are cut here; a segment is larger only when one event is. */
export const segmentBytesTarget: number = 256 * 1024;
export const maxSegmentBytes: number = maxEventBytes + 4096;

const kindCommit = 1;
const flagMac = 1;
const headerLength = 34;

export interface SegmentDraft {
  readonly origin: Incarnation;
  readonly lo: number;
  readonly seen: readonly Seen[];
  /** Events, or pieces of several events' bytes one after the other. */
  readonly events: readonly Uint8Array[];
  /** How many events there are; unless said, each piece is one. */
  readonly count?: number;
}

export const zeroHash: Uint8Array = new Uint8Array(hashLength);

/** @returns the segment, and the chain hash after it. */
export function encodeSegment(
  draft: SegmentDraft,
  hashBefore: Uint8Array,
  digest: Digest,
  macKey?: Uint8Array,
): { segment: Segment; hash: Uint8Array } {
  const { origin, lo, seen, events: pieces, count = pieces.length } = draft;
  const hasMac = macKey !== undefined;
  const { bytes, eventsAt, hashedLength } = layOut({ origin, lo, count, seen, pieces, hasMac });
  const hash = digest.sha256(hashBefore, bytes.subarray(0, hashedLength));
  if (hasMac) bytes.set(digest.hmacSha256(macKey, hash).subarray(0, macLength), hashedLength);
  finish(bytes, digest);
  const events = bytes.subarray(eventsAt, hashedLength);
  const mac = hasMac ? bytes.subarray(hashedLength, hashedLength + macLength) : undefined;
  return { segment: { origin, lo, count, seen, events, mac, cover: undefined, bytes }, hash };
}

/**
 * The bytes of a segment whose MAC, if it has one, is known: the same, to the bit, as its origin made them. They may
 * share memory with others that were rebuilt, 8 KiB at most.
 */
export function rebuildSegment(parts: Omit<Segment, "bytes" | "cover">, digest: Digest): Uint8Array {
  const { origin, lo, count, seen, events, mac } = parts;
  const layout = { origin, lo, count, seen, pieces: [events], hasMac: mac !== undefined };
  const { bytes, hashedLength } = layOut(layout, pooled);
  if (mac !== undefined) bytes.set(mac, hashedLength);
  finish(bytes, digest);
  return bytes;
}

/** Bytes of a commit with so many bytes of events. */
export function plainLength(events: number, seen: number, hasMac: boolean): number {
  return headerLength + seen * seenLength + events + (hasMac ? macLength : 0) + crcLength;
}

interface Layout extends Pick<Segment, "origin" | "lo" | "count" | "seen"> {
  readonly pieces: readonly Uint8Array[];
  readonly hasMac: boolean;
}

const poolBytes = 8192;
let pool = new Uint8Array(poolBytes);
let poolAt = 0;

/** Zeroed. A small array of its own takes longer to make, and to collect, than a commit of one event to lay out. */
function pooled(length: number): Uint8Array {
  if (length > poolBytes / 2) return new Uint8Array(length);
  if (poolAt + length > poolBytes) {
    pool = new Uint8Array(poolBytes);
    poolAt = 0;
  }
  poolAt += length;
  return pool.subarray(poolAt - length, poolAt);
}

/** Everything before the MAC, and room for what comes after. */
function layOut(
  { origin, lo, count, seen, pieces, hasMac }: Layout,
  roomOf = (length: number): Uint8Array => new Uint8Array(length),
): {
  bytes: Uint8Array;
  eventsAt: number;
  hashedLength: number;
} {
  let eventsLength = 0;
  for (const piece of pieces) eventsLength += piece.length;
  const eventsAt = headerLength + seen.length * seenLength;
  const hashedLength = eventsAt + eventsLength;
  const bytes = roomOf(hashedLength + (hasMac ? macLength : 0) + crcLength);
  const view = viewOf(bytes);
  bytes[0] = segmentVersion;
  bytes[1] = kindCommit;
  bytes[2] = hasMac ? flagMac : 0;
  bytes[3] = seen.length;
  writeAscii(bytes, 4, origin);
  writeU64(view, 18, lo);
  view.setUint32(26, count);
  view.setUint32(30, eventsLength);
  writeSeen(bytes, headerLength, seen);
  let at = eventsAt;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return { bytes, eventsAt, hashedLength };
}

function finish(bytes: Uint8Array, digest: Digest): void {
  const crcAt = bytes.length - crcLength;
  viewOf(bytes).setUint32(crcAt, digest.crc32(bytes.subarray(0, crcAt)));
}

/**
 * Reads the envelope, and checks lengths and checksum. The events themselves are read by `eventsOf`.
 * @throws SEGMENT_CORRUPT, FORMAT_NEWER
 */
export function parseSegment(bytes: Uint8Array, digest: Digest): Segment {
  if (bytes.length < headerLength + crcLength) throw corrupt("it is too short");
  const view = viewOf(bytes);
  const crcAt = bytes.length - crcLength;
  // In every version the first byte is the version, and the last four are this: a flipped bit is not a newer format.
  if (view.getUint32(crcAt) !== digest.crc32(bytes.subarray(0, crcAt))) {
    throw corrupt("its checksum does not match");
  }
  // Not taken apart as an array: that goes by way of an iterator.
  const version = view.getUint8(0);
  const kind = view.getUint8(1);
  const flags = view.getUint8(2);
  const seenCount = view.getUint8(3);
  if (version > segmentVersion) {
    throw newer(`format ${version}, where this version reads ${segmentVersion}`);
  }
  if (version < segmentVersion) throw corrupt(`format version ${version}`);
  if (kind !== kindCommit && kind !== kindCover) throw newer(`kind ${kind}`);
  if (bytes.length > maxSegmentBytes) throw corrupt(`${bytes.length} bytes is over the limit`);
  if (kind === kindCover) return parseCover(bytes);
  if ((flags & ~flagMac) !== 0) throw newer(`flags ${flags}`);
  const count = view.getUint32(26);
  const eventsLength = view.getUint32(30);
  const eventsAt = headerLength + seenCount * seenLength;
  const hashedLength = eventsAt + eventsLength;
  const hasMac = (flags & flagMac) !== 0;
  if (bytes.length !== hashedLength + (hasMac ? macLength : 0) + crcLength) {
    throw corrupt("its length is not what it declares");
  }
  const origin = readOriginAt(bytes, 4);
  const lo = readU64(view, 18);
  if (count === 0 || count > maxSegmentEvents || count > eventsLength) throw corrupt(`${count} events`);
  if (lo < 1 || lo + count > Number.MAX_SAFE_INTEGER) throw corrupt(`sequence ${lo}`);
  return {
    origin,
    lo,
    count,
    seen: readSeen(bytes, headerLength, seenCount),
    events: bytes.subarray(eventsAt, hashedLength),
    mac: hasMac ? bytes.subarray(hashedLength, hashedLength + macLength) : undefined,
    cover: undefined,
    bytes,
  };
}

/** How many sequences a cover declares, from its first bytes; undefined where they are of no cover, or too few. */
export function coveredCount(bytes: Uint8Array): number | undefined {
  return bytes[1] === kindCover && bytes.length >= headerLength ? viewOf(bytes).getUint32(26) : undefined;
}

/** The chain hash after this segment. That of a cover says it itself: what it was made of is gone. */
export function chainHash(hashBefore: Uint8Array, segment: Segment, digest: Digest): Uint8Array {
  if (segment.cover !== undefined) return segment.cover.hashAfter;
  const tail = (segment.mac === undefined ? 0 : macLength) + crcLength;
  return digest.sha256(hashBefore, segment.bytes.subarray(0, segment.bytes.length - tail));
}

/** Whether the cloud that holds `macKey` made this segment, and all before it in its chain. */
export function macMatches(
  segment: Segment,
  hashAfter: Uint8Array,
  digest: Digest,
  macKey: Uint8Array,
): boolean {
  if (segment.mac === undefined) return false;
  const expected = digest.hmacSha256(macKey, hashAfter);
  let difference = 0;
  for (let index = 0; index < macLength; index += 1) {
    difference |= (expected[index] ?? 0) ^ (segment.mac[index] ?? 0);
  }
  return difference === 0;
}

/** As `macMatches`; also for a segment that was written past a hole, whose MAC is of itself alone. */
export function isMine(segment: Segment, hashAfter: Uint8Array, digest: Digest, macKey: Uint8Array): boolean {
  const alone = chainHash(zeroHash, segment, digest);
  return [hashAfter, alone].some((hash) => macMatches(segment, hash, digest, macKey));
}

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index += 1) if (a[index] !== b[index]) return false;
  return true;
}

export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
