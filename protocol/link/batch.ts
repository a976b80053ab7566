/** The payload of a segments frame: segments one after the other, each after its length, perhaps compressed. */
import { TidemarkError, messageOf } from "../../core/errors.ts";
import type { SegmentsFrame } from "./frames.ts";
import {
  compressFromBytes,
  compressedShareMax,
  compressionPause,
  frameOverheadBytes,
  maxBatchBytes,
  maxFrameBytes,
  segmentPrefixBytes,
} from "./limits.ts";

/** Brotli, in one call: the port that the shell hands in. */
export interface Compressor {
  compress(bytes: Uint8Array): Uint8Array;
  /** @throws when the bytes are not Brotli, or unpack to more than `maxBytes` */
  decompress(bytes: Uint8Array, maxBytes: number): Uint8Array;
}

/** The most that a frame's payload may take as it is sent. */
export const maxPayloadBytes: number = maxFrameBytes - frameOverheadBytes;

const bestRatio = 16;

/** Decides how much to put into a frame and whether to compress it, from how the last ones went. */
export class Packer {
  readonly #compressor: Compressor | undefined;
  /** Raw bytes for each compressed one, last time. */
  #ratio = 2;
  /** Batches to send without trying, after one that did not compress. */
  #pause = 0;

  constructor(compressor: Compressor | undefined) {
    this.#compressor = compressor;
  }

  /** Raw payload bytes that are likely to fit a frame. */
  get targetBytes(): number {
    if (this.#compressor === undefined || this.#pause > 0) return maxPayloadBytes;
    const expected = Math.floor(maxPayloadBytes * this.#ratio * compressedShareMax);
    return Math.min(maxBatchBytes, Math.max(maxPayloadBytes, expected));
  }

  /** @returns the compressed frame, or undefined when it would gain too little, or not fit */
  compressed(segments: readonly Uint8Array[]): SegmentsFrame | undefined {
    const rawBytes = payloadBytes(segments);
    if (this.#compressor === undefined || rawBytes < compressFromBytes) return undefined;
    if (this.#pause > 0) {
      this.#pause -= 1;
      return undefined;
    }
    const payload = this.#compressor.compress(joined(segments));
    this.#ratio = Math.min(bestRatio, rawBytes / payload.length);
    if (payload.length > rawBytes * compressedShareMax) {
      this.#pause = compressionPause;
      return undefined;
    }
    if (payload.length > maxPayloadBytes) return undefined;
    return { type: "segments", rawBytes, compressed: true, payload };
  }
}

export function plainFrame(segments: readonly Uint8Array[]): SegmentsFrame {
  const payload = joined(segments);
  return { type: "segments", rawBytes: payload.length, compressed: false, payload };
}

export function payloadBytes(segments: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const segment of segments) bytes += segmentPrefixBytes + segment.length;
  return bytes;
}

function joined(segments: readonly Uint8Array[]): Uint8Array {
  const payload = new Uint8Array(payloadBytes(segments));
  const view = new DataView(payload.buffer);
  let at = 0;
  for (const segment of segments) {
    view.setUint32(at, segment.length);
    payload.set(segment, at + segmentPrefixBytes);
    at += segmentPrefixBytes + segment.length;
  }
  return payload;
}

/**
 * The segments' bytes: views into the payload. The declared size was checked against its limit with the frame.
 * @throws FRAME_INVALID
 */
export function openBatch(frame: SegmentsFrame, compressor: Compressor | undefined): Uint8Array[] {
  const payload = frame.compressed ? decompressed(frame, compressor) : frame.payload;
  if (payload.length !== frame.rawBytes) {
    throw invalid(`it holds ${payload.length} bytes and declares ${frame.rawBytes}`);
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const segments: Uint8Array[] = [];
  let at = 0;
  while (at < payload.length) {
    const start = at + segmentPrefixBytes;
    const end = start > payload.length ? Number.POSITIVE_INFINITY : start + view.getUint32(at);
    if (end > payload.length) throw invalid("a segment is cut off");
    segments.push(payload.subarray(start, end));
    at = end;
  }
  return segments;
}

function decompressed(frame: SegmentsFrame, compressor: Compressor | undefined): Uint8Array {
  if (compressor === undefined) throw invalid("it is compressed, and there is no decompressor here");
  try {
    return compressor.decompress(frame.payload, frame.rawBytes);
  } catch (error) {
    throw invalid(`it does not unpack to ${frame.rawBytes} bytes: ${messageOf(error)}`, error);
  }
}

function invalid(reason: string, cause?: unknown): TidemarkError {
  return new TidemarkError("FRAME_INVALID", `a frame of segments can't be read: ${reason}`, { cause });
}
