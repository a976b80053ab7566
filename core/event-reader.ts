import { TidemarkError, messageOf } from "./errors.ts";
import {
  type Body,
  type Event,
  type EventId,
  type Incarnation,
  type Seen,
  eventClasses,
  parseEventId,
} from "./event.ts";
import { unpackr } from "./msgpack.ts";
import { endOfPlain } from "./plain.ts";

export interface EventContext {
  readonly origin: Incarnation;
  /** Sequence that the first event must have. */
  readonly lo: number;
  readonly count: number;
  readonly seen: readonly Seen[];
  /** Position of the first event in this replica. */
  readonly position: number;
}

/** Of the events that a cover keeps, each has its own. */
export interface KeptContext {
  readonly origin: Incarnation;
  /** The range in which sequences rise. */
  readonly lo: number;
  readonly to: number;
  readonly count: number;
  readonly seen: (index: number) => readonly Seen[];
  readonly position: (index: number, seq: number) => number;
}

/** An event, and its own bytes. */
export interface ReadEvent {
  readonly event: Event;
  /** A view. */
  readonly bytes: Uint8Array;
}

const nil = 0xc0;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Text that comes again and again (types, keys, slots, lives) is made once: a power of two, by hash. */
const interned: (string | undefined)[] = Array.from({ length: 8192 });
const internedLengthMax = 96;

/** Where short text is put together. */
const codes: number[] = [];

/** Lives and causes that parsed: almost every event names one of a few. */
const parsedIds = new Set<string>();
const parsedIdsMax = 8192;

/**
 * Reads the events of one segment, and checks them as it goes: shapes, dense sequences, plain data only.
 *
 * Made by hand, as the writer is: three times as fast as by way of an array of everything, and no string is a slice of
 * a larger one that it would keep in memory as long as a register holds it.
 */
export class EventReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** @throws EVENT_INVALID */
  readAll({ count, lo, position, origin, seen }: EventContext): Event[] {
    const events: Event[] = [];
    this.#each(count, (index) => {
      events.push(this.#event(origin, seen, lo + index, position + index));
    });
    return events;
  }

  /** Events whose sequences rise, and need not be dense. @throws EVENT_INVALID */
  readKept({ count, lo, to, position, origin, seen }: KeptContext): ReadEvent[] {
    const kept: ReadEvent[] = [];
    let before = lo - 1;
    this.#each(count, (index) => {
      const start = this.#at;
      const seq = this.#peekSeq();
      if (!(seq > before && seq <= to)) throw invalid(`sequence ${seq} between ${before} and ${to}`);
      before = seq;
      const event = this.#event(origin, seen(index), seq, position(index, seq));
      kept.push({ event, bytes: this.#bytes.subarray(start, this.#at) });
    });
    return kept;
  }

  #each(count: number, read: (index: number) => void): void {
    try {
      for (let index = 0; index < count; index += 1) {
        if (this.#at === this.#bytes.length)
          throw invalid(`${index} events where the segment declares ${count}`);
        read(index);
      }
    } catch (error) {
      // A view that is read past its end.
      if (!(error instanceof RangeError)) throw error;
      throw invalid("it ends before it is whole", error);
    }
    if (this.#at < this.#bytes.length)
      throw invalid(`more than the ${count} events that the segment declares`);
  }

  #peekSeq(): number {
    const start = this.#at;
    this.#arrayLength();
    const seq = this.#number("sequence");
    this.#at = start;
    return seq;
  }

  #event(origin: Incarnation, seen: readonly Seen[], seq: number, position: number): Event {
    const fields = this.#arrayLength();
    if (fields < 5) throw invalid("an event is not an array of at least five");
    const rowSeq = this.#number("sequence");
    if (rowSeq !== seq) throw invalid(`sequence ${rowSeq} where ${seq} was expected`);
    const time = this.#number("time");
    if (!Number.isFinite(time)) throw invalid("time is not a number");
    const classCode = this.#number("class");
    const name = eventClasses[classCode];
    if (name === undefined) throw invalid(`class ${classCode} is not known`);
    const type = this.#text("type");
    const key = this.#text("key");
    const slot = fields > 5 ? this.#optionalText("slot") : undefined;
    const life = fields > 6 ? this.#optionalId("life") : undefined;
    const body = fields > 7 ? this.#body() : null;
    const cause = fields > 8 ? this.#optionalId("cause") : undefined;
    const deletes = fields > 9 && this.#value() === true ? true : undefined;
    // A newer writer's fields.
    for (let field = 10; field < fields; field += 1) this.#at = endOfPlain(this.#bytes, this.#at);
    return { type, class: name, key, slot, life, body, cause, deletes, origin, seq, time, seen, position };
  }

  #arrayLength(): number {
    const token = this.#view.getUint8(this.#at);
    if (token >= 0x90 && token < 0xa0) {
      this.#at += 1;
      return token & 0x0f;
    }
    if (token !== 0xdc) throw invalid("an event is not an array of at least five");
    this.#at += 3;
    return this.#view.getUint16(this.#at - 2);
  }

  #number(field: string): number {
    const at = this.#at;
    const token = this.#view.getUint8(at);
    if (token < 0x80) {
      this.#at = at + 1;
      return token;
    }
    switch (token) {
      case 0xcc:
        this.#at = at + 2;
        return this.#view.getUint8(at + 1);
      case 0xcd:
        this.#at = at + 3;
        return this.#view.getUint16(at + 1);
      case 0xce:
        this.#at = at + 5;
        return this.#view.getUint32(at + 1);
      case 0xcb:
        this.#at = at + 9;
        return this.#view.getFloat64(at + 1);
      default: {
        const value = this.#value();
        if (typeof value !== "number") throw invalid(`${field} is not a number`);
        return value;
      }
    }
  }

  #optionalText(field: string): string | undefined {
    if (this.#bytes[this.#at] !== nil) return this.#text(field);
    this.#at += 1;
    return undefined;
  }

  #optionalId(field: string): EventId | undefined {
    const text = this.#optionalText(field);
    if (text === undefined || parsedIds.has(text)) return text as EventId | undefined;
    if (parseEventId(text) === undefined) throw invalid(`${field} is not an event id`);
    if (parsedIds.size === parsedIdsMax) parsedIds.clear();
    parsedIds.add(text);
    return text as EventId;
  }

  #text(field: string): string {
    const token = this.#view.getUint8(this.#at);
    if (token >= 0xa0 && token < 0xc0) return this.#textAt(this.#at + 1, token & 0x1f);
    if (token === 0xd9) return this.#textAt(this.#at + 2, this.#view.getUint8(this.#at + 1));
    if (token === 0xda) return this.#textAt(this.#at + 3, this.#view.getUint16(this.#at + 1));
    if (token === 0xdb) return this.#textAt(this.#at + 5, this.#view.getUint32(this.#at + 1));
    throw invalid(`${field} is not text`);
  }

  #textAt(from: number, length: number): string {
    const end = from + length;
    if (end > this.#bytes.length) throw invalid("it ends before it is whole");
    this.#at = end;
    if (length > internedLengthMax || length < 4) return this.#newText(from, end);
    // What tells one from another is at the end: a number, a property's name.
    const bytes = this.#bytes;
    const last =
      (bytes[end - 1] as number) + ((bytes[end - 2] as number) << 5) + ((bytes[end - 4] as number) << 8);
    const slot = (last + length * 37) & (interned.length - 1);
    const known = interned[slot];
    if (known?.length === length) {
      let at = from;
      while (at < end && known.charCodeAt(at - from) === bytes[at]) at += 1;
      if (at === end) return known;
    }
    const text = this.#newText(from, end);
    if (text.length === length) interned[slot] = text;
    return text;
  }

  #newText(from: number, end: number): string {
    if (end - from > internedLengthMax) return decoded(this.#bytes.subarray(from, end));
    codes.length = end - from;
    for (let at = from; at < end; at += 1) {
      const byte = this.#bytes[at] as number;
      if (byte > 0x7f) return decoded(this.#bytes.subarray(from, end));
      codes[at - from] = byte;
    }
    return String.fromCharCode.apply(undefined, codes);
  }

  /** The small bodies that telemetry has, item by item; every other one through msgpackr. */
  #body(): Body {
    const token = this.#view.getUint8(this.#at);
    if (token < 0x90 || token >= 0xa0) return this.#value() as Body;
    const start = this.#at;
    const items: Body[] = [];
    this.#at += 1;
    for (let left = token & 0x0f; left > 0; left -= 1) {
      const first = this.#view.getUint8(this.#at);
      const isText = (first >= 0xa0 && first < 0xc0) || first === 0xd9;
      const isNumber = first < 0x80 || (first >= 0xcb && first <= 0xce);
      if (isText) items.push(this.#text("text"));
      else if (isNumber) items.push(this.#number("a number"));
      else if (first === nil) {
        this.#at += 1;
        items.push(null);
      } else {
        this.#at = start;
        return this.#value() as Body;
      }
    }
    return items;
  }

  /** Any plain value. Its bytes are copied, so that what is made of them keeps nothing else in memory. */
  #value(): unknown {
    const start = this.#at;
    this.#at = endOfPlain(this.#bytes, start);
    try {
      return unpackr.unpack(this.#bytes.slice(start, this.#at));
    } catch (error) {
      throw invalid(messageOf(error), error);
    }
  }
}

function decoded(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw invalid("it holds text that is not well-formed UTF-8", error);
  }
}

function invalid(reason: string, cause?: unknown): TidemarkError {
  return new TidemarkError("EVENT_INVALID", `not a valid event: ${reason}`, { cause });
}
