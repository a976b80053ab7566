import type { Block } from "./block.ts";

/** Of the segments in them; what they take in memory is less. */
const bytesMax = 4 * 1024 * 1024;

/** The blocks read last, by arrival: a number that is given once while a store is open. */
export class BlockCache {
  readonly #blocks = new Map<number, { readonly block: Block; readonly bytes: number }>();
  #bytes = 0;

  get(arrival: number): Block | undefined {
    const found = this.#blocks.get(arrival);
    if (found === undefined) return undefined;
    this.#blocks.delete(arrival);
    this.#blocks.set(arrival, found);
    return found.block;
  }

  add(arrival: number, block: Block, bytes: number): void {
    this.#blocks.set(arrival, { block, bytes });
    this.#bytes += bytes;
    for (const [oldest, { bytes: less }] of this.#blocks) {
      if (this.#bytes <= bytesMax || this.#blocks.size === 1) return;
      this.#blocks.delete(oldest);
      this.#bytes -= less;
    }
  }

  clear(): void {
    this.#blocks.clear();
    this.#bytes = 0;
  }
}
