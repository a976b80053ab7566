/**
 * The values of the history index, which is born as segments are merged (`docs/log-format.md`).
 *
 *     span!LOG!ORIGIN!SEQ             sequences that are indexed, from SEQ on, of one era of the origin's clock
 *     history!LOG!KEY!ORIGIN!SEQ      which events of that origin an object's state was read from, once SEQ was written
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
  /** Sequences. */
  readonly slots: Map<string, number>;
}

export type Lives = LifeRefs[];

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
  // A key is any text: what parts names is not to be in it.
  return `history!${log}!${key.replaceAll(/[%!]/g, encodeURIComponent).replaceAll("!", "%21")}!${origin}!`;
}

export function gapsName(log: LogId, origin: Incarnation): string {
  return `gaps!${log}!${origin}`;
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

/** @param seq in the entry's name: what it holds is told from there back */
export function encodeLives(lives: Lives, seq: number): Uint8Array {
  return pack([
    version,
    ...lives.map(({ life, over, slots }) => [
      life,
      over === 0 ? 0 : seq - over + 1,
      ...[...slots].flatMap(([slot, at]) => [slot, seq - at]),
    ]),
  ]);
}

/** @returns undefined for what is no entry */
export function decodeLives(named: NamedValue | undefined): Lives | undefined {
  if (named === undefined) return undefined;
  const seq = numberOfName(named);
  const [found, ...rows] = rowOf(named.value);
  if (found !== version) return undefined;
  const lives: Lives = [];
  for (const row of rows) {
    if (!Array.isArray(row)) return undefined;
    const [life, over, ...slots] = row as [string, number, ...(string | number)[]];
    const refs = { life, over: over === 0 ? 0 : seq - over + 1, slots: new Map<string, number>() };
    for (let index = 0; index + 1 < slots.length; index += 2)
      refs.slots.set(String(slots[index]), seq - Number(slots[index + 1]));
    lives.push(refs);
  }
  return lives;
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
