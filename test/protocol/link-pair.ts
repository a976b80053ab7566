/** Two sessions back to back: a log of arrays and the smallest shell there can be on each side, in one process. */
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { encodeEvent } from "../../core/codec.ts";
import type { Incarnation, Side } from "../../core/event.ts";
import type { Mark } from "../../core/marks.ts";
import { type Segment, chainHash, encodeSegment, zeroHash } from "../../core/segment.ts";
import { nodeDigest as digest } from "../../core/store/node-digest.ts";
import type { Compressor } from "../../protocol/link/batch.ts";
import {
  type Frame,
  type Hello,
  type Welcome,
  decodeFrame,
  encodeFrame,
} from "../../protocol/link/frames.ts";
import type { Holding } from "../../protocol/link/heads.ts";
import type { Delivery } from "../../protocol/link/inbox.ts";
import { maxFrameBytes, maxUnsentBytes, unsentForLogBytes } from "../../protocol/link/limits.ts";
import type { PartialSegment } from "../../protocol/link/reassembly.ts";
import {
  type Acceptance,
  type Closed,
  type Input,
  type LogStatement,
  type Output,
  type Session,
  type SessionOptions,
  createSession,
  step,
} from "../../protocol/link/session.ts";

export { digest };

export const brotli: Compressor = {
  compress: (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
  decompress: (bytes, maxBytes) => brotliDecompressSync(bytes, { maxOutputLength: maxBytes }),
};

export const incarnation = (side: Side, number: number): Incarnation =>
  ((side === "cloud" ? "c" : "n") + String(number).padStart(13, "0")) as Incarnation;

/** What is held of one origin. */
export interface Chain {
  segments: Segment[];
  hashes: Uint8Array[];
  closedAt: number | undefined;
  generation: number | undefined;
}

export interface AppendOptions {
  /** Fills bodies with noise, which does not compress. */
  readonly random?: boolean;
  readonly origin?: Incarnation;
  /** The body of each event, instead of bytes made up. */
  readonly body?: Uint8Array;
}

export class FakeLog {
  readonly side: Side;
  live: Incarnation;
  readonly chains: Map<Incarnation, Chain> = new Map();

  constructor(side: Side, number = 1) {
    this.side = side;
    this.live = incarnation(side, number);
    this.chain(this.live).generation = 1;
  }

  chain(origin: Incarnation): Chain {
    let chain = this.chains.get(origin);
    if (chain === undefined) {
      chain = { segments: [], hashes: [], closedAt: undefined, generation: undefined };
      this.chains.set(origin, chain);
    }
    return chain;
  }

  end(origin: Incarnation): number {
    const last = this.chains.get(origin)?.segments.at(-1);
    return last === undefined ? 0 : last.lo + last.count - 1;
  }

  /** Appends one segment of `count` events of about `bytes` together. */
  append(count: number, bytes: number, options: AppendOptions = {}): Segment {
    const { random = false, origin = this.live } = options;
    const lo = this.end(origin) + 1;
    const events = Array.from({ length: count }, (_, index) => {
      const body = options.body ?? new Uint8Array(Math.floor(bytes / count)).fill(lo + index);
      if (random) for (let at = 0; at < body.length; at += 1) body[at] = noise();
      const draft = { type: "twin.reported", class: "twin", key: "devices/default/d", body } as const;
      return encodeEvent(draft, lo + index, 1);
    });
    const before = this.chain(origin).hashes.at(-1) ?? zeroHash;
    const { segment } = encodeSegment({ origin, lo, seen: [], events }, before, digest);
    this.take(segment);
    return segment;
  }

  take(segment: Segment): void {
    const chain = this.chain(segment.origin);
    chain.hashes.push(chainHash(chain.hashes.at(-1) ?? zeroHash, segment, digest));
    chain.segments.push(segment);
  }

  /** A copy of this log that shares nothing that changes. */
  copy(): FakeLog {
    const log = new FakeLog(this.side);
    log.live = this.live;
    log.chains.clear();
    for (const [origin, chain] of this.chains) {
      log.chains.set(origin, { ...chain, segments: [...chain.segments], hashes: [...chain.hashes] });
    }
    return log;
  }

  read(origin: Incarnation, fromSeq: number, maxBytes: number): Segment[] {
    const found: Segment[] = [];
    let bytes = 0;
    for (const segment of this.chains.get(origin)?.segments ?? []) {
      if (segment.lo + segment.count - 1 < fromSeq) continue;
      if (found.length > 0 && bytes + segment.bytes.length > maxBytes) break;
      found.push(segment);
      bytes += segment.bytes.length;
    }
    return found;
  }

  marks(origin: Incarnation): Mark[] {
    const { segments, hashes } = this.chain(origin);
    return segments.map(({ lo, count }, index) => ({
      seq: lo + count - 1,
      hash: hashes[index] as Uint8Array,
    }));
  }

  statement(partial?: PartialSegment): LogStatement {
    const holdings = [...this.chains].map(([origin, { hashes, closedAt, generation }]): Holding => ({
      origin,
      end: this.end(origin),
      hash: hashes.at(-1) ?? zeroHash,
      marks: this.marks(origin).slice(-32),
      closedAt,
      generation,
    }));
    return { incarnation: this.live, generation: this.chain(this.live).generation, holdings, partial };
  }

  /** The bytes of every segment of an origin, in order. */
  bytes(origin: Incarnation): string[] {
    return this.chain(origin).segments.map(({ bytes }) => Buffer.from(bytes).toString("base64"));
  }
}

let noiseState = 1;
function noise(): number {
  noiseState = (Math.imul(noiseState, 1_103_515_245) + 12_345) >>> 0;
  return noiseState >>> 24;
}

export type Settings = Partial<Pick<SessionOptions, "windowBytes" | "compressor">>;

/** One side of a connection: session, log, and the socket's unsent messages. */
export class End {
  readonly log: FakeLog;
  readonly session: Session;
  readonly unsent: Uint8Array[] = [];
  readonly deliveries: Delivery[] = [];
  readonly sentTypes: Frame["type"][] = [];
  readonly partOffsets: number[] = [];
  /** Of each frame of segments that was sent, what it unpacks to. */
  readonly batchBytes: number[] = [];
  peer: Hello | Welcome | undefined;
  established = false;
  closed: Closed | undefined;
  readonly acks: Map<Incarnation, number> = new Map();
  nowMs = 0;
  /** Answers `verify`; without one, everything is accepted. */
  verify: ((peer: Hello | Welcome) => Input) | undefined;
  /** Set: delivered segments wait for `sync()`. */
  holdSync = false;
  /** Set: what is asked of the log waits for `answer()`, as a disk takes its time. */
  holdReads = false;
  readonly #unanswered: Input[] = [];
  /** Bytes delivered and not durable. */
  undurable = 0;
  undurableMax = 0;
  readonly #unsynced: Segment[] = [];
  readonly #inputs: Input[] = [];
  readonly #partial: PartialSegment | undefined;

  constructor(log: FakeLog, settings: Settings = {}, partial?: PartialSegment) {
    this.log = log;
    this.#partial = partial;
    const common = { product: "0.1.0", digest, ...settings };
    this.session = createSession(
      log.side === "node"
        ? { ...common, role: "node", node: "n1", bootId: "boot-1", log: log.statement(partial) }
        : { ...common, role: "cloud", expectedNode: "n1" },
    );
  }

  get buffered(): number {
    return this.unsent.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  /** What arises while outputs are carried out waits its turn. @returns what came of the input alone */
  input(input: Input): Output[] {
    this.#inputs.push(input);
    if (this.#inputs.length > 1) return [];
    let first: Output[] | undefined;
    while (this.#inputs[0] !== undefined) {
      const outputs = step(this.session, this.#inputs[0], { nowMs: this.nowMs, buffered: this.buffered });
      first ??= outputs;
      for (const output of outputs) this.#carryOut(output);
      this.#inputs.shift();
    }
    return first ?? [];
  }

  append(count: number, bytes: number, options: { random?: boolean; handOver?: boolean } = {}): void {
    const segment = this.log.append(count, bytes, options);
    const end = this.log.end(this.log.live);
    const segments = options.handOver === true ? [segment] : [];
    this.input({ kind: "available", origin: this.log.live, end, segments });
  }

  /** What was delivered is on the disk. */
  sync(): void {
    const settled = this.#unsynced.splice(0);
    this.undurable = 0;
    const ends = new Map<Incarnation, number>();
    for (const segment of settled) {
      this.log.take(segment);
      ends.set(segment.origin, segment.lo + segment.count - 1);
    }
    for (const [origin, seq] of ends) this.input({ kind: "durable", origin, seq });
  }

  /** The log answers what it was asked. @returns whether it was asked anything */
  answer(): boolean {
    const answers = this.#unanswered.splice(0);
    for (const answer of answers) this.input(answer);
    return answers.length > 0;
  }

  /** The other end takes one message off the wire. */
  takeFrom(other: End): boolean {
    const wasFull = other.buffered > unsentForLogBytes;
    const bytes = other.unsent.shift();
    if (bytes === undefined) return false;
    if (wasFull && other.buffered <= unsentForLogBytes) other.input({ kind: "writable" });
    this.input({ kind: "frame", bytes });
    return true;
  }

  #carryOut(output: Output): void {
    switch (output.kind) {
      case "send":
        this.#send(output.bytes);
        return;
      case "verify":
        this.peer = output.peer;
        this.input(this.verify?.(output.peer) ?? this.accept());
        return;
      case "read": {
        const { origin, fromSeq, maxBytes } = output;
        const answer: Input = { kind: "read", origin, segments: this.log.read(origin, fromSeq, maxBytes) };
        if (this.holdReads) this.#unanswered.push(answer);
        else this.input(answer);
        return;
      }
      case "deliver":
        this.deliveries.push(output);
        for (const segment of output.segments) {
          this.#unsynced.push(segment);
          this.undurable += segment.bytes.length;
        }
        this.undurableMax = Math.max(this.undurableMax, this.undurable);
        if (!this.holdSync) this.sync();
        return;
      case "established":
        this.established = true;
        return;
      case "peerAcked":
        this.acks.set(output.origin, output.seq);
        return;
      case "closed":
        this.closed = output;
        return;
      default:
        output satisfies never;
    }
  }

  #send(bytes: Uint8Array): void {
    const frame = decodeFrame(bytes);
    this.sentTypes.push(frame.type);
    if (frame.type === "part") this.partOffsets.push(frame.offset);
    if (frame.type === "segments") this.batchBytes.push(frame.rawBytes);
    this.unsent.push(bytes);
    if (bytes.length > maxFrameBytes) throw new Error(`a frame of ${bytes.length} bytes was sent`);
    if (this.buffered > maxUnsentBytes) throw new Error(`${this.buffered} bytes were handed to the socket`);
  }

  accept(change: Partial<Acceptance> = {}): Input {
    if (this.log.side === "node") return { kind: "verified" };
    const log = this.log.statement(this.#partial);
    return { kind: "verified", acceptance: { sessionId: "s1", log, nodeGeneration: 1, ...change } };
  }
}

export interface Pair {
  readonly node: End;
  readonly cloud: End;
}

export interface Kept {
  readonly node?: PartialSegment | undefined;
  readonly cloud?: PartialSegment | undefined;
}

/** Two ends that have not said anything yet. */
export function pair(node: FakeLog, cloud: FakeLog, settings: Settings = {}, kept: Kept = {}): Pair {
  return { node: new End(node, settings, kept.node), cloud: new End(cloud, settings, kept.cloud) };
}

export function start({ node, cloud }: Pair): void {
  cloud.input({ kind: "open" });
  node.input({ kind: "open" });
}

/** Carries messages both ways until nothing moves, or `frames` were carried. @returns how many were */
export function run({ node, cloud }: Pair, frames: number = Number.POSITIVE_INFINITY): number {
  let carried = 0;
  for (let moved = true; moved && carried < frames;) {
    moved = false;
    for (const [to, from] of [
      [cloud, node],
      [node, cloud],
    ] as const) {
      if (carried < frames && to.takeFrom(from)) {
        carried += 1;
        moved = true;
      }
    }
  }
  return carried;
}

/** A pair that has greeted, and carried what there was. */
export function connected(node: FakeLog, cloud: FakeLog, settings: Settings = {}): Pair {
  const both = pair(node, cloud, settings);
  start(both);
  run(both);
  return both;
}

/** The transport breaks: what was on the way is lost. */
export function cut({ node, cloud }: Pair): Kept {
  for (const end of [node, cloud]) {
    end.unsent.length = 0;
    end.sync();
    end.input({ kind: "lost" });
  }
  return { node: node.closed?.partial, cloud: cloud.closed?.partial };
}

export { decodeFrame, encodeFrame };
