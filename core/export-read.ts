import { unpack } from "./codec.ts";
import { TidemarkError, hasCode, messageOf } from "./errors.ts";
import { type LogId, isIncarnation } from "./event.ts";
import {
  type ExportEnd,
  type ExportHeader,
  type ExportPart,
  type ExportedSegment,
  exportMagic,
  exportVersion,
  frameHeadLength,
  frameKind,
  frameTailLength,
  maxPayloadBytes,
  placeLength,
  preambleLength,
  viewOf,
} from "./export-format.ts";
import type { Digest } from "./ports.ts";
import { type Segment, bytesEqual, parseSegment, zeroHash } from "./segment.ts";

/**
 * The parts of an export, as its bytes come: the header, perhaps a state, segments, the end. Each time, those that have
 * become whole. No more is held than one of them.
 * @throws EXPORT_UNKNOWN, EXPORT_INCOMPLETE, EXPORT_DAMAGED, FORMAT_NEWER
 */
export async function* readExport(
  chunks: AsyncIterable<Uint8Array>,
  digest: Digest,
): AsyncGenerator<readonly ExportPart[]> {
  const reader = new ExportReader(digest);
  for await (const { buffer, byteOffset, length } of chunks) {
    // Without what a Buffer does otherwise than the bytes that it is.
    const parts = reader.take(new Uint8Array(buffer, byteOffset, length));
    if (parts.length > 0) yield parts;
  }
  reader.finish();
}

class ExportReader {
  readonly #digest: Digest;
  /** Bytes that are not a whole frame yet. */
  #waiting: Uint8Array[] = [];
  #waitingLength = 0;
  /** How many of them it takes to go on. */
  #needed = preambleLength;
  #hash: Uint8Array = zeroHash;
  #begun = false;
  #header: ExportHeader | undefined;
  #state: Uint8Array[] = [];
  #position = 0;
  #segments = 0;
  #events = 0;
  #ended = false;

  constructor(digest: Digest) {
    this.#digest = digest;
  }

  take(chunk: Uint8Array): ExportPart[] {
    this.#waiting.push(chunk);
    this.#waitingLength += chunk.length;
    const parts: ExportPart[] = [];
    if (this.#waitingLength < this.#needed) return parts;
    const bytes = this.#waiting.length === 1 ? chunk : joined(this.#waiting, this.#waitingLength);
    let at = 0;
    if (!this.#begun) {
      checkPreamble(bytes, this.#digest);
      this.#begun = true;
      at = preambleLength;
    }
    for (;;) {
      const length = frameLength(bytes, at);
      this.#needed = length ?? frameHeadLength;
      if (length === undefined || at + length > bytes.length) break;
      this.#frame(bytes.subarray(at, at + length), parts);
      at += length;
    }
    this.#waiting = at === bytes.length ? [] : [bytes.subarray(at)];
    this.#waitingLength = bytes.length - at;
    return parts;
  }

  finish(): void {
    if (this.#ended && this.#waitingLength === 0) return;
    if (this.#ended) throw damaged("something follows its end");
    if (!this.#begun) checkBeginning(joined(this.#waiting, this.#waitingLength));
    const after = this.#segments === 0 ? "before its first event" : `after position ${this.#position}`;
    throw new TidemarkError(
      "EXPORT_INCOMPLETE",
      `this is only a part of an export, which ends ${after}: take it again, or copy the whole of it`,
    );
  }

  #frame(frame: Uint8Array, parts: ExportPart[]): void {
    const crcAt = frame.length - frameTailLength;
    if (viewOf(frame).getUint32(crcAt) !== this.#digest.crc32(frame.subarray(0, crcAt)))
      throw damaged("a checksum does not match");
    if (this.#ended) throw damaged("something follows its end");
    const payload = frame.subarray(frameHeadLength, crcAt);
    const [kind = 0] = frame;
    if ((kind === frameKind.header) !== (this.#header === undefined))
      throw damaged("its parts are out of order");
    if (kind !== frameKind.state) this.#endState(parts);
    switch (kind) {
      case frameKind.header:
        this.#header = readable(payload, readHeader);
        this.#position = this.#header.from - 1;
        parts.push({ kind: "header", header: this.#header });
        break;
      case frameKind.state:
        if (this.#segments > 0) throw damaged("its parts are out of order");
        this.#state.push(payload);
        break;
      case frameKind.segment:
      case frameKind.redacted:
        parts.push(this.#segment(payload, kind === frameKind.redacted));
        break;
      case frameKind.end:
        parts.push({ kind: "end", end: this.#end(payload) });
        this.#ended = true;
        break;
      default:
        throw newer(`a part of kind ${kind}`);
    }
    this.#hash = this.#digest.sha256(this.#hash, frame);
  }

  #endState(parts: ExportPart[]): void {
    if (this.#state.length === 0) return;
    const length = this.#state.reduce((sum, piece) => sum + piece.length, 0);
    parts.push({ kind: "state", checkpoint: joined(this.#state, length) });
    this.#state = [];
  }

  #segment(payload: Uint8Array, isRedacted: boolean): ExportedSegment {
    if (payload.length < placeLength) throw damaged("a segment has no place");
    const view = viewOf(payload);
    const position = Number(view.getBigUint64(0));
    const segment = this.#parse(payload.subarray(placeLength));
    this.#position = position + segment.count - 1;
    this.#segments += 1;
    this.#events += segment.cover?.seen.length ?? segment.count;
    const arrived = view.getFloat64(8);
    return { kind: "segment", position, arrived, segment, isRedacted, events: undefined };
  }

  #parse(bytes: Uint8Array): Segment {
    try {
      return parseSegment(bytes, this.#digest);
    } catch (error) {
      if (hasCode(error, "SEGMENT_CORRUPT")) throw damaged(messageOf(error));
      throw error;
    }
  }

  #end(payload: Uint8Array): ExportEnd {
    const { hash, ...end } = readable(payload, readEnd);
    const isWhole = end.segments === this.#segments && end.events === this.#events;
    if (!isWhole || !bytesEqual(hash, this.#hash)) throw damaged("it is not what its end says");
    return end;
  }
}

/** @returns undefined where the head is not whole */
function frameLength(bytes: Uint8Array, at: number): number | undefined {
  if (at + frameHeadLength > bytes.length) return undefined;
  const length = viewOf(bytes).getUint32(at + 1);
  if (length > maxPayloadBytes) throw damaged(`a part of ${length} bytes is over the limit`);
  return frameHeadLength + length + frameTailLength;
}

function checkPreamble(bytes: Uint8Array, digest: Digest): void {
  checkBeginning(bytes);
  const crcAt = exportMagic.length + 1;
  // In every version: so a flipped bit is not a newer format.
  if (viewOf(bytes).getUint32(crcAt) !== digest.crc32(bytes.subarray(0, crcAt)))
    throw damaged("a checksum does not match");
  const version = bytes[exportMagic.length] ?? 0;
  if (version > exportVersion) throw newer(`format ${version}, where this version reads ${exportVersion}`);
}

function checkBeginning(bytes: Uint8Array): void {
  for (let at = 0; at < Math.min(bytes.length, exportMagic.length); at += 1) {
    if (bytes[at] === exportMagic.charCodeAt(at)) continue;
    throw new TidemarkError(
      "EXPORT_UNKNOWN",
      "this is not an export of a log: `tidemark log export -o FILE` makes one",
    );
  }
}

/** What was made by another program, and only looks like it, fails here. */
function readable<T>(payload: Uint8Array, read: (payload: Uint8Array) => T): T {
  try {
    return read(payload);
  } catch (cause) {
    throw damaged(messageOf(cause));
  }
}

function readHeader(payload: Uint8Array): ExportHeader {
  const { removed, eras, ...fields } = unpack(payload) as Omit<ExportHeader, "removed" | "eras"> & {
    readonly removed: readonly [number, number][];
    readonly eras: readonly [ExportHeader["live"], [number, number, number][]][];
  };
  if (!isLogId(fields.log) || !isIncarnation(fields.live) || !(fields.from >= 1))
    throw new Error("its header is not one");
  return {
    ...fields,
    removed: removed.map(([from, to]) => ({ from, to })),
    eras: new Map(
      eras.map(([origin, list]) => [origin, list.map(([seq, offset, since]) => ({ seq, offset, since }))]),
    ),
  };
}

/** It becomes a folder's name where it is imported. */
function isLogId(text: unknown): text is LogId {
  return typeof text === "string" && /^(cluster|node\/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)$/.test(text);
}

function readEnd(payload: Uint8Array): ExportEnd & { readonly hash: Uint8Array } {
  const { problems, ...fields } = unpack(payload) as Omit<ExportEnd, "problems"> & {
    readonly problems: readonly [ExportEnd["problems"][number]["code"], string | null, number, number][];
    readonly hash: Uint8Array;
  };
  return {
    ...fields,
    problems: problems.map(([code, origin, from, to]) => ({
      code,
      origin: isIncarnation(origin) ? origin : undefined,
      from,
      to,
    })),
  };
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function damaged(reason: string): TidemarkError {
  return new TidemarkError(
    "EXPORT_DAMAGED",
    `the export is damaged (${reason}): copy it again from where it was made, or take it again`,
  );
}

function newer(what: string): TidemarkError {
  return new TidemarkError(
    "FORMAT_NEWER",
    `the export was made by a newer version of Tidemark (${what}): use a newer Tidemark`,
  );
}
