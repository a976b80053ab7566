/**
 * Record bytes: a segment as a store keeps it, and the seal on every stored value (`docs/log-format.md`).
 *
 * A sealed value is its bytes and then, big-endian, `CRC-32(bytes) XOR CRC-32(key)`: bytes that turn up under another
 * key are as wrong as bytes that changed. LevelDB's own checksums are not looked at when it reads.
 *
 * A record, before its seal:
 *
 *     0  u8   record version, 1
 *     1  u16  bytes of header, big-endian
 *     3  …    header, msgpack: [log, origin, lo, count, position, arrived]
 *     …  …    the segment as its origin encoded it
 */
import { pack, unpack } from "../codec.ts";
import { type Incarnation, type LogId, isIncarnation } from "../event.ts";
import type { Digest } from "../ports.ts";
import type { StoredSegment } from "../store-port.ts";
import type { Run } from "./runs.ts";

export const recordVersion = 1;

const headerAt = 3;
const sealLength = 4;
const text = new TextEncoder();
const keyRoom = new Uint8Array(512);

/** @returns new bytes: `bytes` and the seal for that key. */
export function seal(key: string, bytes: Uint8Array, digest: Digest): Uint8Array {
  const sealed = new Uint8Array(bytes.length + sealLength);
  sealed.set(bytes);
  writeSeal(key, sealed, digest);
  return sealed;
}

/** @returns a view of the bytes without the seal; undefined where the seal does not fit. */
export function unseal(key: string, sealed: Uint8Array, digest: Digest): Uint8Array | undefined {
  if (sealed.length < sealLength) return undefined;
  const bytes = sealed.subarray(0, -sealLength);
  const seal = sealOf(key, bytes, digest);
  for (let nth = 0; nth < sealLength; nth += 1)
    if (sealed[bytes.length + nth] !== byteOf(seal, nth)) return undefined;
  return bytes;
}

export function encodeRecord(key: string, stored: StoredSegment, digest: Digest): Uint8Array {
  const { log, origin, lo, count, position, arrived, segment } = stored;
  const header = pack([log, origin, lo, count, position, arrived]);
  const record = new Uint8Array(headerAt + header.length + segment.length + sealLength);
  record[0] = recordVersion;
  viewOf(record).setUint16(1, header.length);
  record.set(header, headerAt);
  record.set(segment, headerAt + header.length);
  writeSeal(key, record, digest);
  return record;
}

/** @returns undefined when the bytes are not what was stored under that key. The segment is a view of the record. */
export function decodeRecord(key: string, record: Uint8Array, digest: Digest): StoredSegment | undefined {
  const bytes = unseal(key, record, digest);
  if (bytes === undefined || bytes.length < headerAt || bytes[0] !== recordVersion) return undefined;
  const segmentAt = headerAt + viewOf(bytes).getUint16(1);
  const header = unpackRow(bytes.subarray(headerAt, segmentAt));
  const [log, origin, lo, count, position, arrived] = header;
  if (typeof log !== "string" || !isIncarnation(origin)) return undefined;
  if (!isCount(lo) || !isCount(count) || !isCount(position) || typeof arrived !== "number") return undefined;
  const segment = bytes.subarray(segmentAt);
  return { log: log as LogId, origin, lo, count, position, arrived, segment };
}

/** What an index entry says of a segment, or of a block. */
export interface IndexEntry {
  /** Number of its body in the store's own arrival order. */
  readonly arrival: number;
  /** Length of the segment; of a block's members, all of them. */
  readonly sizeBytes: number;
  readonly origin: Incarnation;
  readonly lo: number;
  /** Events: of the segment, or, in the index by position, of the block; in that by origin, of the run. */
  readonly count: number;
  /** Of the first event of the segment or of the block. */
  readonly position: number;
  /** Of a block: its runs, in the index by position; none in that by origin. Undefined for a segment. */
  readonly runs: readonly Run[] | undefined;
  /** Length of a block's record, in the index by position. */
  readonly packedBytes: number;
}

export function encodeEntry(key: string, entry: IndexEntry, digest: Digest): Uint8Array {
  const { arrival, sizeBytes, origin, lo, count, position, runs, packedBytes } = entry;
  const row: unknown[] = [arrival, sizeBytes, lo, count, position, origin];
  if (runs !== undefined) row.push(rowOfRuns(runs), packedBytes);
  return seal(key, pack(row), digest);
}

/** @returns undefined when the bytes are not what was stored under that key. */
export function decodeEntry(key: string, value: Uint8Array, digest: Digest): IndexEntry | undefined {
  const bytes = unseal(key, value, digest);
  if (bytes === undefined) return undefined;
  const [arrival, sizeBytes, lo, count, position, origin, table, packedBytes = 0] = unpackRow(bytes);
  if (!isCount(arrival) || !isCount(sizeBytes) || !isIncarnation(origin)) return undefined;
  if (!isCount(lo) || !isCount(count) || !isCount(position)) return undefined;
  if (!isCount(packedBytes)) return undefined;
  const runs = Array.isArray(table) ? runsOfRow(table, position) : undefined;
  return { arrival, sizeBytes, origin, lo, count, position, runs, packedBytes };
}

/** Origins, then for each run: number of its origin, first sequence less the one that would follow, and count. */
function rowOfRuns(runs: readonly Run[]): unknown[] {
  const origins = [...new Set(runs.map(({ origin }) => origin))];
  const numbers: number[] = [];
  const next = new Map<Incarnation, number>();
  for (const { origin, lo, count } of runs) {
    numbers.push(origins.indexOf(origin), lo - (next.get(origin) ?? 0), count);
    next.set(origin, lo + count);
  }
  return [origins, numbers];
}

function runsOfRow([origins, numbers]: readonly unknown[], position: number): Run[] {
  const runs: Run[] = [];
  if (!Array.isArray(origins) || !Array.isArray(numbers)) return runs;
  const next = new Map<unknown, number>();
  let at = position;
  for (let index = 0; index + 2 < numbers.length; index += 3) {
    const [nth, skip, count] = numbers.slice(index, index + 3) as [number, number, number];
    const origin: unknown = origins[nth];
    const lo = (next.get(origin) ?? 0) + skip;
    if (!isIncarnation(origin) || !isCount(lo) || !isCount(count)) return runs;
    runs.push({ origin, lo, count, position: at });
    next.set(origin, lo + count);
    at += count;
  }
  return runs;
}

function writeSeal(key: string, sealed: Uint8Array, digest: Digest): void {
  const end = sealed.length - sealLength;
  const seal = sealOf(key, sealed.subarray(0, end), digest);
  for (let nth = 0; nth < sealLength; nth += 1) sealed[end + nth] = byteOf(seal, nth);
}

/** A view of each value to read or write one number in would cost more than the number. */
function byteOf(seal: number, nth: number): number {
  return (seal >>> (8 * (sealLength - 1 - nth))) & 0xff;
}

function sealOf(key: string, bytes: Uint8Array, digest: Digest): number {
  return digest.crc32(bytes) ^ digest.crc32(keyBytes(key));
}

/** Good until the next one is asked for: a commit of single events makes three rows of each. */
function keyBytes(key: string): Uint8Array {
  const { read, written } = text.encodeInto(key, keyRoom);
  return read === key.length ? keyRoom.subarray(0, written) : text.encode(key);
}

function unpackRow(bytes: Uint8Array): readonly unknown[] {
  try {
    const row = unpack(bytes);
    return Array.isArray(row) ? row : [];
  } catch {
    // The seal held, so a newer or a foreign writer put this here: it can't be read, and the caller says so.
    return [];
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
