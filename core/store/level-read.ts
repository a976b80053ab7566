/** Reading LevelDB where some of it may be damaged: rows, points, and the records that an index names. */
import type { Level } from "level";
import type { Incarnation, LogId } from "../event.ts";
import type { DamagedRecord, ReadRecord, StoredSegment } from "../store-port.ts";
import { isDamage } from "./level-errors.ts";
import { type KeyRange, bodyPrefix, numberOf, numbered, rangeOf } from "./level-keys.ts";
import { nodeDigest } from "./node-digest.ts";
import { type IndexEntry, decodeEntry, decodeRecord, unseal } from "./record.ts";

const scanBytes = 1024 * 1024;
const scanRowsFirst = 16;
const scanRowsMax = 1000;

export type Database = Level<string, Uint8Array>;
/** What the store held at one moment: an index and the bodies it names, whatever is taken out meanwhile. */
export type Snapshot = ReturnType<Database["snapshot"]>;
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
  database: Database,
  snapshot: Snapshot,
): AsyncGenerator<Row[]> {
  let gte = range.gte;
  for (const careful of [false, true]) {
    const iterator = database.iterator({ gte, lt: range.lt, snapshot, highWaterMarkBytes: scanBytes });
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

/** Where the segment begins that holds `number`; `number` itself where none does. */
export async function startOf(
  index: Index,
  number: number,
  database: Database,
  snapshot: Snapshot,
): Promise<number> {
  const range = { gte: index.prefix, lte: numbered(index.prefix, number), reverse: true, snapshot };
  const row = await undamaged(() => firstRow(database, range));
  const before = row && foundIn(index, row);
  const covers = before?.entry !== undefined && before.at + before.entry.count > number;
  return covers ? before.at : number;
}

export async function bodiesOf(
  index: Index,
  found: readonly Found[],
  database: Database,
  snapshot?: Snapshot,
): Promise<ReadRecord[]> {
  const keys = found.map(({ entry }) => numbered(bodyPrefix, entry?.arrival ?? 0));
  const bodies = await getAll(database, keys, snapshot);
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
  database: Database,
  keys: string[],
  snapshot: Snapshot | undefined,
): Promise<(Uint8Array | undefined)[]> {
  const options = snapshot === undefined ? {} : { snapshot };
  const values = await undamaged(() => database.getMany(keys, options));
  if (values !== undefined) return values;
  const each: (Uint8Array | undefined)[] = [];
  for (const key of keys) each.push(await undamaged(() => database.get(key, options)));
  return each;
}

export async function firstRow(
  database: Database,
  range: { gte: string; lt?: string; lte?: string; reverse?: boolean; snapshot?: Snapshot },
): Promise<Row | undefined> {
  const iterator = database.iterator(range);
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
