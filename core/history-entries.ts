/**
 * The values of the history index, which is born as segments are merged (`docs/log-format.md`).
 *
 *     span!LOG!ORIGIN!SEQ             sequences that are indexed, from SEQ on, of one era of the origin's clock
 *     history!LOG!KEY!ORIGIN!SEQ      the events of an object in one span, from SEQ on, and which ones its state was read
 *                                     from before them
 *     gaps!LOG!ORIGIN                 sequences before the last span that are not indexed: the disk lost them
 *
 * Numbers in names are 14 hexadecimal digits, so that the order of names is the order of numbers.
 */
import { pack, unpack } from "./codec.ts";
import type { Incarnation, LogId } from "./event.ts";
import type { Range } from "./history.ts";
import type { NamedValue } from "./store-port.ts";

const version = 1;
const digits = 14;

export interface Span {
  readonly lo: number;
  readonly hi: number;
  /** Times of the first and of the last event, as they were written. */
  readonly firstTime: number;
  readonly lastTime: number;
}

/** Of one life of an object, the latest event of each slot. */
export interface LifeRefs {
  readonly life: string;
  /** Sequence of the event that ended it; 0 where none did. */
  over: number;
  /** Sequences; 0 where there is none yet. */
  readonly slots: Map<string, number>;
}

export type Lives = LifeRefs[];

/** An event that state is read from; without a slot, one that ended the life. */
export interface Ref {
  readonly seq: number;
  readonly life: string;
  readonly slot: string | undefined;
}

export interface Entry {
  readonly before: Lives;
  /** In order. */
  readonly refs: readonly Ref[];
}

export function addRef(lives: Lives, { seq, life, slot }: Ref): void {
  let refs = lives.find((each) => each.life === life);
  if (refs === undefined) {
    refs = { life, over: 0, slots: new Map() };
    lives.push(refs);
  }
  if (slot === undefined) refs.over = Math.max(refs.over, seq);
  else refs.slots.set(slot, Math.max(refs.slots.get(slot) ?? 0, seq));
}

/** What state is read from once the events up to `seq` were written. */
export function livesAt({ before, refs }: Entry, seq: number): Lives {
  const lives = copyOf(before);
  for (const ref of refs) if (ref.seq <= seq) addRef(lives, ref);
  return lives;
}

export function copyOf(lives: Lives): Lives {
  return lives.map(({ life, over, slots }) => ({ life, over, slots: new Map(slots) }));
}

export function numberedName(prefix: string, number: number): string {
  return prefix + number.toString(16).padStart(digits, "0");
}

export function numberOfName({ name }: NamedValue): number {
  return Number.parseInt(name.slice(-digits), 16);
}

export function spanPrefix(log: LogId, origin: Incarnation): string {
  return `span!${log}!${origin}!`;
}

export function historyPrefix(log: LogId, key: string, origin: Incarnation): string {
  return `${objectPrefix(log, key)}${origin}!`;
}

/** Of one object, whichever origin wrote of it. */
export function objectPrefix(log: LogId, key: string): string {
  // A key is any text: what parts names is not to be in it.
  return `history!${log}!${key.replaceAll(/[%!]/g, encodeURIComponent).replaceAll("!", "%21")}!`;
}

/** Of all objects. */
export function anyHistoryPrefix(log: LogId): string {
  return `history!${log}!`;
}

/** What an entry or a span belongs to: those of one series tell of the same, one after the other. */
export function ownerOf(name: string): {
  series: string;
  /** For an entry: as `objectPrefix`. */
  object: string;
  origin: Incarnation;
  seq: number;
} {
  const series = name.slice(0, -digits);
  const object = series.slice(0, series.lastIndexOf("!", series.length - 2) + 1);
  const origin = series.slice(object.length, -1) as Incarnation;
  return { series, object, origin, seq: Number.parseInt(name.slice(-digits), 16) };
}

export function gapsName(log: LogId, origin: Incarnation): string {
  return `gaps!${log}!${origin}`;
}

/** All that the index of a log is made of has a name that begins with one of these. */
export function historyPrefixes(log: LogId): readonly string[] {
  return [`span!${log}!`, `history!${log}!`, `gaps!${log}!`];
}

export function encodeSpan({ lo, hi, firstTime, lastTime }: Span): Uint8Array {
  return pack([version, hi - lo, firstTime, lastTime - firstTime]);
}

/** @returns undefined for what is no span, or that of a newer version: it is scanned instead */
export function decodeSpan(named: NamedValue | undefined): Span | undefined {
  const [length, firstTime, lasted] = numbersOf(named?.value);
  if (named === undefined || length === undefined || firstTime === undefined || lasted === undefined)
    return undefined;
  const lo = numberOfName(named);
  return { lo, hi: lo + length, firstTime, lastTime: firstTime + lasted };
}

export function encodeGaps(gaps: readonly Range[]): Uint8Array | undefined {
  return gaps.length === 0 ? undefined : pack([version, ...gaps.flatMap(({ from, to }) => [from, to])]);
}

export function decodeGaps(value: Uint8Array | undefined): Range[] {
  const numbers = numbersOf(value);
  const gaps: Range[] = [];
  for (let index = 0; index + 1 < numbers.length; index += 2)
    gaps.push({ from: numbers[index] ?? 0, to: numbers[index + 1] ?? 0 });
  return gaps;
}

/**
 * Rows of lives, each `[life, over, slot, seq, slot, seq, …]`, then the span's own events: how many sequences after the
 * one before, and the number of their slot among all slots of the rows; of one that ended a life, less than 0.
 * Sequences before are told from the first on back; 0: none.
 */
export function encodeEntry({ before, refs }: Entry, first: number): Uint8Array {
  const lives = copyOf(before);
  // Slots that come first in this span have a place in the rows too.
  for (const ref of refs) addRef(lives, { ...ref, seq: 0 });
  const places = new Map<string, number>();
  const back = (seq: number): number => (seq === 0 ? 0 : first - seq);
  const rows = lives.map(({ life, over, slots }, nth) => {
    for (const slot of slots.keys()) places.set(`${nth}!${slot}`, places.size);
    return [life, back(over), ...[...slots].flatMap(([slot, seq]) => [slot, back(seq)])];
  });
  let last = first;
  const own = refs.flatMap(({ seq, life, slot }) => {
    const nth = lives.findIndex((each) => each.life === life);
    const skip = seq - last;
    last = seq;
    return [skip, slot === undefined ? -1 - nth : (places.get(`${nth}!${slot}`) ?? 0)];
  });
  return pack([version, rows, own]);
}

/** @returns undefined for what is no entry */
export function decodeEntry(named: NamedValue | undefined): Entry | undefined {
  if (named === undefined) return undefined;
  const first = numberOfName(named);
  const [found, rows, own] = rowOf(named.value);
  if (found !== version || !Array.isArray(rows) || !Array.isArray(own)) return undefined;
  const places: { readonly life: string; readonly slot: string }[] = [];
  const at = (back: unknown): number => (back === 0 ? 0 : first - Number(back));
  const before = rows.map((row): LifeRefs => {
    const [life, over, ...slots] = row as [string, number, ...(string | number)[]];
    const refs: LifeRefs = { life, over: at(over), slots: new Map() };
    for (let index = 0; index + 1 < slots.length; index += 2) {
      const slot = String(slots[index]);
      places.push({ life, slot });
      refs.slots.set(slot, at(slots[index + 1]));
    }
    return refs;
  });
  const refs: Ref[] = [];
  let seq = first;
  for (let index = 0; index + 1 < own.length; index += 2) {
    seq += Number(own[index]);
    const place = Number(own[index + 1]);
    const { life = before[-1 - place]?.life ?? "", slot } = places[place] ?? {};
    refs.push({ seq, life, slot });
  }
  return { before, refs };
}

function numbersOf(value: Uint8Array | undefined): number[] {
  const [found, ...numbers] = rowOf(value);
  return found === version && numbers.every((number) => typeof number === "number") ? numbers : [];
}

function rowOf(value: Uint8Array | undefined): readonly unknown[] {
  try {
    const row = value === undefined ? [] : unpack(value);
    return Array.isArray(row) ? row : [];
  } catch {
    return [];
  }
}
