/** All that a LevelDB holds, key by key: for backups, and for taking a log out of it for good. */
import { Level } from "level";
import type { LogId } from "../event.ts";
import { decodeBlockRecord } from "./block-record.ts";
import { openError } from "./level-errors.ts";
import { bodyPrefix, separator, valuesPrefix } from "./level-keys.ts";
import { type Database, type Row, rowsOf } from "./level-read.ts";
import { nodeDigest } from "./node-digest.ts";
import { decodeRecord, seal, unseal } from "./record.ts";

/** Every key is ASCII. */
const everything = { gte: "", lt: "\u007f" } as const;

/** Every row as it was at one moment, some at a time. What is damaged comes as it is, or not at all. */
export async function* allRows(database: Database): AsyncGenerator<readonly Row[]> {
  const snapshot = database.snapshot();
  try {
    yield* rowsOf(everything, { database, snapshot });
  } finally {
    await snapshot.close();
  }
}

/**
 * Makes a store of rows that another one had. Resolves when it is on the disk, and closed.
 * @param values named values to set, over those that the rows have
 */
export async function fillStore(
  directory: string,
  rows: AsyncIterable<readonly Row[]>,
  values: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const database: Database = new Level(directory, {
    keyEncoding: "utf8",
    valueEncoding: "view",
    errorIfExists: true,
  });
  try {
    await database.open();
    for await (const some of rows) await write(database, some, false);
    const named = [...values].map(([name, value]): Row => {
      const key = valuesPrefix + name;
      return [key, seal(key, value, nodeDigest)];
    });
    // What is synced last has all before it on the disk.
    await write(database, named, true);
  } catch (error) {
    throw openError(directory, error);
  } finally {
    await database.close();
  }
}

async function write(database: Database, rows: readonly Row[], sync: boolean): Promise<void> {
  const batch = database.batch();
  for (const [key, value] of rows) batch.put(key, value);
  await batch.write({ sync });
}

const erasingPrefix = `${valuesPrefix}erasing!`;

/** Notes, on the disk, that a log is being erased. */
export function beginErasing(database: Database, log: LogId): Promise<void> {
  const key = erasingPrefix + log;
  return database.put(key, seal(key, new Uint8Array(), nodeDigest), { sync: true });
}

/** The logs whose erasing a crash cut short. */
export async function erasingLogs(database: Database): Promise<LogId[]> {
  const logs: LogId[] = [];
  const range = { gte: erasingPrefix, lt: `${erasingPrefix}\u007f` };
  for await (const rows of rowsOf(range, { database })) {
    for (const [key] of rows) logs.push(key.slice(erasingPrefix.length) as LogId);
  }
  return logs;
}

/** Takes out all that is of a log, so that its bytes are gone from the disk. Begun before; may be done again. */
export async function eraseLog(database: Database, log: LogId): Promise<void> {
  // LevelDB puts what is in its memory into a table as it is, what was deleted meanwhile too: so that goes first.
  await compact(database);
  const snapshot = database.snapshot();
  try {
    for await (const rows of rowsOf(everything, { database, snapshot })) {
      const batch = database.batch();
      for (const row of rows) if (isOf(log, row)) batch.del(row[0]);
      await batch.write({ sync: false });
    }
  } finally {
    // A snapshot keeps what it can see.
    await snapshot.close();
  }
  await compact(database);
  await database.del(erasingPrefix + log, { sync: true });
}

/** What was deleted leaves the disk. */
export function compact(database: Database): Promise<void> {
  return (database as Level<string, Uint8Array> & Compacting).compactRange(everything.gte, everything.lt);
}

interface Compacting {
  /** LevelDB's own; `level` knows it by its Node part only. */
  compactRange(start: string, end: string): Promise<void>;
}

/** A log's name is a whole part of each of its keys but the bodies', which have it inside. */
function isOf(log: LogId, [key, value]: Row): boolean {
  if (key.startsWith(erasingPrefix)) return false;
  if (key.startsWith(bodyPrefix)) return isBodyOf(log, key, value);
  return key.split(separator).slice(1).includes(log);
}

/** A body that is damaged may be of any log, and is of use to none. */
function isBodyOf(log: LogId, key: string, value: Uint8Array): boolean {
  if (unseal(key, value, nodeDigest) === undefined) return true;
  const { log: found } =
    decodeRecord(key, value, nodeDigest) ?? decodeBlockRecord(key, value, nodeDigest) ?? {};
  return found === log;
}
