import type { AckLane, Turn } from "./mqtt-acks.ts";

/** The longest that acknowledgements wait for subscribers, ms: after that answers are dropped instead. */
const patienceMs = 1000;

/**
 * Keeps publishers from running ahead of those who subscribed to the answers: while many answers are under way,
 * acknowledgements wait for them. Not for long, so that a subscriber that has stopped reading stops nobody else.
 */
export class AnswerPace {
  readonly #answersMax: number;
  #held: { readonly lane: AckLane; readonly turn: Turn }[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Subscribers have been too slow for too long. */
  #impatient = false;

  /** @param answersMax answers under way from which acknowledgements wait */
  constructor(answersMax: number) {
    this.#answersMax = answersMax;
  }

  /** The turn's message is durable. @param answers under way */
  settle(lane: AckLane, turn: Turn, answers: number): void {
    if (answers < this.#answersMax || this.#impatient) {
      lane.settle(turn);
      return;
    }
    this.#held.push({ lane, turn });
    this.#timer ??= setTimeout(() => {
      this.#impatient = true;
      this.#release();
    }, patienceMs);
  }

  /** An answer was taken. @param answers still under way */
  published(answers: number): void {
    if (answers >= this.#answersMax) return;
    this.#impatient = false;
    if (this.#held.length > 0) this.#release();
  }

  close(): void {
    this.#impatient = true;
    this.#release();
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const held = this.#held;
    this.#held = [];
    for (const { lane, turn } of held) lane.settle(turn);
  }
}
