/** What was opened and is to be closed again, in reverse order: all of it, whatever becomes of each. */
export class Closers {
  readonly #steps: (() => Promise<unknown>)[] = [];

  add(close: () => Promise<unknown>): void {
    this.#steps.push(close);
  }

  /**
   * Idempotent. What fails to close keeps nothing else open: a log that can't be closed well on a full disk must still
   * let go of its lock, or the process could not open it again.
   * @throws the first error, once all the others are closed
   */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      await step().catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
  }
}
