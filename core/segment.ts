/**
 * Segments: the events of one origin that were committed together. The unit of storage, exchange and checksum.
 *
 * Layout, numbers big-endian (`docs/log-format.md`):
 *
 *     0  u8   format version, 1
 *     1  u8   kind: 1 a commit as its origin made it. 2 (merged) and 3 (covering) are kept for later versions
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
import { TidemarkError } from "./errors.ts";
import { type Incarnation, type Seen, incarnationLength, isIncarnation } from "./event.ts";
import type { Digest } from "./ports.ts";

export const segmentVersion = 1;
export const macLength = 16;
export const hashLength = 32;
/** Commits are cut here; a segment is larger only when one event is. */
export const segmentBytesTarget: number = 256 * 1024;
export const maxSegmentBytes: number = maxEventBytes + 4096;
export const maxSegmentEvents = 65_536;

const kindCommit = 1;
const flagMac = 1;
const headerLength = 34;
const seenLength = incarnationLength + 8;
const crcLength = 4;
const maxSeen = 8;

export interface Segment {
  readonly origin: Incarnation;
  readonly lo: number;
  readonly count: number;
  readonly seen: readonly Seen[];
  /** The events, one after the other. A view into `bytes`. */
  readonly events: Uint8Array;
  /** A view into `bytes`. */
  readonly mac: Uint8Array | undefined;
  readonly bytes: Uint8Array;
}

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
  return { segment: { origin, lo, count, seen, events, mac, bytes }, hash };
}

/** The bytes of a segment whose MAC, if it has one, is known: the same, to the bit, as its origin made them. */
export function rebuildSegment(parts: Omit<Segment, "bytes">, digest: Digest): Uint8Array {
  const { origin, lo, count, seen, events, mac } = parts;
  const layout = { origin, lo, count, seen, pieces: [events], hasMac: mac !== undefined };
  const { bytes, hashedLength } = layOut(layout);
  if (mac !== undefined) bytes.set(mac, hashedLength);
  finish(bytes, digest);
  return bytes;
}

interface Layout extends Pick<Segment, "origin" | "lo" | "count" | "seen"> {
  readonly pieces: readonly Uint8Array[];
  readonly hasMac: boolean;
}

/** Everything before the MAC, and room for what comes after. */
function layOut({ origin, lo, count, seen, pieces, hasMac }: Layout): {
  bytes: Uint8Array;
  eventsAt: number;
  hashedLength: number;
} {
  let eventsLength = 0;
  for (const piece of pieces) eventsLength += piece.length;
  const eventsAt = headerLength + seen.length * seenLength;
  const hashedLength = eventsAt + eventsLength;
  const bytes = new Uint8Array(hashedLength + (hasMac ? macLength : 0) + crcLength);
  const view = new DataView(bytes.buffer);
  bytes[0] = segmentVersion;
  bytes[1] = kindCommit;
  bytes[2] = hasMac ? flagMac : 0;
  bytes[3] = seen.length;
  writeAscii(bytes, 4, origin);
  writeU64(view, 18, lo);
  view.setUint32(26, count);
  view.setUint32(30, eventsLength);
  seen.forEach((entry, index) => {
    const at = headerLength + index * seenLength;
    writeAscii(bytes, at, entry.origin);
    writeU64(view, at + incarnationLength, entry.seq);
  });
  let at = eventsAt;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return { bytes, eventsAt, hashedLength };
}

function finish(bytes: Uint8Array, digest: Digest): void {
  const crcAt = bytes.length - crcLength;
  new DataView(bytes.buffer).setUint32(crcAt, digest.crc32(bytes.subarray(0, crcAt)));
}

/**
 * Reads the envelope, and checks lengths and checksum. The events themselves are read by `decodeEvents`.
 * @throws SEGMENT_CORRUPT, FORMAT_NEWER
 */
export function parseSegment(bytes: Uint8Array, digest: Digest): Segment {
  if (bytes.length < headerLength + crcLength) throw corrupt("it is too short");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const crcAt = bytes.length - crcLength;
  // In every version the first byte is the version, and the last four are this: a flipped bit is not a newer format.
  if (view.getUint32(crcAt) !== digest.crc32(bytes.subarray(0, crcAt))) {
    throw corrupt("its checksum does not match");
  }
  const [version = 0, kind = 0, flags = 0, seenCount = 0] = bytes;
  if (version > segmentVersion) {
    throw newer(`format ${version}, where this version reads ${segmentVersion}`);
  }
  if (version < segmentVersion) throw corrupt(`format version ${version}`);
  if (kind !== kindCommit) throw newer(`kind ${kind}`);
  if ((flags & ~flagMac) !== 0) throw newer(`flags ${flags}`);
  if (bytes.length > maxSegmentBytes) throw corrupt(`${bytes.length} bytes is over the limit`);
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
  if (seenCount > maxSeen) throw corrupt(`${seenCount} entries in seen`);
  if (lo < 1 || lo + count > Number.MAX_SAFE_INTEGER) throw corrupt(`sequence ${lo}`);
  const seen: Seen[] = [];
  for (let index = 0; index < seenCount; index += 1) {
    const at = headerLength + index * seenLength;
    const seq = readU64(view, at + incarnationLength);
    if (!Number.isSafeInteger(seq)) throw corrupt(`seen of sequence ${seq}`);
    seen.push({ origin: readOriginAt(bytes, at), seq });
  }
  return {
    origin,
    lo,
    count,
    seen,
    events: bytes.subarray(eventsAt, hashedLength),
    mac: hasMac ? bytes.subarray(hashedLength, hashedLength + macLength) : undefined,
    bytes,
  };
}

/** The chain hash after this segment. */
export function chainHash(hashBefore: Uint8Array, segment: Segment, digest: Digest): Uint8Array {
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

function writeAscii(bytes: Uint8Array, at: number, text: string): void {
  for (let index = 0; index < text.length; index += 1) bytes[at + index] = text.charCodeAt(index);
}

function readOriginAt(bytes: Uint8Array, at: number): Incarnation {
  let text = "";
  for (let index = 0; index < incarnationLength; index += 1)
    text += String.fromCharCode(bytes[at + index] ?? 0);
  if (!isIncarnation(text)) throw corrupt("an origin is not one");
  return text;
}

function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value >>> 0);
}

function readU64(view: DataView, at: number): number {
  return view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4);
}

function newer(what: string): TidemarkError {
  return new TidemarkError(
    "FORMAT_NEWER",
    `a segment was written by a newer version (${what}); use a newer Tidemark`,
  );
}

function corrupt(reason: string): TidemarkError {
  return new TidemarkError("SEGMENT_CORRUPT", `the segment can't be used: ${reason}`);
}
