/** What a disk in memory holds. Entries are never changed, only replaced, so that a copy shares them. */
import type { Incarnation, LogId } from "../event.ts";
import type { Digest } from "../ports.ts";
import type { StoreBatch, StoredSegment } from "../store-port.ts";
import { decodeBlockRecord, packBlockSync } from "./block-record.ts";
import { seal } from "./record.ts";
import { type Cut, type Run, isCut, neighboursOf, originRunsOf, runsLeft, runsOf } from "./runs.ts";

/** One segment or one block: what its index entry says, and its record; undefined when that is lost. */
export interface Entry {
  readonly log: LogId;
  /** Of a segment there is one. */
  readonly runs: readonly Run[];
  readonly isBlock: boolean;
  readonly count: number;
  readonly position: number;
  /** Of the segment; of all members of a block. */
  readonly sizeBytes: number;
  readonly record: Uint8Array | undefined;
}

/** An entry in one of two orders: by position, or by an origin's sequence. */
interface Place {
  readonly at: number;
  readonly count: number;
  readonly entry: Entry;
}

/** One log, both ways in order. Where two entries have one sequence, `byOrigin` has the later one. */
interface Shelf {
  readonly byPosition: Place[];
  readonly byOrigin: Map<Incarnation, Place[]>;
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
  readonly digest: Digest;
  /** Everything of this log, and the values named after it, before the rest. */
  readonly erase?: LogId;
}

/** A simulation merges much, and little at a time. */
export const memoryBlockQuality = 1;

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

export function applyWrite(contents: Contents, { entries, values, remove, erase, digest }: Write): void {
  if (erase !== undefined) eraseLog(contents, erase);
  for (const { log, position } of remove) cut(contents, log, { from: position, to: undefined }, digest);
  for (const entry of entries) {
    const { log, position, count, isBlock } = entry;
    if (isBlock) cut(contents, log, { from: position, to: position + count - 1 }, digest);
    place(contents, entry);
  }
  for (const [name, value] of values) {
    if (value === undefined) contents.values.delete(name);
    else contents.values.set(name, value);
  }
}

function cut(contents: Contents, log: LogId, range: Cut, digest: Digest): void {
  // All of them first: what is put in their place changes the order under way.
  const places = [...placesFrom(contents, log, undefined, range.from)];
  for (const { entry } of places) {
    if (entry.position > (range.to ?? range.from)) return;
    const left = entry.isBlock ? leftOf(entry, range, digest) : isCut(entry, [range]) ? [] : [entry];
    if (left.length === 1 && left[0] === entry) continue;
    replaceEntry(contents, entry, undefined);
    for (const next of left) place(contents, next);
  }
}

function leftOf(entry: Entry, range: Cut, digest: Digest): Entry[] {
  const { log, runs, record } = entry;
  const block = record && decodeBlockRecord(recordKey(entry), record, digest);
  if (block === undefined) {
    // What is damaged stays so, and is named for as long as it is there.
    return neighboursOf(runsLeft(runs, [range])).map((left) => ({ ...entry, ...extentOf(left), runs: left }));
  }
  const { members } = block;
  const left = members.filter((member) => !isCut(member, [range]));
  if (left.length === members.length) return [entry];
  return neighboursOf(left).map((group) =>
    blockEntry(
      log,
      group.map((member) => block.stored(member)),
      digest,
    ),
  );
}

export function blockEntry(log: LogId, members: readonly StoredSegment[], digest: Digest): Entry {
  const runs = runsOf(members);
  const extent = extentOf(runs);
  const packed = packBlockSync(members, digest, memoryBlockQuality);
  const sizeBytes = members.reduce((total, { segment }) => total + segment.length, 0);
  const record = seal(recordKey({ log, ...extent }), packed, digest);
  return { log, runs, isBlock: true, ...extent, sizeBytes, record };
}

function extentOf(runs: readonly Run[]): { position: number; count: number } {
  const count = runs.reduce((total, run) => total + run.count, 0);
  return { position: runs[0]?.position ?? 0, count };
}

/** What a record is sealed for. */
export function recordKey({ log, position }: { readonly log: LogId; readonly position: number }): string {
  return `${log}!${position}`;
}

function eraseLog({ shelves, values }: Contents, log: LogId): void {
  shelves.delete(log);
  for (const name of values.keys()) if (name.split("!").includes(log)) values.delete(name);
}

function place({ shelves }: Contents, entry: Entry): void {
  const { log, position, count } = entry;
  const shelf = shelves.get(log) ?? { byPosition: [], byOrigin: new Map<Incarnation, Place[]>() };
  shelves.set(log, shelf);
  insert(shelf.byPosition, { at: position, count, entry });
  for (const run of originRunsOf(entry.runs)) {
    const ofOrigin = shelf.byOrigin.get(run.origin) ?? [];
    shelf.byOrigin.set(run.origin, ofOrigin);
    insert(ofOrigin, { at: run.lo, count: run.count, entry });
  }
}

function insert(list: Place[], next: Place): void {
  const index = floorIndex(list, next.at);
  const isSame = list[index]?.at === next.at;
  list.splice(isSame ? index : index + 1, isSame ? 1 : 0, next);
}

/** Puts another entry in the place of one that is there, as its index has it; undefined takes it out. */
export function replaceEntry({ shelves }: Contents, old: Entry, next: Entry | undefined): void {
  const shelf = shelves.get(old.log);
  if (shelf === undefined) return;
  for (const list of [shelf.byPosition, ...shelf.byOrigin.values()]) {
    for (let index = list.length - 1; index >= 0; index -= 1) {
      const at = list[index];
      if (at?.entry !== old) continue;
      list.splice(index, 1, ...(next === undefined ? [] : [{ ...at, entry: next }]));
    }
  }
  if (shelf.byPosition.length === 0) shelves.delete(old.log);
}

/** From the entry that holds `number` or, where none does, the next one: by position, or by an origin's sequence. */
export function* placesFrom(
  contents: Contents,
  log: LogId,
  origin: Incarnation | undefined,
  number: number,
): Generator<Place> {
  const shelf = contents.shelves.get(log);
  const list = origin === undefined ? shelf?.byPosition : shelf?.byOrigin.get(origin);
  if (list === undefined) return;
  let index = Math.max(floorIndex(list, number), 0);
  const first = list[index];
  if (first !== undefined && first.at + first.count <= number) index += 1;
  for (; index < list.length; index += 1) yield list[index] as Place;
}

export function lastEntry({ shelves }: Contents, log: LogId): Entry | undefined {
  return shelves.get(log)?.byPosition.at(-1)?.entry;
}

/** Index of the last place at or before `number`; -1 when all come after it. */
function floorIndex(list: readonly Place[], number: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle] as Place).at <= number) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
