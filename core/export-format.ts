/**
 * An export: a slice of a log as one stream of bytes, with the state before it, so that it replays to the same hash
 * elsewhere (`docs/log-format.md`).
 *
 *     0  16×  "tidemark export\n"
 *    16  u8   format version, 1
 *    17  u32  CRC-32 of these 17 bytes
 *     …       frames
 *
 * A frame, numbers big-endian:
 *
 *     0  u8   kind: 1 header, 2 state, 3 segment, 4 segment of which something was left out, 5 end
 *     1  u32  bytes of payload
 *     5  …    payload
 *     …  u32  CRC-32 of all before it in this frame
 *
 * A hash runs over the frames, `hash = SHA-256(hash before ‖ frame)`, from 32 zeros; the end says what it must be.
 */
import { pack } from "./codec.ts";
import type { Event, Incarnation, LogId, Side } from "./event.ts";
import type { Range } from "./history.ts";
import type { Digest } from "./ports.ts";
import type { Problem } from "./replay.ts";
import type { Registers } from "./registers.ts";
import { type Segment, maxSegmentBytes, zeroHash } from "./segment.ts";

export const exportVersion = 1;
export const exportMagic = "tidemark export\n";
export const preambleLength: number = exportMagic.length + 5;
export const frameHeadLength = 5;
export const frameTailLength = 4;
/** A state is cut into payloads of this many bytes. */
export const statePieceBytes: number = 1024 * 1024;
/** Before a segment in its frame: u64 position of its first event, f64 when it arrived. */
export const placeLength = 16;
export const maxPayloadBytes: number = maxSegmentBytes + 4096;

export const frameKind = { header: 1, state: 2, segment: 3, redacted: 4, end: 5 } as const;

/** Of each origin: the latest sequence without a gap before it, and the chain hash after that. */
export type Heads = Readonly<Record<Incarnation, readonly [seq: number, hash: Uint8Array]>>;

export interface ExportHeader {
  /** Which version of Tidemark made it. */
  readonly product: string;
  readonly log: LogId;
  /** Whose replica it is of. */
  readonly side: Side;
  /** That side's incarnation. */
  readonly live: Incarnation;
  /** Position of the first event, at a segment's beginning. */
  readonly from: number;
  /** Position of the last event that is wanted; the export goes on to the end of its segment. */
  readonly to: number;
  readonly before: Heads;
  /** Positions in which nothing is missing, though there is nothing. */
  readonly removed: readonly Range[];
  /** Corrections of the origins' clocks that the log knows of, to its end. */
  readonly eras: Registers["eras"];
  /** Whether secrets were looked for, and left out. */
  readonly redacts: boolean;
}

export interface ExportEnd {
  /** Position of the last event. */
  readonly position: number;
  readonly segments: number;
  readonly events: number;
  /** Events of which something was left out. */
  readonly redacted: number;
  readonly after: Heads;
  /** What the log lacks of this range: it is not complete. */
  readonly problems: readonly Problem[];
}

export interface ExportedSegment {
  readonly kind: "segment";
  readonly position: number;
  /** Ms by the replica's own record when it arrived. */
  readonly arrived: number;
  readonly segment: Segment;
  /** Whether something was left out of it. */
  readonly isRedacted: boolean;
  /** Its events, where they were read already. */
  readonly events: readonly Event[] | undefined;
}

export type ExportPart =
  | { readonly kind: "header"; readonly header: ExportHeader }
  /** A checkpoint (`core/checkpoint.ts`) of the position before the first. */
  | { readonly kind: "state"; readonly checkpoint: Uint8Array }
  | ExportedSegment
  | { readonly kind: "end"; readonly end: ExportEnd };

/** The bytes that every export begins with. */
export function preamble(digest: Digest): Uint8Array {
  const bytes = new Uint8Array(preambleLength);
  for (let at = 0; at < exportMagic.length; at += 1) bytes[at] = exportMagic.charCodeAt(at);
  bytes[exportMagic.length] = exportVersion;
  viewOf(bytes).setUint32(exportMagic.length + 1, digest.crc32(bytes.subarray(0, exportMagic.length + 1)));
  return bytes;
}

/** Makes frames, and carries the hash over them. */
export class FrameWriter {
  readonly #digest: Digest;
  #hash: Uint8Array = zeroHash;

  constructor(digest: Digest) {
    this.#digest = digest;
  }

  frame(kind: number, ...parts: readonly Uint8Array[]): Uint8Array {
    let length = 0;
    for (const part of parts) length += part.length;
    const bytes = new Uint8Array(frameHeadLength + length + frameTailLength);
    const view = viewOf(bytes);
    bytes[0] = kind;
    view.setUint32(1, length);
    let at = frameHeadLength;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    view.setUint32(at, this.#digest.crc32(bytes.subarray(0, at)));
    this.#hash = this.#digest.sha256(this.#hash, bytes);
    return bytes;
  }

  header(header: ExportHeader): Uint8Array {
    const removed = header.removed.map(({ from, to }) => [from, to]);
    const eras = [...header.eras].map(([origin, list]) => [
      origin,
      list.map(({ seq, offset, since }) => [seq, offset, since]),
    ]);
    return this.frame(frameKind.header, pack({ ...header, removed, eras }));
  }

  *state(checkpoint: Uint8Array): Generator<Uint8Array> {
    for (let at = 0; at < checkpoint.length; at += statePieceBytes)
      yield this.frame(frameKind.state, checkpoint.subarray(at, at + statePieceBytes));
  }

  segment({ position, arrived, segment, isRedacted }: ExportedSegment): Uint8Array {
    const place = new Uint8Array(placeLength);
    viewOf(place).setBigUint64(0, BigInt(position));
    viewOf(place).setFloat64(8, arrived);
    const kind = isRedacted ? frameKind.redacted : frameKind.segment;
    return this.frame(kind, place, segment.bytes);
  }

  end(end: ExportEnd): Uint8Array {
    const problems = end.problems.map(({ code, origin, from, to }) => [code, origin ?? null, from, to]);
    return this.frame(frameKind.end, pack({ ...end, problems, hash: this.#hash }));
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
