/** A commit boundary of one origin: the chain hash after the event with that sequence. */
export interface Mark {
  readonly seq: number;
  readonly hash: Uint8Array;
}

const marksMax = 64;

/**
 * Some commit boundaries of one origin, in order, dense near the head and about one for each power of two back: what
 * two replicas compare to find where their histories part. At most 64 of them.
 */
export class Marks {
  #marks: Mark[];

  constructor(marks: readonly Mark[] = []) {
    this.#marks = [...marks];
  }

  get all(): readonly Mark[] {
    return this.#marks;
  }

  add(mark: Mark): void {
    this.#marks.push(mark);
    if (this.#marks.length > marksMax) this.#marks = thinned(this.#marks, mark.seq);
  }

  /** The last mark at or before `seq`. */
  before(seq: number): Mark | undefined {
    return this.#marks.findLast((mark) => mark.seq <= seq);
  }

  /** Drops what lies after `seq`. */
  cut(seq: number): void {
    this.#marks = this.#marks.filter((mark) => mark.seq <= seq);
  }
}

/** Keeps the oldest mark of each power-of-two distance from the head, and the newest eight. */
function thinned(marks: readonly Mark[], head: number): Mark[] {
  const kept: Mark[] = [];
  let lastBucket = -1;
  marks.forEach((mark, index) => {
    const bucket = 31 - Math.clz32(Math.min(head - mark.seq + 1, 0x7fff_ffff));
    if (bucket !== lastBucket || index >= marks.length - 8) kept.push(mark);
    lastBucket = bucket;
  });
  return kept;
}
