/** A part of the log that is covered together: neighbours in position, dense in each origin. */
import type { PlacedSegment } from "./compaction.ts";
import type { Incarnation } from "./event.ts";
import { type Segment } from "./segment.ts";
import type { StoredSegment } from "./store-port.ts";

export interface Run {
  readonly members: readonly PlacedSegment[];
  /** Of each origin, the chain hash before its first member. */
  readonly before: ReadonlyMap<Incarnation, Uint8Array>;
  /** Position of what comes next. */
  readonly next: number;
}

/** A cover has room for more, and none has so many. */
const positionsMax = 2 ** 31;

/** A run that is being put together. What was covered together before stays together. */
export class RunBuilder {
  readonly before: Map<Incarnation, Uint8Array> = new Map();
  readonly #start: number;
  readonly #enoughBytes: number;
  #members: PlacedSegment[] = [];
  /** Of each origin, whether the other side has what is here of it. */
  readonly #delivered = new Map<Incarnation, boolean>();
  #next: number;
  #bytes = 0;
  #spanTo = 0;
  /** Up to where nothing that was covered together is cut. */
  #whole: { readonly count: number; readonly next: number };

  constructor(start: number, enoughBytes: number) {
    this.#start = start;
    this.#enoughBytes = enoughBytes;
    this.#next = start;
    this.#whole = { count: 0, next: start };
  }

  /** Position of what comes next. */
  get next(): number {
    return this.#next;
  }

  get hasSome(): boolean {
    return this.#whole.count > 0;
  }

  get isEnough(): boolean {
    const isLarge = this.#bytes >= this.#enoughBytes || this.#next - this.#start >= positionsMax;
    return this.hasSome && this.#whole.count === this.#members.length && isLarge;
  }

  /** Whether it can be a part of this run: what the other side has is not covered with what it lacks. */
  fits({ position }: StoredSegment, segment: Segment, isDelivered: boolean): boolean {
    const from = this.#members[0]?.position ?? position;
    const isNeighbour = position === this.#next || this.#members.length === 0;
    const isUncut = (segment.cover?.places?.span.from ?? from) >= from;
    return isNeighbour && isUncut && (this.#delivered.get(segment.origin) ?? isDelivered) === isDelivered;
  }

  add({ position, arrived, count }: StoredSegment, segment: Segment, isDelivered: boolean): void {
    this.#members.push({ segment, position, arrived });
    this.#delivered.set(segment.origin, isDelivered);
    this.#bytes += segment.bytes.length;
    this.#spanTo = Math.max(this.#spanTo, segment.cover?.places?.span.to ?? 0);
    this.#next = position + count;
    if (this.#next > this.#spanTo) this.#whole = { count: this.#members.length, next: this.#next };
  }

  /** Begins anew after what can't be covered; half of what was covered together is left as it is. */
  skipTo(next: number): void {
    this.#members = [];
    this.#delivered.clear();
    this.before.clear();
    this.#bytes = 0;
    this.#next = next;
    this.#whole = { count: 0, next };
  }

  get run(): Run {
    return {
      members: this.#members.slice(0, this.#whole.count),
      before: this.before,
      next: this.#whole.next,
    };
  }
}
