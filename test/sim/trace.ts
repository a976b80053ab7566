const linesKept = 2000;

/** What happened, as lines, and a hash over all of them: two runs of one seed must have the same. */
export class Trace {
  readonly #print: ((line: string) => void) | undefined;
  #low = 0x811c_9dc5;
  #high = 0x1000_193;
  #lines: string[] = [];

  constructor(print?: (line: string) => void) {
    this.#print = print;
  }

  add(line: string): void {
    this.mix(line);
    this.#print?.(line);
    this.#lines.push(line);
    if (this.#lines.length > 2 * linesKept) this.#lines = this.#lines.slice(-linesKept);
  }

  /** Counts for the hash, and is not kept. */
  mix(text: string): void {
    for (let index = 0; index < text.length; index += 1) {
      const code = text.charCodeAt(index);
      this.#low = Math.imul(this.#low ^ code, 0x0100_0193);
      this.#high = Math.imul(this.#high ^ (code + (this.#low >>> 16)), 0x85eb_ca6b);
    }
  }

  /** 16 hexadecimal digits. */
  get hash(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }

  /** The newest lines. */
  get lines(): readonly string[] {
    return this.#lines.slice(-linesKept);
  }
}
