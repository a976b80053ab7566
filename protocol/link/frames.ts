/**
 * The frames of the link (`docs/wire-format.md`): one WebSocket message each, a msgpack array that begins with the
 * type. What comes in is checked here, once, field by field; a reader takes longer arrays and ignores what it does not
 * know.
 */
import { pack, unpack } from "../../core/codec.ts";
import { type ErrorCode, TidemarkError, errorCodes, messageOf } from "../../core/errors.ts";
import { type Incarnation, type Side, isIncarnation, sideOf } from "../../core/event.ts";
import type { Mark } from "../../core/marks.ts";
import { hashLength, maxSegmentBytes } from "../../core/segment.ts";
import { type Holding, spacedMarks } from "./heads.ts";
import {
  maxBatchBytes,
  maxFrameBytes,
  maxMarks,
  maxMessageLength,
  maxNodeNameLength,
  maxOrigins,
  maxRetryAfterMs,
  maxShortTextLength,
  maxWindowBytes,
  protocolVersion,
} from "./limits.ts";

/** What a receiver kept of a segment that was cut off in the middle. */
export interface PartialClaim {
  readonly origin: Incarnation;
  /** Sequence of the segment's first event. */
  readonly lo: number;
  /** Bytes of the whole segment. */
  readonly total: number;
  /** Bytes from its start that are held. */
  readonly received: number;
  /** CRC-32 of those: they may be of another segment with the same start. */
  readonly crc: number;
}

/** What both sides say of themselves when a session begins. */
export interface Statement {
  /** Version of the product, for people. */
  readonly product: string;
  /** The side's live incarnation. */
  readonly incarnation: Incarnation;
  readonly generation: number | undefined;
  /** What is held of every incarnation of both sides. */
  readonly holdings: readonly Holding[];
  readonly partial: PartialClaim | undefined;
  /** Segment bytes that will be granted beyond what is durable. The first ack puts it in force. */
  readonly window: number;
}

export interface Hello extends Statement {
  readonly type: "hello";
  readonly node: string;
  /** Random for each process: tells a restart from a clone. */
  readonly bootId: string;
}

export interface Welcome extends Statement {
  readonly type: "welcome";
  readonly sessionId: string;
  /** Given to the node's live incarnation; undefined when the cloud takes nothing of it. */
  readonly nodeGeneration: number | undefined;
}

export interface SegmentsFrame {
  readonly type: "segments";
  /** Bytes of the payload before compression. */
  readonly rawBytes: number;
  readonly compressed: boolean;
  /** Segments, each after its length (u32). */
  readonly payload: Uint8Array;
}

export interface PartFrame {
  readonly type: "part";
  readonly origin: Incarnation;
  readonly lo: number;
  readonly total: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface AckFrame {
  readonly type: "ack";
  /** Segment bytes granted since the session began. */
  readonly credit: number;
  /** What became durable at the receiver: each origin's latest sequence. */
  readonly durable: readonly (readonly [Incarnation, number])[];
}

export interface PingFrame {
  readonly type: "ping";
}

export interface CloseFrame {
  readonly type: "close";
  readonly code: ErrorCode;
  readonly message: string;
  /** Ms; 0: come back at once. */
  readonly retryAfterMs: number | undefined;
}

export type Frame = Hello | Welcome | SegmentsFrame | PartFrame | AckFrame | PingFrame | CloseFrame;

const typeCodes = { hello: 1, welcome: 2, segments: 3, part: 4, ack: 5, ping: 6, close: 7 } as const;
const encodings = { plain: 0, brotli: 1 } as const;

/** How many marks of a closed incarnation are kept when a hello would be too long, in the order of trying. */
const markAllowances = [maxMarks, 8, 2, 0];

/**
 * @returns bytes of at most `maxFrameBytes`
 * @throws FRAME_TOO_LARGE when so much can't be said in one frame
 */
export function encodeFrame(frame: Frame): Uint8Array {
  if ("holdings" in frame && frame.holdings.length > maxOrigins) {
    throw tooLarge(`${frame.holdings.length} incarnations; a ${frame.type} names at most ${maxOrigins}`);
  }
  for (const allowance of "holdings" in frame ? markAllowances : [0]) {
    const bytes = pack(rowOf(frame, allowance));
    if (bytes.length <= maxFrameBytes) return bytes;
  }
  throw tooLarge(`a ${frame.type} would not fit into ${maxFrameBytes} bytes`);
}

function rowOf(frame: Frame, markAllowance: number): unknown[] {
  const type = typeCodes[frame.type];
  switch (frame.type) {
    case "hello": {
      const { product, node, bootId, incarnation, generation } = frame;
      const self = [incarnation, generation ?? null];
      return [type, protocolVersion, product, node, bootId, ...self, ...statementRow(frame, markAllowance)];
    }
    case "welcome": {
      const { product, sessionId, incarnation, generation, nodeGeneration } = frame;
      const self = [incarnation, generation ?? null, nodeGeneration ?? null];
      return [type, protocolVersion, product, sessionId, ...self, ...statementRow(frame, markAllowance)];
    }
    case "segments":
      return [type, frame.rawBytes, frame.compressed ? encodings.brotli : encodings.plain, frame.payload];
    case "part":
      return [type, frame.origin, frame.lo, frame.total, frame.offset, frame.bytes];
    case "ack":
      return [type, frame.credit, frame.durable];
    case "ping":
      return [type];
    case "close":
      return [type, frame.code, frame.message.slice(0, maxMessageLength), frame.retryAfterMs ?? null];
    default:
      return frame satisfies never;
  }
}

function statementRow(statement: Statement, markAllowance: number): unknown[] {
  const { holdings, partial, window } = statement;
  const rows = holdings.map(({ origin, end, hash, marks, closedAt, generation, missingTo }) => {
    const allowance = closedAt === undefined ? maxMarks : markAllowance;
    const chosen = marks.length <= allowance ? marks : spacedMarks(marks, end, allowance);
    const named = chosen.map((mark) => [mark.seq, mark.hash]);
    return [origin, end, hash, named, closedAt ?? null, generation ?? null, missingTo ?? null];
  });
  const cut = partial && [partial.origin, partial.lo, partial.total, partial.received, partial.crc];
  return [rows, cut ?? null, window];
}

/**
 * Views into `bytes`, where there are byte strings.
 * @throws FRAME_TOO_LARGE (before anything is read), FRAME_INVALID, PROTOCOL_VERSION
 */
export function decodeFrame(bytes: Uint8Array): Frame {
  if (bytes.length > maxFrameBytes) {
    throw tooLarge(`a frame of ${bytes.length} bytes came; the limit is ${maxFrameBytes}`);
  }
  let row: unknown;
  try {
    row = unpack(bytes);
  } catch (error) {
    throw invalid(messageOf(error), error);
  }
  if (!Array.isArray(row)) throw invalid("it is not an array");
  return readRow(row as unknown[]);
}

function readRow(row: readonly unknown[]): Frame {
  switch (row[0]) {
    case typeCodes.hello:
      return readHello(row);
    case typeCodes.welcome:
      return readWelcome(row);
    case typeCodes.segments: {
      const rawBytes = natural(row[1], "the raw size");
      if (rawBytes > maxBatchBytes) {
        throw tooLarge(`a frame unpacks to ${rawBytes} bytes; the limit is ${maxBatchBytes}`);
      }
      const encoding = natural(row[2], "the encoding");
      if (encoding > encodings.brotli) throw invalid(`encoding ${encoding} is not known`);
      return {
        type: "segments",
        rawBytes,
        compressed: encoding === encodings.brotli,
        payload: binary(row[3], "the payload"),
      };
    }
    case typeCodes.part:
      return readPart(row);
    case typeCodes.ack:
      return { type: "ack", credit: natural(row[1], "the credit"), durable: readDurable(row[2]) };
    case typeCodes.ping:
      return { type: "ping" };
    case typeCodes.close:
      return readClose(row);
    default:
      throw invalid(`type ${String(row[0])} is not known`);
  }
}

function readHello(row: readonly unknown[]): Hello {
  checkVersion(row[1]);
  return {
    type: "hello",
    product: text(row[2], maxShortTextLength, "the product version"),
    node: text(row[3], maxNodeNameLength, "the node's name"),
    bootId: text(row[4], maxShortTextLength, "the boot id"),
    incarnation: incarnationOf(row[5], "node"),
    generation: optionalNatural(row[6], "the generation"),
    ...readStatement(row.slice(7)),
  };
}

function readWelcome(row: readonly unknown[]): Welcome {
  checkVersion(row[1]);
  return {
    type: "welcome",
    product: text(row[2], maxShortTextLength, "the product version"),
    sessionId: text(row[3], maxShortTextLength, "the session id"),
    incarnation: incarnationOf(row[4], "cloud"),
    generation: optionalNatural(row[5], "the generation"),
    nodeGeneration: optionalNatural(row[6], "the node's generation"),
    ...readStatement(row.slice(7)),
  };
}

function readStatement(row: readonly unknown[]): Pick<Statement, "holdings" | "partial" | "window"> {
  const holdings = list(row[0], maxOrigins, "origins").map(readHolding);
  if (new Set(holdings.map(({ origin }) => origin)).size !== holdings.length) {
    throw invalid("an origin is named twice");
  }
  const window = natural(row[2], "the window");
  if (window < 1 || window > maxWindowBytes) throw invalid(`a window of ${window} bytes`);
  return { holdings, partial: readPartial(row[1]), window };
}

function readHolding(entry: unknown): Holding {
  const row = list(entry, Number.POSITIVE_INFINITY, "an origin's entry");
  return {
    origin: incarnationOf(row[0]),
    end: natural(row[1], "an end"),
    hash: hashOf(row[2]),
    marks: list(row[3], maxMarks, "marks").map(readMark),
    closedAt: optionalNatural(row[4], "a closed end"),
    generation: optionalNatural(row[5], "a generation"),
    missingTo: optionalNatural(row[6], "the end of a damaged range"),
  };
}

function readMark(entry: unknown): Mark {
  const row = list(entry, Number.POSITIVE_INFINITY, "a mark");
  return { seq: sequence(row[0]), hash: hashOf(row[1]) };
}

function readPartial(value: unknown): PartialClaim | undefined {
  if (value === null || value === undefined) return undefined;
  const row = list(value, Number.POSITIVE_INFINITY, "the partial");
  const total = segmentSize(row[2]);
  const received = natural(row[3], "the received size");
  if (received > total) throw invalid("more is received of a segment than it has");
  return {
    origin: incarnationOf(row[0]),
    lo: sequence(row[1]),
    total,
    received,
    crc: natural(row[4], "a checksum"),
  };
}

function readPart(row: readonly unknown[]): PartFrame {
  const total = segmentSize(row[3]);
  const offset = natural(row[4], "the offset");
  const bytes = binary(row[5], "a part");
  if (bytes.length === 0 || offset + bytes.length > total) {
    throw invalid(`${bytes.length} bytes at ${offset} of a segment of ${total}`);
  }
  return { type: "part", origin: incarnationOf(row[1]), lo: sequence(row[2]), total, offset, bytes };
}

function readDurable(value: unknown): [Incarnation, number][] {
  return list(value, maxOrigins, "acks").map((entry) => {
    const row = list(entry, Number.POSITIVE_INFINITY, "an ack's entry");
    return [incarnationOf(row[0]), sequence(row[1])];
  });
}

function readClose(row: readonly unknown[]): CloseFrame {
  const code = text(row[1], maxShortTextLength, "the code");
  const message = text(row[2], maxMessageLength, "the message");
  const asked = optionalNatural(row[3], "the wait");
  const retryAfterMs = asked === undefined ? undefined : Math.min(asked, maxRetryAfterMs);
  if (Object.hasOwn(errorCodes, code)) {
    return { type: "close", code: code as ErrorCode, message, retryAfterMs };
  }
  return { type: "close", code: "UNSUPPORTED", message: `${code}: ${message}`, retryAfterMs };
}

/** Before anything else of a hello or welcome is read: what follows may look different in another version. */
function checkVersion(value: unknown): void {
  const theirs = natural(value, "the protocol version");
  if (theirs === protocolVersion) return;
  throw new TidemarkError(
    "PROTOCOL_VERSION",
    `the peer speaks version ${theirs} of the link's protocol, this side ${protocolVersion}; update the older one`,
    { data: { theirs, ours: protocolVersion } },
  );
}

function natural(value: unknown, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw invalid(`${what} is not a whole number`);
  return value as number;
}

function optionalNatural(value: unknown, what: string): number | undefined {
  return value === null || value === undefined ? undefined : natural(value, what);
}

function sequence(value: unknown): number {
  const seq = natural(value, "a sequence");
  if (seq === 0) throw invalid("sequences begin at 1");
  return seq;
}

function segmentSize(value: unknown): number {
  const total = natural(value, "a segment's size");
  if (total === 0) throw invalid("a segment is empty");
  if (total > maxSegmentBytes) throw tooLarge(`a segment of ${total} bytes; the limit is ${maxSegmentBytes}`);
  return total;
}

function text(value: unknown, maxLength: number, what: string): string {
  if (typeof value !== "string") throw invalid(`${what} is not text`);
  if (value.length > maxLength) throw invalid(`${what} is longer than ${maxLength}`);
  return value;
}

function binary(value: unknown, what: string): Uint8Array {
  if (!(value instanceof Uint8Array)) throw invalid(`${what} is not bytes`);
  return value;
}

function hashOf(value: unknown): Uint8Array {
  const hash = binary(value, "a hash");
  if (hash.length !== hashLength) throw invalid(`a hash is not ${hashLength} bytes`);
  // A copy: it outlives the frame by a whole session.
  return Uint8Array.from(hash);
}

function list(value: unknown, maxCount: number, what: string): unknown[] {
  if (!Array.isArray(value)) throw invalid(`${what}: not an array`);
  if (value.length > maxCount) throw invalid(`more than ${maxCount} ${what}`);
  return value as unknown[];
}

function incarnationOf(value: unknown, side?: Side): Incarnation {
  if (!isIncarnation(value)) throw invalid("an origin is not one");
  if (side !== undefined && sideOf(value) !== side) throw invalid(`${value} is not an origin of the ${side}`);
  return value;
}

function invalid(reason: string, cause?: unknown): TidemarkError {
  return new TidemarkError("FRAME_INVALID", `a frame can't be read: ${reason}`, { cause });
}

function tooLarge(reason: string): TidemarkError {
  return new TidemarkError("FRAME_TOO_LARGE", reason);
}
