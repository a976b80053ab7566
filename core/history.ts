import { TidemarkError } from "./errors.ts";
import type { Incarnation } from "./event.ts";
import { type Mark, Marks } from "./marks.ts";
import { type Segment, zeroHash } from "./segment.ts";

/** Sequences from `from` to `to`, both included. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/**
 * What one replica holds of one origin: everything from 1 to `end` without a gap, and perhaps, where the disk lost
 * something, more beyond a hole.
 */
export class History {
  readonly origin: Incarnation;
  /** The latest durable sequence without a gap before it. */
  end = 0;
  /** Chain hash after `end`. */
  hash: Uint8Array = zeroHash;
  /** As `end` and `hash`, with what is on its way to the disk. */
  stagedEnd = 0;
  stagedHash: Uint8Array = zeroHash;
  marks: Marks = new Marks();
  /** What is held past a hole, in order. */
  beyond: Range[] = [];
  /** Nothing of this origin after this sequence is accepted: the incarnation was closed there. */
  closedAt: number | undefined;

  constructor(origin: Incarnation) {
    this.origin = origin;
  }

  /** The highest sequence held, holes or not. */
  get top(): number {
    return Math.max(this.end, this.beyond.at(-1)?.to ?? 0);
  }

  /** The first missing range, when there is one. */
  get hole(): Range | undefined {
    const next = this.beyond[0];
    return next === undefined || next.from <= this.end + 1
      ? undefined
      : { from: this.end + 1, to: next.from - 1 };
  }

  /** The end of the last missing range, when there is one. */
  get missingTo(): number | undefined {
    const last = this.beyond.at(-1);
    return this.hole === undefined || last === undefined ? undefined : last.from - 1;
  }

  /**
   * Where a segment stands: it follows next; it is here already; it is here already, past a hole, and its chain hash
   * follows next; or something before it is missing.
   */
  place(segment: Pick<Segment, "lo" | "count">): "next" | "held" | "known" | "gap" {
    const to = segment.lo + segment.count - 1;
    if (to <= this.stagedEnd) return "held";
    const isNext = segment.lo === this.stagedEnd + 1;
    if (this.beyond.some((range) => range.from <= segment.lo && to <= range.to)) {
      return isNext ? "known" : "held";
    }
    return isNext ? "next" : "gap";
  }

  /** The next segment is on its way to the disk. */
  stage(segment: Pick<Segment, "lo" | "count">, hashAfter: Uint8Array): void {
    this.stagedEnd = segment.lo + segment.count - 1;
    this.stagedHash = hashAfter;
  }

  /** The next segment is durable; it must follow without a gap. Twice the same changes nothing. */
  settle(segment: Pick<Segment, "lo" | "count">, hashAfter: Uint8Array): void {
    if (segment.lo + segment.count - 1 <= this.end) return;
    this.end = segment.lo + segment.count - 1;
    this.hash = hashAfter;
    this.marks.add({ seq: this.end, hash: hashAfter });
    if (this.stagedEnd < this.end) this.stage(segment, hashAfter);
    this.beyond = this.beyond.filter(({ to }) => to > this.end);
    const [first] = this.beyond;
    if (first !== undefined && first.from <= this.end) this.beyond[0] = { from: this.end + 1, to: first.to };
  }

  /** Notes a stored segment that lies past a hole. */
  extendBeyond(segment: Pick<Segment, "lo" | "count">): void {
    const ranges = [...this.beyond, { from: segment.lo, to: segment.lo + segment.count - 1 }];
    const merged: Range[] = [];
    for (const range of ranges.sort((a, b) => a.from - b.from)) {
      const last = merged.at(-1);
      if (last === undefined || last.to + 1 < range.from) merged.push(range);
      else merged[merged.length - 1] = { from: last.from, to: Math.max(last.to, range.to) };
    }
    this.beyond = merged;
  }

  /** The error for a segment that does not follow. */
  gap(segment: Pick<Segment, "lo">): TidemarkError {
    const { origin, stagedEnd: end } = this;
    return new TidemarkError(
      "LOG_GAP",
      `${origin}: sequence ${segment.lo} came where ${end + 1} was expected`,
      { data: { origin, expected: end + 1, got: segment.lo } },
    );
  }
}

export type EncodedHistory = readonly [
  Incarnation,
  number,
  Uint8Array,
  readonly [number, Uint8Array][],
  number | null,
  readonly (readonly [number, number])[],
];

export function encodeHistory(history: History): EncodedHistory {
  const marks = history.marks.all.map((mark): [number, Uint8Array] => [mark.seq, mark.hash]);
  const beyond = history.beyond.map(({ from, to }): [number, number] => [from, to]);
  return [history.origin, history.end, history.hash, marks, history.closedAt ?? null, beyond];
}

export function decodeHistory([origin, end, hash, marks, closedAt, beyond]: EncodedHistory): History {
  const history = new History(origin);
  history.end = end;
  history.hash = Uint8Array.from(hash);
  history.stagedEnd = end;
  history.stagedHash = history.hash;
  history.marks = new Marks(marks.map(([seq, mark]): Mark => ({ seq, hash: Uint8Array.from(mark) })));
  history.closedAt = closedAt ?? undefined;
  history.beyond = beyond.map(([from, to]) => ({ from, to }));
  return history;
}
