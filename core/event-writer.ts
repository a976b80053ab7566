import { TidemarkError, messageOf } from "./errors.ts";
import { type Body, type Draft, eventClasses } from "./event.ts";
import { endOfPlain } from "./plain.ts";
import { pack } from "./msgpack.ts";

const classCodes = new Map<string, number>(eventClasses.map((name, code) => [name, code]));
const firstCapacity = 4096;
/** The fixed parts of an envelope: nine headers of five bytes at most, and two numbers. */
const envelopeBytes = 64;
const nil = 0xc0;
const fixedArray = 0x90;
const utf8 = new TextEncoder();

/**
 * Writes events one after the other, straight into the bytes that will be their segment.
 *
 * The envelope and the small bodies that telemetry has are written here, as an event of a hundred bytes costs three
 * times as much by way of an array, a packer and a buffer of its own; every other body goes through msgpackr.
 */
export class EventWriter {
  #bytes: Uint8Array = new Uint8Array(firstCapacity);
  #view: DataView = new DataView(this.#bytes.buffer);
  #at = 0;
  /** Up to here room was made. */
  #promised = 0;

  get length(): number {
    return this.#at;
  }

  /** Bytes that it holds in memory. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /** What was written so far: a view, good until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** Takes back what was written after that length. */
  truncate(length: number): void {
    this.#at = length;
  }

  /** @throws EVENT_TOO_LARGE; EVENT_INVALID for what a reader would refuse: nothing was written */
  write(draft: Draft, seq: number, time: number, maxBytes: number): void {
    const start = this.#at;
    try {
      this.#row(draft, seq, time);
    } catch (error) {
      this.#at = start;
      throw error instanceof TidemarkError ? error : notPlain(error);
    }
    const length = this.#at - start;
    if (length <= maxBytes) return;
    this.#at = start;
    throw new TidemarkError(
      "EVENT_TOO_LARGE",
      `${draft.type} of ${draft.key} is ${length} bytes; the limit is ${maxBytes}`,
    );
  }

  /** `[seq, time, class, type, key, slot, life, body, cause, deletes]`, without the nils at its end. */
  #row(
    { type, class: kind, key, slot, life, body = null, cause, deletes }: Draft,
    seq: number,
    time: number,
  ): void {
    let fields = 5;
    if (slot !== undefined) fields = 6;
    if (life !== undefined) fields = 7;
    if (body !== null) fields = 8;
    if (cause !== undefined) fields = 9;
    if (deletes === true) fields = 10;
    // For all that comes before the body.
    this.#reserve(envelopeBytes + type.length + key.length + textLength(slot) + textLength(life));
    this.#byte(fixedArray | fields);
    this.#number(seq);
    this.#number(time);
    this.#number(classCodes.get(kind) ?? -1);
    this.#text(type);
    this.#text(key);
    if (fields > 5) this.#optional(slot);
    if (fields > 6) this.#optional(life);
    if (fields > 7) this.#body(body);
    if (fields === 8) return;
    this.#reserve(envelopeBytes + textLength(cause));
    if (fields > 8) this.#optional(cause);
    if (fields > 9) this.#byte(0xc3);
  }

  #optional(text: string | undefined): void {
    if (text === undefined) this.#byte(nil);
    else this.#text(text);
  }

  #body(body: Body): void {
    if (!Array.isArray(body) || body.length > 15 || !body.every(isSmall)) {
      this.#packed(body);
      return;
    }
    this.#reserve(1);
    this.#byte(fixedArray | body.length);
    for (const item of body as readonly Small[]) {
      this.#reserve(9 + textLength(item));
      if (typeof item === "string") this.#text(item);
      else if (typeof item === "number") this.#number(item);
      else this.#byte(item === null ? nil : item ? 0xc3 : 0xc2);
    }
  }

  #packed(body: Body): void {
    const bytes = pack(body);
    // Once it is in the log it is too late: the peer would refuse it, and everything after it.
    endOfPlain(bytes, 0);
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Room was made for it. */
  #byte(value: number): void {
    this.#bytes[this.#at] = value;
    this.#at += 1;
  }

  /** Room was made for it: nine bytes. */
  #number(value: number): void {
    const at = this.#at;
    if (Number.isInteger(value) && value >= 0 && value < 0x1_0000_0000 && !Object.is(value, -0)) {
      if (value < 0x80) {
        this.#bytes[at] = value;
        this.#at += 1;
      } else if (value < 0x1_0000) {
        this.#bytes[at] = 0xcd;
        this.#view.setUint16(at + 1, value);
        this.#at += 3;
      } else {
        this.#bytes[at] = 0xce;
        this.#view.setUint32(at + 1, value);
        this.#at += 5;
      }
      return;
    }
    this.#bytes[at] = 0xcb;
    this.#view.setFloat64(at + 1, value);
    this.#at += 9;
  }

  /** Room was made for it, if it is ASCII: five bytes and one for each character. */
  #text(text: string): void {
    const { length } = text;
    const start = this.#at;
    let at = start + this.#textHeader(length);
    const bytes = this.#bytes;
    for (let index = 0; index < length; index += 1) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) {
        this.#unicode(text, start);
        return;
      }
      bytes[at] = code;
      at += 1;
    }
    this.#at = at;
  }

  #unicode(text: string, start: number): void {
    if (/\p{Surrogate}/u.test(text)) throw invalid("it holds half a character");
    const bytes = utf8.encode(text);
    this.#at = start;
    // What was promised to those behind it stays theirs.
    this.#reserve(this.#promised - start + bytes.length - text.length);
    const at = start + this.#textHeader(bytes.length);
    this.#bytes.set(bytes, at);
    this.#at = at + bytes.length;
  }

  /** @returns its length; does not move */
  #textHeader(length: number): number {
    const at = this.#at;
    if (length < 32) {
      this.#bytes[at] = 0xa0 | length;
      return 1;
    }
    if (length < 0x100) {
      this.#bytes[at] = 0xd9;
      this.#bytes[at + 1] = length;
      return 2;
    }
    if (length < 0x1_0000) {
      this.#bytes[at] = 0xda;
      this.#view.setUint16(at + 1, length);
      return 3;
    }
    this.#bytes[at] = 0xdb;
    this.#view.setUint32(at + 1, length);
    return 5;
  }

  /** Makes room for ASCII text of so many bytes, headers included. */
  #reserve(count: number): void {
    const needed = this.#at + count;
    this.#promised = needed;
    if (needed <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

function textLength(value: unknown): number {
  return typeof value === "string" ? value.length : 0;
}

type Small = null | boolean | number | string;

function isSmall(item: unknown): boolean {
  return item === null || typeof item === "string" || typeof item === "number" || typeof item === "boolean";
}

function notPlain(error: unknown): TidemarkError {
  return new TidemarkError("EVENT_INVALID", `not a valid event: ${messageOf(error)}`, { cause: error });
}

function invalid(reason: string): TidemarkError {
  return new TidemarkError("EVENT_INVALID", `not a valid event: ${reason}`);
}
