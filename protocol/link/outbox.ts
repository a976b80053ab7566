/**
 * The sending half of a session: what the peer lacks, in which order, within its credit.
 *
 * Two lanes take turns: this side's own origins, and the peer's older ones, which it lost. Within a lane origins go by
 * generation, the older first, because having seen an event of a newer one counts as having seen all of the older.
 */
import { TidemarkError } from "../../core/errors.ts";
import { type Incarnation, type Side, sideOf } from "../../core/event.ts";
import type { Digest } from "../../core/ports.ts";
import { type Segment, lastOf } from "../../core/segment.ts";
import { type Compressor, Packer, maxPayloadBytes, plainFrame } from "./batch.ts";
import type { AckFrame, PartFrame, SegmentsFrame, Statement } from "./frames.ts";
import type { Holding } from "./heads.ts";
import {
  frameOverheadBytes,
  maxBatchBytes,
  maxFrameBytes,
  maxPlainSegmentBytes,
  minReadBytes,
  readBytes,
  segmentPrefixBytes,
} from "./limits.ts";

/** A whole segment of this side's log. */
export type StoredBytes = Pick<Segment, "lo" | "count" | "bytes"> & Partial<Pick<Segment, "cover">>;

/** Asks for whole segments of one origin from `fromSeq` on: at least one if there is one, then up to `maxBytes`. */
export interface ReadRequest {
  readonly origin: Incarnation;
  readonly fromSeq: number;
  readonly maxBytes: number;
}

/** The peer has these durable, up to this sequence. */
export interface PeerAck {
  readonly origin: Incarnation;
  readonly seq: number;
}

export interface OutboxOptions {
  /** The sending side. */
  readonly side: Side;
  /** Its own live incarnation. */
  readonly incarnation: Incarnation;
  /** Undefined: the peer takes nothing of the live incarnation yet. */
  readonly generation: number | undefined;
  readonly holdings: readonly Holding[];
  /** How far origins have grown since `holdings` were stated. */
  readonly ends: ReadonlyMap<Incarnation, number>;
  readonly peer: Statement;
  readonly digest: Digest;
  readonly compressor: Compressor | undefined;
}

/** One origin on its way to the peer. */
interface Flow {
  readonly origin: Incarnation;
  /** The next sequence to ask of the log. */
  next: number;
  /** What is durable here. */
  end: number;
  /** The peer takes nothing after this. */
  readonly limit: number;
  /** The peer lacks something up to `limit`, and holds what comes after it: a cover may reach into that. */
  readonly heals: boolean;
  /** The last sequence that was handed over whole. */
  sent: number;
  acked: number;
  /** The log had nothing where it should: a damaged range. Until it says that there is more. */
  stalled: boolean;
}

interface Lane {
  readonly flows: readonly Flow[];
  readonly queue: Queued[];
  queuedBytes: number;
  reading: Flow | undefined;
}

interface Queued extends StoredBytes {
  readonly flow: Flow;
}

/** The large segment at the head of a lane, on its way in parts. */
interface Cut {
  readonly lane: Lane;
  offset: number;
}

const maxPartBytes = maxFrameBytes - frameOverheadBytes;

export class Outbox {
  readonly #peer: Statement;
  readonly #digest: Digest;
  readonly #packer: Packer;
  readonly #flows = new Map<Incarnation, Flow>();
  readonly #lanes: readonly Lane[];
  #turn = 0;
  #cut: Cut | undefined;
  #granted = 0;
  #sent = 0;

  constructor(options: OutboxOptions) {
    this.#peer = options.peer;
    this.#digest = options.digest;
    this.#packer = new Packer(options.compressor);
    const lanes: Flow[][] = [[], []];
    for (const flow of flowsOf(options)) {
      this.#flows.set(flow.origin, flow);
      lanes[sideOf(flow.origin) === options.side ? 0 : 1]?.push(flow);
    }
    this.#lanes = lanes.map((flows) => ({ flows, queue: [], queuedBytes: 0, reading: undefined }));
  }

  /** The log has `origin` durable up to `end`; `segments` may carry the newest, to save reading them back. */
  available(origin: Incarnation, end: number, segments: readonly StoredBytes[]): void {
    const flow = this.#flows.get(origin);
    if (flow === undefined) return;
    flow.end = Math.max(flow.end, end);
    flow.stalled = false;
    const lane = this.#laneOf(flow);
    if (lane.reading !== undefined || currentFlow(lane) !== flow) return;
    for (const segment of segments) {
      if (!this.#hasRoom(lane)) return;
      if (segment.lo === flow.next && isTaken(flow, segment)) enqueue(lane, flow, segment);
    }
  }

  /**
   * The answer to a read.
   * @throws LOG_GAP when the peer's end lies inside a segment of this log
   */
  answer(origin: Incarnation, segments: readonly StoredBytes[]): void {
    const lane = this.#lanes.find(({ reading }) => reading?.origin === origin);
    const flow = lane?.reading;
    if (lane === undefined || flow === undefined) return;
    lane.reading = undefined;
    const before = flow.next;
    for (const segment of segments) {
      const to = lastOf(segment);
      if (to < flow.next) continue;
      if (segment.lo > flow.next || !isTaken(flow, segment)) break;
      // Of a cover the peer takes what it lacks. A commit that goes on over the peer's end is not the peer's.
      if (segment.lo < flow.next && segment.cover === undefined) {
        throw insideSegment(origin, flow.next - 1, segment.lo, to);
      }
      enqueue(lane, flow, segment);
    }
    flow.stalled = flow.next === before;
  }

  /** @throws FRAME_INVALID when the peer acks what it was not sent */
  acked(frame: AckFrame): PeerAck[] {
    this.#granted = Math.max(this.#granted, frame.credit);
    const acks: PeerAck[] = [];
    for (const [origin, seq] of frame.durable) {
      const flow = this.#flows.get(origin);
      if (flow === undefined || seq > flow.sent) {
        throw new TidemarkError("FRAME_INVALID", `the peer acked ${origin}/${seq}, which it was not sent`);
      }
      if (seq <= flow.acked) continue;
      flow.acked = seq;
      acks.push({ origin, seq });
    }
    return acks;
  }

  /** What to read from the log now. Each request is made once, and waits for its `answer`. */
  reads(): ReadRequest[] {
    const requests: ReadRequest[] = [];
    for (const lane of this.#lanes) {
      const flow = currentFlow(lane);
      if (flow === undefined || !this.#wantsRead(lane)) continue;
      lane.reading = flow;
      const wanted = Math.min(readBytes, this.#credit - this.#queuedBytes);
      requests.push({ origin: flow.origin, fromSeq: flow.next, maxBytes: Math.max(minReadBytes, wanted) });
    }
    return requests;
  }

  /** The next frame to hand to the socket, or undefined when there is nothing to send or no credit for it. */
  next(): SegmentsFrame | PartFrame | undefined {
    for (let tried = 0; tried < this.#lanes.length; tried += 1) {
      const turn = (this.#turn + tried) % this.#lanes.length;
      const lane = this.#lanes[turn] as Lane;
      const head = lane.queue[0];
      if (head === undefined || (this.#mustCut(head) && this.#otherIsCut(lane))) continue;
      if (this.#isFilling(lane, head)) continue;
      const frame = this.#frameOf(lane, head);
      if (frame === undefined && this.#otherIsCut(lane)) continue;
      // Without the credit for this one nothing else goes: small segments must not keep a larger one waiting for ever.
      if (frame !== undefined) this.#turn = (turn + 1) % this.#lanes.length;
      return frame;
    }
    return undefined;
  }

  get #credit(): number {
    return this.#granted - this.#sent;
  }

  get #queuedBytes(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.queuedBytes, 0);
  }

  /** Memory follows the credit: a peer that takes nothing costs nothing. */
  #hasRoom(lane: Lane): boolean {
    return lane.queuedBytes < readBytes && this.#queuedBytes < this.#credit;
  }

  /** Whether `reads` will ask for more of it. */
  #wantsRead(lane: Lane): boolean {
    return lane.reading === undefined && this.#hasRoom(lane) && currentFlow(lane) !== undefined;
  }

  #laneOf(flow: Flow): Lane {
    return this.#lanes.find(({ flows }) => flows.includes(flow)) as Lane;
  }

  #otherIsCut(lane: Lane): boolean {
    return this.#cut !== undefined && this.#cut.lane !== lane;
  }

  /**
   * Whether a frame made now would be a small one, with more on its way from the disk: what is left of each read would
   * go alone, too small to be compressed.
   */
  #isFilling(lane: Lane, head: Queued): boolean {
    const isReading = lane.reading !== undefined || this.#wantsRead(lane);
    if (!isReading || this.#cut?.lane === lane || this.#mustCut(head)) return false;
    return lane.queuedBytes + lane.queue.length * segmentPrefixBytes < this.#packer.targetBytes;
  }

  #frameOf(lane: Lane, head: Queued): SegmentsFrame | PartFrame | undefined {
    if (this.#cut?.lane === lane) return this.#part(this.#cut, head);
    if (!this.#mustCut(head)) {
      if (head.bytes.length > this.#credit) return undefined;
      const fitsPlain = head.bytes.length <= maxPlainSegmentBytes;
      // The peer takes one segment in parts at a time, so there is no trying what may end in parts.
      if (!fitsPlain && this.#otherIsCut(lane)) return undefined;
      const frame = this.#batch(lane);
      if (frame !== undefined) return frame;
    }
    this.#cut = { lane, offset: this.#resumeAt(head) };
    return this.#part(this.#cut, head);
  }

  /** Whether a segment can only go in parts: too long, or begun that way in an earlier session. */
  #mustCut({ bytes, flow, lo }: Queued): boolean {
    const { partial, window } = this.#peer;
    if (bytes.length > window || bytes.length + segmentPrefixBytes > maxBatchBytes) return true;
    return partial?.origin === flow.origin && partial.lo === lo;
  }

  #resumeAt({ bytes, flow, lo }: Queued): number {
    const { partial } = this.#peer;
    if (partial?.origin !== flow.origin || partial.lo !== lo || partial.total !== bytes.length) return 0;
    if (partial.received >= partial.total) return 0;
    return this.#digest.crc32(bytes.subarray(0, partial.received)) === partial.crc ? partial.received : 0;
  }

  #part(cut: Cut, head: Queued): PartFrame | undefined {
    const { offset } = cut;
    const total = head.bytes.length;
    const length = Math.min(maxPartBytes, this.#credit, total - offset);
    if (length <= 0) return undefined;
    cut.offset += length;
    this.#sent += length;
    const bytes = head.bytes.subarray(offset, cut.offset);
    if (cut.offset === total) {
      this.#cut = undefined;
      remove(cut.lane, 1);
    }
    return { type: "part", origin: head.flow.origin, lo: head.lo, total, offset, bytes };
  }

  /** As many whole segments as fit; undefined when not even the first does. */
  #batch(lane: Lane): SegmentsFrame | undefined {
    const target = this.#packer.targetBytes;
    const batch: Uint8Array[] = [];
    let credit = this.#credit;
    let size = 0;
    let plainCount = 0;
    for (const queued of lane.queue) {
      size += segmentPrefixBytes + queued.bytes.length;
      credit -= queued.bytes.length;
      const isFirst = batch.length === 0;
      if (credit < 0 || (!isFirst && (size > target || this.#mustCut(queued)))) break;
      batch.push(queued.bytes);
      if (size <= maxPayloadBytes) plainCount = batch.length;
    }
    const compressed = this.#packer.compressed(batch);
    const count = compressed === undefined ? plainCount : batch.length;
    if (count === 0) return undefined;
    const frame = compressed ?? plainFrame(batch.slice(0, count));
    this.#sent += frame.rawBytes - count * segmentPrefixBytes;
    remove(lane, count);
    return frame;
  }
}

/** What the peer lacks and may be sent, in order of generation with the live incarnation last. */
function flowsOf(options: OutboxOptions): Flow[] {
  const { incarnation, holdings, ends, peer } = options;
  const theirs = new Map(peer.holdings.map((holding) => [holding.origin, holding]));
  const mine = new Map(holdings.map((holding) => [holding.origin, holding]));
  const flows: (Flow & { readonly order: number })[] = [];
  for (const origin of new Set([...mine.keys(), incarnation])) {
    const held = mine.get(origin);
    const claim = theirs.get(origin);
    const isLive = origin === incarnation;
    const limit = limitOf(origin, held, claim, options);
    const heals = origin === peer.incarnation;
    const from = claim?.end ?? 0;
    const end = Math.max(held?.end ?? 0, ends.get(origin) ?? 0);
    if (limit <= from || (end <= from && !isLive)) continue;
    const order = isLive ? Number.POSITIVE_INFINITY : (held?.generation ?? Number.MAX_SAFE_INTEGER);
    flows.push({ origin, next: from + 1, end, limit, heals, sent: from, acked: from, stalled: false, order });
  }
  return flows.sort((a, b) => (a.order === b.order ? 0 : a.order - b.order));
}

/** Up to which sequence the peer takes an origin from this side. */
function limitOf(
  origin: Incarnation,
  held: Holding | undefined,
  claim: Holding | undefined,
  { side, incarnation, generation, peer }: OutboxOptions,
): number {
  // Nobody is sent its own live incarnation, except what its disk lost in the middle: it may have been rolled back,
  // and then it takes its tail as that of a closed one.
  if (origin === peer.incarnation) return claim?.missingTo ?? 0;
  if (origin === incarnation && generation === undefined) return 0;
  // A cloud takes from a node only what it has named: of the rest it has no record where that was closed.
  if (origin !== incarnation && side === "node" && claim === undefined) return 0;
  const unlimited = Number.POSITIVE_INFINITY;
  return Math.min(held?.closedAt ?? unlimited, claim?.closedAt ?? unlimited);
}

function currentFlow(lane: Lane): Flow | undefined {
  return lane.flows.find((flow) => !flow.stalled && flow.next <= Math.min(flow.end, flow.limit));
}

function isTaken({ limit, heals }: Flow, segment: StoredBytes): boolean {
  return lastOf(segment) <= limit || (heals && segment.cover !== undefined && segment.lo <= limit);
}

function enqueue(lane: Lane, flow: Flow, segment: StoredBytes): void {
  lane.queue.push({ flow, lo: segment.lo, count: segment.count, bytes: segment.bytes });
  lane.queuedBytes += segment.bytes.length;
  flow.next = lastOf(segment) + 1;
}

/** The first `count` of the queue have been handed over. */
function remove(lane: Lane, count: number): void {
  for (const { flow, lo, count: events, bytes } of lane.queue.splice(0, count)) {
    lane.queuedBytes -= bytes.length;
    flow.sent = lo + events - 1;
  }
}

function insideSegment(origin: Incarnation, end: number, lo: number, to: number): TidemarkError {
  return new TidemarkError(
    "LOG_GAP",
    `the peer holds ${origin} up to ${end}, inside a commit from ${lo} to ${to}: the two sides committed differently`,
    { data: { origin, expected: end + 1, got: lo } },
  );
}
