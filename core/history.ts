import { TidemarkError } from "./errors.ts";
import type { Incarnation } from "./event.ts";
import { type Mark, Marks } from "./marks.ts";
import { type Segment, bytesEqual, lastOf, zeroHash } from "./segment.ts";

/** Sequences from `from` to `to`, both included. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

type Placed = Pick<Segment, "lo" | "count"> & Partial<Pick<Segment, "cover">>;

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
  /** The end of the last cover: before it, not every end of a commit is known. */
  edge: Mark | undefined;
  /** Where what was replaced, up to the end of the range, may not be kept. In order, apart from one another. */
  thin: readonly Range[] = [];
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

  /** From this sequence on the past is whole, or has gaps; what is before it is forgotten. 0: nothing is. */
  get wholeFrom(): number {
    const [first] = this.thin;
    return first?.from === 1 ? first.to : 0;
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
    const to = lastOf(segment);
    if (to <= this.stagedEnd) return "held";
    const isNext = segment.lo === this.stagedEnd + 1;
    if (this.beyond.some((range) => range.from <= segment.lo && to <= range.to)) {
      return isNext ? "known" : "held";
    }
    return isNext ? "next" : "gap";
  }

  /** @throws SEGMENT_CORRUPT when the next segment is a cover that says another chain hash before it */
  checkEdge({ origin, lo, cover }: Segment): void {
    if (cover === undefined || lo !== this.stagedEnd + 1 || bytesEqual(cover.hashBefore, this.stagedHash))
      return;
    throw new TidemarkError(
      "SEGMENT_CORRUPT",
      `${origin}: what is covered from ${lo} on does not follow what is before it`,
      { data: { origin, from: lo } },
    );
  }

  /** The next segment is on its way to the disk. */
  stage(segment: Pick<Segment, "lo" | "count">, hashAfter: Uint8Array): void {
    this.stagedEnd = lastOf(segment);
    this.stagedHash = hashAfter;
  }

  /** The next segment is durable; it must follow without a gap. Twice the same changes nothing. */
  settle(segment: Placed, hashAfter: Uint8Array): void {
    if (lastOf(segment) <= this.end) return;
    this.end = lastOf(segment);
    this.hash = hashAfter;
    const mark = { seq: this.end, hash: hashAfter };
    this.marks.add(mark);
    if (segment.cover !== undefined) this.noteCover(segment.lo, mark, segment.cover.wholeFrom);
    if (this.stagedEnd < this.end) this.stage(segment, hashAfter);
    if (this.beyond.length === 0) return;
    this.beyond = this.beyond.filter(({ to }) => to > this.end);
    const [first] = this.beyond;
    if (first !== undefined && first.from <= this.end) this.beyond[0] = { from: this.end + 1, to: first.to };
  }

  /** Notes a cover: where it begins and ends, and from where on the past is whole after it. */
  noteCover(from: number, end: Mark, wholeFrom: number): void {
    this.noteEdge(end);
    this.noteThin({ from, to: Math.max(end.seq, wholeFrom) });
  }

  /** Notes the end of a cover. */
  noteEdge(end: Mark): void {
    if (end.seq > (this.edge?.seq ?? 0)) this.edge = end;
  }

  /** Notes that of a range not everything may be kept. */
  noteThin(range: Range): void {
    this.thin = joined([...this.thin, range]);
  }

  /** Notes a stored segment that lies past a hole. */
  extendBeyond(segment: Pick<Segment, "lo" | "count">): void {
    this.beyond = joined([...this.beyond, { from: segment.lo, to: lastOf(segment) }]);
  }

  /** Notes that of what is held past the end nothing up to `to` can be had. */
  lose(to: number): void {
    const left = this.beyond.map((range) => ({ from: Math.max(range.from, to + 1), to: range.to }));
    this.beyond = left.filter(({ from, to }) => from <= to);
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

/** Ranges in order, those that touch as one. */
export function joined(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  for (const range of ranges.toSorted((a, b) => a.from - b.from)) {
    const last = result.at(-1);
    if (last === undefined || last.to + 1 < range.from) result.push(range);
    else result[result.length - 1] = { from: last.from, to: Math.max(last.to, range.to) };
  }
  return result;
}

export type EncodedHistory = readonly [
  Incarnation,
  number,
  Uint8Array,
  readonly [number, Uint8Array][],
  number | null,
  readonly (readonly [number, number])[],
  /** Not written before there were covers. */
  edge?: readonly [number, Uint8Array] | null,
  /** 0 before there were covers. */
  thin?: readonly (readonly [number, number])[] | 0,
];

export function encodeHistory(history: History): EncodedHistory {
  const marks = history.marks.all.map((mark): [number, Uint8Array] => [mark.seq, mark.hash]);
  const { edge } = history;
  const beyond = history.beyond.map(({ from, to }): [number, number] => [from, to]);
  return [
    history.origin,
    history.end,
    history.hash,
    marks,
    history.closedAt ?? null,
    beyond,
    edge ? [edge.seq, edge.hash] : null,
    history.thin.map(({ from, to }): [number, number] => [from, to]),
  ];
}

export function decodeHistory([
  origin,
  end,
  hash,
  marks,
  closedAt,
  beyond,
  edge = null,
  thin = 0,
]: EncodedHistory): History {
  const history = new History(origin);
  history.end = end;
  history.hash = Uint8Array.from(hash);
  history.stagedEnd = end;
  history.stagedHash = history.hash;
  history.marks = new Marks(marks.map(([seq, mark]): Mark => ({ seq, hash: Uint8Array.from(mark) })));
  history.closedAt = closedAt ?? undefined;
  history.beyond = beyond.map(([from, to]) => ({ from, to }));
  history.thin = thin === 0 ? [] : thin.map(([from, to]) => ({ from, to }));
  if (edge !== null) history.edge = { seq: edge[0], hash: Uint8Array.from(edge[1]) };
  return history;
}
