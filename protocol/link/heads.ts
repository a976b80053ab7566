/** What the two sides tell each other of the histories they hold (`comparison.ts` says what follows from it). */
import type { Incarnation } from "../../core/event.ts";
import type { Mark } from "../../core/marks.ts";

/** What a replica says it holds of one incarnation. */
export interface Holding {
  readonly origin: Incarnation;
  /** The latest sequence without a gap before it; 0 when it holds nothing. */
  readonly end: number;
  /** Chain hash after `end`: 32 bytes. */
  readonly hash: Uint8Array;
  /** Some earlier commit boundaries, in order of sequence. */
  readonly marks: readonly Mark[];
  /** The incarnation was closed at this sequence, and nothing after it is accepted. */
  readonly closedAt: number | undefined;
  readonly generation: number | undefined;
  /** The disk lost some of what lies after `end`, up to this sequence; what comes after that is held. The peer may give it back. */
  readonly missingTo?: number | undefined;
}

export type Claim = Pick<Holding, "end" | "hash" | "marks" | "closedAt">;

/** The commit boundaries at which my own chain hashes are needed, ascending. */
export function positionsToCheck(claim: Claim, myEnd: number): number[] {
  const positions = new Set([...claim.marks.map(({ seq }) => seq), claim.end]);
  return [...positions].filter((seq) => seq > 0 && seq <= myEnd).sort((a, b) => a - b);
}

/**
 * The marks to name in a hello: the newest ones, then about one for each power of two back from `end`.
 * @param marks in order of sequence
 */
export function spacedMarks(marks: readonly Mark[], end: number, max: number): Mark[] {
  const chosen: Mark[] = [];
  const dense = max >> 2;
  let lastPower = -1;
  for (let index = marks.length - 1; index >= 0 && chosen.length < max; index -= 1) {
    const mark = marks[index] as Mark;
    if (mark.seq < 1 || mark.seq >= end) continue;
    const power = Math.floor(Math.log2(end - mark.seq));
    if (power !== lastPower || chosen.length < dense) chosen.push(mark);
    lastPower = power;
  }
  return chosen.reverse();
}
