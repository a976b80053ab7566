/** Reading LevelDB where some of it may be damaged: rows, points, and the records that an index names. */
import type { Level } from "level";
import type { Incarnation, LogId } from "../event.ts";
import type { DamagedRecord, ReadRecord, StoredSegment } from "../store-port.ts";
import { isDamage } from "./level-errors.ts";
import { type KeyRange, bodyPrefix, numberOf, numbered, positionPrefix, rangeOf } from "./level-keys.ts";
import { nodeDigest } from "./node-digest.ts";
import type { Block } from "./block.ts";
import type { BlockCache } from "./block-cache.ts";
import { decodeBlockRecord } from "./block-record.ts";
import { type IndexEntry, decodeEntry, decodeRecord, unseal } from "./record.ts";
import { damagedRuns } from "./runs.ts";

const scanBytes = 1024 * 1024;
const scanRowsFirst = 16;
const scanRowsMax = 1000;

export type Database = Level<string, Uint8Array>;
/** What the store held at one moment: an index and the bodies it names, whatever is taken out meanwhile. */
export type Snapshot = ReturnType<Database["snapshot"]>;
/** Where to read: what is committed now, or what was at a snapshot. */
export interface View {
  readonly database: Database;
  readonly snapshot?: Snapshot;
  readonly blocks: BlockCache;
}
export type Row = readonly [key: string, value: Uint8Array];
/** A row of an index. `entry` is undefined when its seal does not fit. */
export interface Found {
  /** The number in the key: a position, or a sequence. */
  readonly at: number;
  readonly entry: IndexEntry | undefined;
}

/** The segments of one log in one order: by position, or by an origin's sequence. */
export interface Index {
  readonly log: LogId;
  readonly prefix: string;
  readonly origin: Incarnation | undefined;
}

/** What LevelDB can't read for damage is as if it were not there. */
export async function undamaged<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

/**
 * Rows of a range, in chunks that grow. Where a block of LevelDB's is damaged, its rows are passed over: a chunk that
 * fails is read again row by row, because LevelDB tells only at the end, and takes the good rows with it.
 */
export async function* rowsOf(
  range: KeyRange,
  { database, snapshot }: Omit<View, "blocks">,
): AsyncGenerator<Row[]> {
  let gte = range.gte;
  for (const careful of [false, true]) {
    const options = { gte, lt: range.lt, highWaterMarkBytes: scanBytes };
    const iterator = database.iterator(snapshot === undefined ? options : { ...options, snapshot });
    try {
      for (let size = careful ? 1 : scanRowsFirst; ; size = careful ? 1 : Math.min(size * 4, scanRowsMax)) {
        const rows = await iterator.nextv(size);
        const last = rows.at(-1);
        if (last === undefined) return;
        gte = `${last[0]}\0`;
        yield rows;
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
    } finally {
      await iterator.close();
    }
  }
}

/** The row of the segment or of the block that holds `number`. */
async function rowAt(index: Index, number: number, view: View): Promise<Row | undefined> {
  const range = { gte: index.prefix, lte: numbered(index.prefix, number), reverse: true };
  const row = await undamaged(() => firstRow(range, view));
  const before = row && foundIn(index, row);
  return before?.entry !== undefined && before.at + before.entry.count > number ? row : undefined;
}

/** The rows of an index from the one that holds `number` on. What comes after the first is only looked for when asked for. */
async function* rowsFrom(index: Index, number: number, view: View): AsyncGenerator<readonly Row[]> {
  const first = await rowAt(index, number, view);
  if (first !== undefined) yield [first];
  const gte = first === undefined ? numbered(index.prefix, number) : `${first[0]}\0`;
  yield* rowsOf({ ...rangeOf(index.prefix), gte }, view);
}

/**
 * Records from the one that holds `number` or, where none does, the next one; at least one if there is one, then up to
 * `maxBytes`.
 */
export async function recordsFrom(
  index: Index,
  number: number,
  maxBytes: number,
  view: View,
): Promise<ReadRecord[]> {
  const records: ReadRecord[] = [];
  let waiting: Found[] = [];
  let sizeBytes = 0;
  const isFull = (more: number): boolean => {
    sizeBytes += more;
    return sizeBytes > maxBytes && records.length + waiting.length > 0;
  };
  const settle = async (): Promise<void> => {
    records.push(...(await bodiesOf(index, waiting, view)));
    waiting = [];
  };
  scan: for await (const rows of rowsFrom(index, number, view)) {
    for (const row of rows) {
      const next = foundIn(index, row);
      if (next === undefined) continue;
      if (next.entry?.runs === undefined) {
        if (isFull(next.entry?.sizeBytes ?? row[1].length)) break scan;
        waiting.push(next);
        continue;
      }
      await settle();
      for await (const record of membersOf({ ...index, at: next.at, entry: next.entry }, number, view)) {
        if (isFull(record.segment?.length ?? 0)) break scan;
        records.push(record);
      }
    }
    // The next look would be for what is not taken any more.
    if (sizeBytes >= maxBytes && records.length + waiting.length > 0) break;
  }
  await settle();
  return index.origin === undefined ? records : withoutRepeats(records);
}

/** The members of a block that hold `number` and what comes after it, in the order of the index. */
async function* membersOf(
  { log, origin, at, entry }: Pick<Index, "log" | "origin"> & { at: number; entry: IndexEntry },
  number: number,
  view: View,
): AsyncGenerator<ReadRecord> {
  const block = await blockOf(log, entry, view);
  if (block !== undefined) {
    for (const member of block.membersFrom({ origin, at, count: entry.count }, number))
      yield block.stored(member);
    return;
  }
  const key = numbered(positionPrefix(log), entry.position);
  const table = origin === undefined ? entry : await entryAt(key, view);
  if (table?.arrival === entry.arrival && table.runs !== undefined) {
    const end = at + entry.count;
    for (const record of damagedRuns(log, table.runs, origin, number))
      if (origin === undefined || (record.lo ?? end) < end) yield record;
  } else {
    yield { log, origin, lo: at, count: entry.count, position: 0, segment: undefined };
  }
}

/** @returns undefined where the block is gone or damaged */
export async function blockOf(log: LogId, entry: IndexEntry, view: View): Promise<Block | undefined> {
  const key = numbered(bodyPrefix, entry.arrival);
  let block = view.blocks.get(entry.arrival);
  if (block === undefined) {
    // A block is remembered once it is expanded: LevelDB's own cache, of 8 MiB, is for what each answer needs some of.
    const [body] = await getAll([key], view, false);
    block = body && decodeBlockRecord(key, body, nodeDigest);
    if (block !== undefined) view.blocks.add(entry.arrival, block, entry.sizeBytes);
  }
  return block?.log === log && block.position === entry.position ? block : undefined;
}

export async function entryAt(key: string, view: View): Promise<IndexEntry | undefined> {
  const [value] = await getAll([key], view);
  return value && decodeEntry(key, value, nodeDigest);
}

/** What came again, because it was damaged, lies also where it was: each sequence is had once. */
function withoutRepeats(records: readonly ReadRecord[]): ReadRecord[] {
  let next = 0;
  return records.filter((record) => {
    if (record.lo === undefined) return true;
    if (record.lo < next) return false;
    if (record.segment !== undefined) next = record.lo + record.count;
    return true;
  });
}

export async function bodiesOf(index: Index, found: readonly Found[], view: View): Promise<ReadRecord[]> {
  if (found.length === 0) return [];
  const keys = found.map(({ entry }) => numbered(bodyPrefix, entry?.arrival ?? 0));
  const bodies = await getAll(keys, view);
  return found.map(({ at, entry }, nth) => {
    const key = keys[nth];
    const body = bodies[nth];
    if (entry === undefined || key === undefined || body === undefined) return damaged(index, at, entry);
    const record = decodeRecord(key, body, nodeDigest);
    return record !== undefined && matches(record, index.log, entry) ? record : damaged(index, at, entry);
  });
}

/** One point each, where LevelDB would fail them all for one that is damaged. */
export async function getAll(
  keys: string[],
  { database, snapshot }: Omit<View, "blocks">,
  fillCache = true,
): Promise<(Uint8Array | undefined)[]> {
  const options = snapshot === undefined ? { fillCache } : { fillCache, snapshot };
  const values = await undamaged(() => database.getMany(keys, options));
  if (values !== undefined) return values;
  const each: (Uint8Array | undefined)[] = [];
  for (const key of keys) each.push(await undamaged(() => database.get(key, options)));
  return each;
}

export async function firstRow(
  range: { gte: string; lt?: string; lte?: string; reverse?: boolean },
  { database, snapshot }: Omit<View, "blocks">,
): Promise<Row | undefined> {
  // A point is looked up as a value is; unlike one who walks, who would put out of the cache what others use.
  const options = { ...range, fillCache: true };
  const iterator = database.iterator(snapshot === undefined ? options : { ...options, snapshot });
  try {
    return (await iterator.nextv(1))[0];
  } finally {
    await iterator.close();
  }
}

/** A key is believed only with its record: a flipped bit in one could carry the counter to its end. */
export async function newestArrival(database: Database): Promise<number> {
  const iterator = database.iterator({ ...rangeOf(bodyPrefix), reverse: true });
  try {
    for (;;) {
      const row = (await undamaged(() => iterator.nextv(1)))?.[0];
      if (row === undefined) return 0;
      const arrival = numberOf(bodyPrefix, row[0]);
      if (arrival !== undefined && unseal(row[0], row[1], nodeDigest) !== undefined) return arrival;
    }
  } finally {
    await iterator.close();
  }
}

export function foundIn(index: Index, [key, value]: Row): Found | undefined {
  const at = numberOf(index.prefix, key);
  return at === undefined ? undefined : { at, entry: decodeEntry(key, value, nodeDigest) };
}

function matches(record: StoredSegment, log: LogId, entry: IndexEntry): boolean {
  return (
    record.log === log &&
    record.origin === entry.origin &&
    record.lo === entry.lo &&
    record.count === entry.count &&
    record.position === entry.position
  );
}

function damaged(index: Index, at: number, entry: IndexEntry | undefined): DamagedRecord {
  const { log, origin } = index;
  if (entry !== undefined) {
    const { origin, lo, count, position } = entry;
    return { log, origin, lo, count, position, segment: undefined };
  }
  const lo = origin === undefined ? undefined : at;
  return { log, origin, lo, count: undefined, position: origin === undefined ? at : 0, segment: undefined };
}
