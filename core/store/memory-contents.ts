/** What a disk in memory holds. Entries are never changed, only replaced, so that a copy shares them. */
import type { Incarnation, LogId } from "../event.ts";
import type { StoreBatch } from "../store-port.ts";

/** One segment: what its index entry says, and its record; undefined when that is lost. */
export interface Entry {
  readonly log: LogId;
  readonly origin: Incarnation;
  readonly lo: number;
  readonly count: number;
  readonly position: number;
  /** Of the segment. */
  readonly sizeBytes: number;
  readonly record: Uint8Array | undefined;
}

/** One log, both ways in order. Where two entries have one sequence, `byOrigin` has the later one. */
interface Shelf {
  readonly byPosition: Entry[];
  readonly byOrigin: Map<Incarnation, Entry[]>;
}

export interface Contents {
  readonly shelves: Map<LogId, Shelf>;
  readonly values: Map<string, Uint8Array>;
}

/** A batch on its way to the disk. */
export interface Write {
  readonly entries: readonly Entry[];
  readonly values: readonly (readonly [name: string, value: Uint8Array | undefined])[];
  readonly remove: NonNullable<StoreBatch["remove"]>;
}

type Order = "position" | "lo";

export function emptyContents(): Contents {
  return { shelves: new Map(), values: new Map() };
}

export function copyOf({ shelves, values }: Contents): Contents {
  const copy: Contents = { shelves: new Map(), values: new Map(values) };
  for (const [log, { byPosition, byOrigin }] of shelves) {
    const shelf: Shelf = { byPosition: [...byPosition], byOrigin: new Map() };
    for (const [origin, list] of byOrigin) shelf.byOrigin.set(origin, [...list]);
    copy.shelves.set(log, shelf);
  }
  return copy;
}

export function applyWrite(contents: Contents, { entries, values, remove }: Write): void {
  for (const { log, position } of remove) {
    const [entry] = entriesFrom(contents, log, undefined, position);
    if (entry?.position === position) replaceEntry(contents, entry, undefined);
  }
  for (const entry of entries) place(contents, entry);
  for (const [name, value] of values) {
    if (value === undefined) contents.values.delete(name);
    else contents.values.set(name, value);
  }
}

function place({ shelves }: Contents, entry: Entry): void {
  const { log, origin } = entry;
  const shelf = shelves.get(log) ?? { byPosition: [], byOrigin: new Map<Incarnation, Entry[]>() };
  shelves.set(log, shelf);
  const ofOrigin = shelf.byOrigin.get(origin) ?? [];
  shelf.byOrigin.set(origin, ofOrigin);
  insert(shelf.byPosition, entry, "position");
  insert(ofOrigin, entry, "lo");
}

function insert(list: Entry[], entry: Entry, order: Order): void {
  const at = floorIndex(list, entry[order], order);
  const isSame = list[at]?.[order] === entry[order];
  list.splice(isSame ? at : at + 1, isSame ? 1 : 0, entry);
}

/** Puts another entry in the place of one that is there; undefined takes it out. */
export function replaceEntry({ shelves }: Contents, old: Entry, next: Entry | undefined): void {
  const shelf = shelves.get(old.log);
  if (shelf === undefined) return;
  for (const list of [shelf.byPosition, shelf.byOrigin.get(old.origin) ?? []]) {
    const at = list.indexOf(old);
    if (at >= 0) list.splice(at, 1, ...(next === undefined ? [] : [next]));
  }
  if (shelf.byPosition.length === 0) shelves.delete(old.log);
}

/** From the entry that holds `number` or, where none does, the next one: by position, or by an origin's sequence. */
export function* entriesFrom(
  contents: Contents,
  log: LogId,
  origin: Incarnation | undefined,
  number: number,
): Generator<Entry> {
  const order = origin === undefined ? "position" : "lo";
  const shelf = contents.shelves.get(log);
  const list = origin === undefined ? shelf?.byPosition : shelf?.byOrigin.get(origin);
  if (list === undefined) return;
  let at = Math.max(floorIndex(list, number, order), 0);
  const first = list[at];
  if (first !== undefined && first[order] + first.count <= number) at += 1;
  for (; at < list.length; at += 1) yield list[at] as Entry;
}

export function lastEntry({ shelves }: Contents, log: LogId): Entry | undefined {
  return shelves.get(log)?.byPosition.at(-1);
}

/** Index of the last entry at or before `number`; -1 when all come after it. */
function floorIndex(list: readonly Entry[], number: number, order: Order): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle] as Entry)[order] <= number) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
