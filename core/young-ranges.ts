/** Where in a log nothing is old enough to be forgotten, and until when: there is nothing to look for there before. */

interface YoungRange {
  /** Positions. */
  readonly from: number;
  readonly to: number;
  /** Wall clock, ms, of when the first of it comes to its age. */
  readonly dueMs: number;
}

/** What comes to its age so near is one range: so there are few. */
const nearMs = 3_600_000;
/** To pass over less would cut what is covered together into pieces. */
const leastDefault = 4096;

export class YoungRanges {
  /** In order, apart from one another. */
  #ranges: YoungRange[] = [];
  readonly #least: number;

  /** @param least positions of a range that is worth it to be passed over */
  constructor(least: number = leastDefault) {
    this.#least = least;
  }

  /** The end of the range that holds a position; undefined where something may have come to its age, or it is short. */
  endAt(position: number, nowMs: number): number | undefined {
    const range = this.#ranges[this.#firstFrom(position)];
    if (range === undefined || range.from > position || range.dueMs <= nowMs) return undefined;
    return range.to - range.from + 1 < this.#least ? undefined : range.to;
  }

  /** Notes what was found of some positions; in the place of what was known of them. */
  note(range: YoungRange): void {
    this.drop(range.from, range.to);
    const at = this.#firstFrom(range.from);
    const before = this.#ranges[at - 1];
    const isNear = before?.to === range.from - 1 && Math.abs(before.dueMs - range.dueMs) < nearMs;
    if (before === undefined || !isNear) {
      this.#ranges.splice(at, 0, range);
      return;
    }
    const dueMs = Math.min(before.dueMs, range.dueMs);
    this.#ranges[at - 1] = { from: before.from, to: range.to, dueMs };
  }

  /** Something there is old already. */
  drop(from: number, to: number): void {
    const at = this.#firstFrom(from);
    let count = 0;
    while ((this.#ranges[at + count]?.from ?? Infinity) <= to) count += 1;
    const left = this.#ranges.slice(at, at + count).flatMap((range) => {
      const parts = [
        { ...range, to: Math.min(range.to, from - 1) },
        { ...range, from: Math.max(range.from, to + 1) },
      ];
      return parts.filter((part) => part.from <= part.to);
    });
    this.#ranges.splice(at, count, ...left);
  }

  clear(): void {
    this.#ranges = [];
  }

  /** Index of the first range that ends at a position or after it. */
  #firstFrom(position: number): number {
    let [low, high] = [0, this.#ranges.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle]?.to ?? Infinity) < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
