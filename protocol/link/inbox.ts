/**
 * The receiving half of a session: which origins the peer may send, density, duplicates, large segments, and credit.
 *
 * Credit. The receiver grants `window` bytes beyond what it has released, and releases a segment's bytes when it is
 * durable. The bytes of a large segment, which may be more than the window, are released as its parts come, because
 * its memory is bounded by itself; but not while an earlier large one still waits for the disk. So no more is held
 * than the window and two large segments. While this side has no room it grants nothing more, and acks go on.
 */
import { TidemarkError } from "../../core/errors.ts";
import { type Incarnation, type Side, sideOf } from "../../core/event.ts";
import type { Digest } from "../../core/ports.ts";
import { type Segment, coveredCount, lastOf, parseSegment } from "../../core/segment.ts";
import { type Compressor, openBatch } from "./batch.ts";
import type { AckFrame, PartFrame, SegmentsFrame, Statement } from "./frames.ts";
import type { Holding } from "./heads.ts";
import { type PartialSegment, Reassembly } from "./reassembly.ts";

/** Segments of one origin that have come, in order, each beginning where the one before it ended. */
export interface Delivery {
  readonly origin: Incarnation;
  /** The origin is of the receiving side: its own lost tail, given back. A cloud checks the MACs of these. */
  readonly returned: boolean;
  readonly segments: readonly Segment[];
}

export interface InboxOptions {
  /** The receiving side. */
  readonly side: Side;
  /** Its own live incarnation. */
  readonly incarnation: Incarnation;
  /** The generation of the peer's live incarnation; undefined: nothing of it is taken. */
  readonly peerGeneration: number | undefined;
  readonly holdings: readonly Holding[];
  readonly peer: Statement;
  readonly window: number;
  readonly partial: PartialSegment | undefined;
  readonly digest: Digest;
  readonly compressor: Compressor | undefined;
}

/** What has come of one origin. */
interface Receipt {
  /** The latest sequence that was delivered. */
  have: number;
  durable: number;
  /** Nothing after this is taken. */
  readonly limit: number;
  /** Delivered and not yet durable, in order. */
  readonly waiting: Waiting[];
}

interface Waiting {
  /** Sequence of the segment's last event. */
  readonly to: number;
  /** Bytes to release when it is durable. */
  bytes: number;
  readonly large: boolean;
}

export class Inbox {
  readonly #options: InboxOptions;
  readonly #receipts = new Map<Incarnation, Receipt>();
  readonly #unacked = new Map<Incarnation, number>();
  #ackDue = false;
  #reassembly: Reassembly | undefined;
  /** Bytes of the parts under way that are not released yet. */
  #heldOfParts = 0;
  #largeWaiting = 0;
  #granted = 0;
  #received = 0;
  #released = 0;
  #isWithheld = false;

  constructor(options: InboxOptions) {
    this.#options = options;
    const { partial } = options;
    if (partial === undefined) return;
    const held = options.holdings.find(({ origin }) => origin === partial.origin);
    if (isLacked(partial, held?.end ?? 0)) this.#reassembly = Reassembly.resume(partial);
  }

  /** What the next session can go on with. */
  get partial(): PartialSegment | undefined {
    return this.#reassembly?.partial;
  }

  /** @throws FRAME_INVALID, SEGMENT_CORRUPT, FORMAT_NEWER, CREDIT_EXCEEDED, LOG_GAP, AUTHORITY */
  segments(frame: SegmentsFrame): Delivery[] {
    const { digest, compressor } = this.#options;
    const deliveries: { origin: Incarnation; returned: boolean; segments: Segment[] }[] = [];
    for (const bytes of openBatch(frame, compressor)) {
      this.#spend(bytes.length);
      const segment = parseSegment(bytes, digest);
      if (!this.#take(segment, bytes.length, false)) continue;
      const last = deliveries.at(-1);
      if (last?.origin === segment.origin) last.segments.push(segment);
      else deliveries.push(this.#delivery(segment));
    }
    return deliveries;
  }

  /** @throws as `segments` */
  part(frame: PartFrame): Delivery[] {
    this.#spend(frame.bytes.length);
    let reassembly = this.#reassembly;
    if (reassembly?.continuesWith(frame) !== true) {
      const { have } = this.#receipt(frame.origin);
      if (frame.lo > have + 1) throw gap(frame.origin, have, frame.lo);
      reassembly = Reassembly.begin(frame, reassembly);
      this.#reassembly = reassembly;
    }
    reassembly.add(frame);
    this.#heldOfParts += frame.bytes.length;
    this.#releaseParts();
    if (!reassembly.isComplete) return [];
    this.#reassembly = undefined;
    const segment = parseSegment(reassembly.bytes, this.#options.digest);
    if (segment.origin !== frame.origin || segment.lo !== frame.lo) {
      throw invalid(`parts of ${frame.origin}/${frame.lo} make a segment of ${segment.origin}/${segment.lo}`);
    }
    const held = this.#heldOfParts;
    this.#heldOfParts = 0;
    return this.#take(segment, held, true) ? [this.#delivery(segment)] : [];
  }

  /** Delivered segments up to `seq` are on the disk. */
  durable(origin: Incarnation, seq: number): void {
    const receipt = this.#receipts.get(origin);
    if (receipt === undefined || seq <= receipt.durable) return;
    receipt.durable = Math.min(seq, receipt.have);
    this.#unacked.set(origin, receipt.durable);
    this.#ackDue = true;
    const settled = receipt.waiting.findIndex(({ to }) => to > seq);
    for (const entry of receipt.waiting.splice(0, settled === -1 ? receipt.waiting.length : settled)) {
      this.#released += entry.bytes;
      if (entry.large) this.#largeWaiting -= 1;
    }
    this.#releaseParts();
  }

  /**
   * What there is to tell the sender, or undefined. While parts come, small grants are saved up; the sender can always
   * go on, because it may cut a part as small as its credit.
   */
  ack(): AckFrame | undefined {
    const credit = this.#isWithheld ? this.#granted : this.#options.window + this.#released;
    const due = credit - this.#granted;
    const worthwhile = this.#reassembly === undefined ? 1 : this.#options.window / 4;
    if (!this.#ackDue && due < worthwhile) return undefined;
    return { type: "ack", credit, durable: [...this.#unacked] };
  }

  /** Grants nothing more, or what is due again. */
  withhold(isWithheld: boolean): void {
    this.#isWithheld = isWithheld;
  }

  /** The ack has been handed to the socket. */
  acked({ credit }: AckFrame): void {
    this.#granted = credit;
    this.#unacked.clear();
    this.#ackDue = false;
  }

  #delivery(segment: Segment): { origin: Incarnation; returned: boolean; segments: Segment[] } {
    const { origin } = segment;
    return { origin, returned: sideOf(origin) === this.#options.side, segments: [segment] };
  }

  #spend(bytes: number): void {
    this.#received += bytes;
    if (this.#received <= this.#granted) return;
    throw new TidemarkError(
      "CREDIT_EXCEEDED",
      `the peer sent ${this.#received} bytes of segments, and was granted ${this.#granted}`,
    );
  }

  /** @param bytes of it that are not released yet. @returns whether it is new; a duplicate's bytes are released */
  #take(segment: Segment, bytes: number, large: boolean): boolean {
    const { origin, lo, cover } = segment;
    const receipt = this.#receipt(origin);
    const to = lastOf(segment);
    if (to <= receipt.have) {
      this.#released += bytes;
      this.#ackDue = true;
      if (receipt.durable > 0) this.#unacked.set(origin, receipt.durable);
      return false;
    }
    // Of a cover the log takes what it lacks. A commit that begins inside what is held is a gap's twin: the two sides
    // committed differently.
    const follows = cover === undefined ? lo === receipt.have + 1 : lo <= receipt.have + 1;
    if (!follows) throw gap(origin, receipt.have, lo);
    // What this side's own disk lost may come in a cover that reaches into what it still holds.
    const heals = cover !== undefined && origin === this.#options.incarnation && lo <= receipt.limit;
    if (to > receipt.limit && !heals) {
      throw authority(`${origin} was closed at ${receipt.limit}, and a segment of it reaches ${to}`);
    }
    receipt.have = to;
    receipt.waiting.push({ to, bytes, large });
    if (large) this.#largeWaiting += 1;
    if (this.#reassembly?.origin === origin && this.#reassembly.lo <= to) this.#dropParts();
    return true;
  }

  #releaseParts(): void {
    if (this.#largeWaiting > 0) return;
    this.#released += this.#heldOfParts;
    this.#heldOfParts = 0;
  }

  /** The sender chose to send the segment whole after all. */
  #dropParts(): void {
    this.#reassembly = undefined;
    this.#released += this.#heldOfParts;
    this.#heldOfParts = 0;
  }

  /** @throws AUTHORITY when the peer may not send this origin */
  #receipt(origin: Incarnation): Receipt {
    let receipt = this.#receipts.get(origin);
    if (receipt === undefined) {
      const held = this.#options.holdings.find((holding) => holding.origin === origin);
      const end = held?.end ?? 0;
      receipt = { have: end, durable: end, limit: this.#limit(origin, held), waiting: [] };
      this.#receipts.set(origin, receipt);
    }
    return receipt;
  }

  /** Up to which sequence the peer may send an origin. */
  #limit(origin: Incarnation, held: Holding | undefined): number {
    const { side, incarnation, peer, peerGeneration } = this.#options;
    if (origin === incarnation) {
      if (held?.missingTo !== undefined) return held.missingTo;
      throw authority(`${origin} is this side's own live incarnation`);
    }
    if (origin === peer.incarnation) {
      if (peerGeneration === undefined) throw authority(`${origin} was given no generation`);
      return held?.closedAt ?? Number.POSITIVE_INFINITY;
    }
    // A cloud takes of older incarnations what it has recorded as closed, a node whatever its cloud says it holds.
    if (side === "cloud") {
      if (held?.closedAt === undefined) throw authority(`${origin} is not a closed incarnation of this log`);
      return held.closedAt;
    }
    const named = peer.holdings.find((holding) => holding.origin === origin);
    if (named === undefined) throw authority(`${origin} was not named in the welcome`);
    return held?.closedAt ?? named.closedAt ?? Number.POSITIVE_INFINITY;
  }
}

/** Whether a segment that was cut off is still to come: the next one, or a cover that reaches past what is held. */
function isLacked({ lo, bytes }: PartialSegment, end: number): boolean {
  return lo === end + 1 || (lo <= end && lo + (coveredCount(bytes) ?? 0) - 1 > end);
}

function gap(origin: Incarnation, have: number, lo: number): TidemarkError {
  return new TidemarkError("LOG_GAP", `${origin}: a segment from ${lo} came where ${have + 1} was expected`, {
    data: { origin, expected: have + 1, got: lo },
  });
}

function authority(reason: string): TidemarkError {
  return new TidemarkError("AUTHORITY", `the peer sent what it may not: ${reason}`);
}

function invalid(reason: string): TidemarkError {
  return new TidemarkError("FRAME_INVALID", reason);
}
