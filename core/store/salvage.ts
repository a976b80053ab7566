/**
 * Makes a LevelDB of the files of one that LevelDB can't open, or that ends the process when it is opened: it takes damage in
 * its manifest for the end of everything, and trips over what it finds in tables. Here only what fits its checksum is read,
 * by code that can't fall over it. As LevelDB's own repair does, it takes every table that is there; one that was replaced
 * just before, and not yet deleted, brings back what was deleted since.
 */
import { link, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Level } from "level";
import { storeDamaged } from "./level-errors.ts";
import type { Row } from "./level-read.ts";
import { noteDamage, takePlace } from "./level-rebuild.ts";
import { fillStore } from "./level-rows.ts";
import { logEntries } from "./ldb-log.ts";
import { type LdbEntry, tableEntries } from "./ldb-table.ts";

const chunkBytes = 1024 * 1024;

/**
 * Puts a store with all that can be read in the place of a damaged one, and notes there why, so that it is gone through row
 * by row next. It takes room for both.
 * @throws SEGMENT_CORRUPT when there is nothing to be read, LEVEL_LOCKED as LevelDB does
 */
export async function salvage(directory: string, why: string): Promise<void> {
  const fresh = `${directory}.salvaging`;
  await rm(fresh, { recursive: true, force: true });
  await whileLocked(directory, async () => {
    try {
      let count = 0;
      const counted = async function* (): AsyncGenerator<readonly Row[]> {
        for await (const rows of rowsIn(directory)) {
          count += rows.length;
          yield rows;
        }
      };
      await fillStore(fresh, counted(), new Map());
      if (count === 0) throw storeDamaged(directory, "nothing in its files can be read");
      await noteDamage(fresh, why);
    } catch (error) {
      await rm(fresh, { recursive: true, force: true });
      throw error;
    }
    await takePlace(fresh, directory);
  });
}

/**
 * Holds LevelDB's lock without opening the store: that of an empty LevelDB whose lock is the same file.
 * @throws what LevelDB does when another process has it
 */
async function whileLocked(directory: string, work: () => Promise<void>): Promise<void> {
  const beside = `${directory}.locking`;
  await rm(beside, { recursive: true, force: true });
  await mkdir(beside, { mode: 0o700 });
  const lock = join(directory, "LOCK");
  let database: Level | undefined;
  try {
    await writeFile(lock, "", { flag: "a" });
    await link(lock, join(beside, "LOCK"));
    // It opens by itself, so not before.
    database = new Level(beside);
    await database.open();
    await work();
  } finally {
    await database?.close();
    await rm(beside, { recursive: true, force: true });
  }
}

/** Something that is read in order of key. */
interface Source {
  readonly first: string;
  readonly open: () => Promise<Iterator<LdbEntry>>;
}

/** A source that has been opened. */
interface Cursor {
  readonly entries: Iterator<LdbEntry>;
  head: LdbEntry;
}

/** The latest of each key, in order, some at a time. A table is in memory while there is more to come of it. */
async function* rowsIn(directory: string): AsyncGenerator<readonly Row[]> {
  const waiting = await sourcesIn(directory);
  let open: Cursor[] = [];
  let rows: Row[] = [];
  let sizeBytes = 0;
  for (;;) {
    for (
      let next = waiting[0];
      next !== undefined && next.first <= (leastOf(open) ?? next.first);
      [next] = waiting
    ) {
      waiting.shift();
      open.push(...cursorOf(await next.open()));
    }
    const key = leastOf(open);
    if (key === undefined) break;
    const value = takeLatest(open, key);
    open = open.filter(({ head }) => head !== ended);
    if (value === undefined) continue;
    rows.push([key, value]);
    sizeBytes += value.length;
    if (sizeBytes < chunkBytes) continue;
    yield rows;
    rows = [];
    sizeBytes = 0;
  }
  yield rows;
}

const ended: LdbEntry = { key: "", seq: 0, value: undefined };

function leastOf(open: readonly Cursor[]): string | undefined {
  let least: string | undefined;
  for (const { head } of open) if (least === undefined || head.key < least) least = head.key;
  return least;
}

function cursorOf(entries: Iterator<LdbEntry>): Cursor[] {
  const { done, value } = entries.next();
  return done === true ? [] : [{ entries, head: value }];
}

/** Moves all that are at a key past it. @returns the latest value; undefined where that was deleted */
function takeLatest(open: readonly Cursor[], key: string): Uint8Array | undefined {
  let latest: LdbEntry | undefined;
  for (const cursor of open) {
    while (cursor.head !== ended && cursor.head.key === key) {
      if (latest === undefined || cursor.head.seq > latest.seq) latest = cursor.head;
      const { done, value } = cursor.entries.next();
      cursor.head = done === true ? ended : value;
    }
  }
  return latest?.value;
}

/** The tables, and what the write-ahead logs hold, by their first key. */
async function sourcesIn(directory: string): Promise<Source[]> {
  const sources: Source[] = [];
  const logged: LdbEntry[] = [];
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (/^\d+\.log$/.test(name)) for (const entry of logEntries(await readFile(path))) logged.push(entry);
    if (!/^\d+\.(ldb|sst)$/.test(name)) continue;
    const open = async (): Promise<Iterator<LdbEntry>> => tableEntries(await readFile(path));
    const [first] = cursorOf(await open());
    if (first !== undefined) sources.push({ first: first.head.key, open });
  }
  logged.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
  const [first] = logged;
  if (first !== undefined) sources.push({ first: first.key, open: async () => logged.values() });
  return sources.sort((a, b) => (a.first < b.first ? -1 : Number(a.first > b.first)));
}
