/** Numbers of as many bytes as they need, seven bits each, the lowest first. */

export class NumberWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;

  /** A view, good until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #byte(value: number): void {
    if (this.#length === this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#length] = value;
    this.#length += 1;
  }

  /** @param value a safe integer, not negative */
  natural(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#byte((rest % 0x80) + 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#byte(rest);
  }

  /** @param value any safe integer: the lowest bit of the first byte is its sign */
  integer(value: number): void {
    const size = Math.abs(value);
    const first = (size % 0x40) * 2 + (value < 0 ? 1 : 0);
    const rest = Math.floor(size / 0x40);
    this.#byte(rest > 0 ? first + 0x80 : first);
    if (rest > 0) this.natural(rest);
  }

  double(value: number): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value);
    for (const byte of bytes) this.#byte(byte);
  }
}

export class NumberReader {
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** @throws RangeError past the end */
  #byte(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined) throw new RangeError("read past the end");
    this.at += 1;
    return byte;
  }

  natural(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  integer(): number {
    const first = this.#byte();
    const low = (first & 0x7f) >> 1;
    const size = first < 0x80 ? low : low + this.natural() * 0x40;
    return (first & 1) === 1 ? -size : size;
  }

  naturals(count: number): Float64Array {
    const values = new Float64Array(count);
    for (let nth = 0; nth < count; nth += 1) values[nth] = this.natural();
    return values;
  }

  integers(count: number): Float64Array {
    const values = new Float64Array(count);
    for (let nth = 0; nth < count; nth += 1) values[nth] = this.integer();
    return values;
  }

  double(): number {
    const bytes = Uint8Array.from({ length: 8 }, () => this.#byte());
    return new DataView(bytes.buffer).getFloat64(0);
  }
}
