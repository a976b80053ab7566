/**
 * Keys of the level store. Numbers are fixed-width hexadecimal, so that the order of keys is the order of numbers.
 *
 *     f!version                format version of the store
 *     s!ARRIVAL                a record: append only, so that bodies are written in the order of the disk
 *     p!LOG!POSITION           index entry of the segment whose first event has that position
 *     o!LOG!ORIGIN!SEQUENCE    index entry of the segment whose first event has that sequence
 *     m!NAME                   a named value
 */
import { assert } from "../errors.ts";
import type { Incarnation, LogId } from "../event.ts";

export const separator = "!";
/** Sorts right after the separator: the end of everything under a prefix. */
const afterSeparator = '"';
const numberDigits = 14;

/** Keys under one prefix, which ends with the separator. */
export interface KeyRange {
  readonly gte: string;
  readonly lt: string;
}

export const versionKey = "f!version";
export const bodyPrefix = "s!";
export const positionsPrefix = "p!";
export const valuesPrefix = "m!";

export function rangeOf(prefix: string): KeyRange {
  return { gte: prefix, lt: prefix.slice(0, -1) + afterSeparator };
}

export function numbered(prefix: string, number: number): string {
  return prefix + number.toString(16).padStart(numberDigits, "0");
}

/** @returns the number that a numbered key ends with; undefined when it does not. */
export function numberOf(prefix: string, key: string): number | undefined {
  const digits = key.slice(prefix.length);
  if (digits.length !== numberDigits || !/^[0-9a-f]+$/.test(digits)) return undefined;
  const number = Number.parseInt(digits, 16);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** Of the index of one log by position. */
export function positionPrefix(log: LogId): string {
  assert(!log.includes(separator), `no log is named with a ${separator}`);
  return `${positionsPrefix}${log}${separator}`;
}

/** Of the index of one origin by sequence. */
export function originPrefix(log: LogId, origin: Incarnation): string {
  assert(!log.includes(separator), `no log is named with a ${separator}`);
  return `o!${log}${separator}${origin}${separator}`;
}

/** The log that a key of the index by position belongs to. */
export function logOf(key: string): LogId {
  return key.slice(positionsPrefix.length, key.lastIndexOf(separator)) as LogId;
}
