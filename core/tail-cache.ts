import type { Segment } from "./segment.ts";

const tailBytesMax = 2 * 1024 * 1024;

/** This side's newest durable segments, so that a link that keeps up never reads the disk. */
export class TailCache {
  #segments: Segment[] = [];
  #bytes = 0;

  /** What does not follow begins a new tail; what fills a hole further back is no part of it. */
  add(segment: Segment): void {
    const last = this.#segments.at(-1);
    if (last !== undefined && segment.lo < last.lo) return;
    if (last !== undefined && segment.lo !== last.lo + last.count) this.clear();
    this.#segments.push(segment);
    this.#bytes += segment.bytes.length;
    if (this.#bytes > tailBytesMax) this.#shed();
  }

  /** Drops the older half at once: shifting one by one would cost more than it saves. */
  #shed(): void {
    let drop = 0;
    while (this.#bytes > tailBytesMax / 2) {
      this.#bytes -= this.#segments[drop]?.bytes.length ?? 0;
      drop += 1;
    }
    this.#segments.splice(0, drop);
  }

  /** Segments from the one that holds `seq`; undefined when it is not in the cache. */
  from(seq: number, maxBytes: number): Segment[] | undefined {
    const first = this.#segments[0];
    if (first === undefined || first.lo > seq) return undefined;
    let low = 0;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#segments[middle]?.lo ?? 0) <= seq) low = middle;
      else high = middle - 1;
    }
    const found: Segment[] = [];
    let bytes = 0;
    for (let index = low; index < this.#segments.length && bytes < maxBytes; index += 1) {
      const segment = this.#segments[index] as Segment;
      if (segment.lo + segment.count <= seq) continue;
      found.push(segment);
      bytes += segment.bytes.length;
    }
    // After a restart, what filled a hole may be all there is: what lies past it was not added.
    return found.length === 0 ? undefined : found;
  }

  clear(): void {
    this.#segments = [];
    this.#bytes = 0;
  }
}
