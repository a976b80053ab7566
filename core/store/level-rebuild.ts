/**
 * Puts what can be read of a damaged store into a new one. LevelDB goes on with damaged tables only until it has to
 * compact them: then it takes no more writes, or ends the process. So whoever finds damage notes it in the directory,
 * and the store is rebuilt when it is opened next.
 */
import { appendFile, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Level } from "level";
import { pack, unpack } from "../codec.ts";
import { type Database, type Row, getAll, undamaged } from "./level-read.ts";
import { rulesPrefix } from "../rules.ts";
import { bodyPrefix, logOf, numbered, positionsPrefix, valuesPrefix } from "./level-keys.ts";
import { allRows, fillStore } from "./level-rows.ts";
import { originRows } from "./level-write.ts";
import { nodeDigest } from "./node-digest.ts";
import { decodeEntry, unseal } from "./record.ts";

const noteName = "DAMAGED";
/** Named value: the findings after which the store was rebuilt. What is still missing then is no damage of LevelDB's. */
const rebuiltName = "rebuilt";
const findingsKept = 1000;

/** Notes damage for the next opening, in a file, since the store itself may take no more. */
export function noteDamage(directory: string, finding: string): Promise<void> {
  return appendFile(join(directory, noteName), `${finding}\n`, { mode: 0o600, flush: true });
}

export async function damageNoted(directory: string): Promise<string[]> {
  const text = await readFile(join(directory, noteName), "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

/** The findings after which a store was rebuilt. */
export async function rebuiltFor(database: Database): Promise<ReadonlySet<string>> {
  const key = valuesPrefix + rebuiltName;
  const sealed = await undamaged(() => database.get(key));
  const value = sealed && unseal(key, sealed, nodeDigest);
  return new Set(value === undefined ? [] : (unpack(value) as string[]));
}

/** The new store takes the old one's place when all of it is on the disk. It takes room for both. */
export async function rebuild(directory: string, findings: readonly string[]): Promise<void> {
  const fresh = `${directory}.rebuilding`;
  await rm(fresh, { recursive: true, force: true });
  const database: Database = new Level(directory, { keyEncoding: "utf8", valueEncoding: "view" });
  try {
    await database.open();
    const known = [...(await rebuiltFor(database)), ...findings].slice(-findingsKept);
    await fillStore(fresh, soundRows(database), new Map([[rebuiltName, pack(known)]]));
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    throw error;
  } finally {
    await database.close();
  }
  await takePlace(fresh, directory);
}

/** Puts a new store, all of which is on the disk, in the place of the old one. */
export async function takePlace(fresh: string, directory: string): Promise<void> {
  const old = `${directory}.damaged`;
  await rm(old, { recursive: true, force: true });
  await rename(directory, old);
  await rename(fresh, directory);
  await rm(old, { recursive: true });
}

/** A crash between the two renames left the store under another name. */
export async function undoRename(directory: string): Promise<void> {
  await rename(`${directory}.damaged`, directory).catch(() => undefined);
}

/** Rows whose seal fits. What a walk over a damaged block does not come to, a look for one key may find. */
async function* soundRows(database: Database): AsyncGenerator<readonly Row[]> {
  const named = new Set<string>();
  for await (const rows of allRows(database)) {
    const sound = rows.filter((row) => isSound(row) && !row[0].startsWith(valuesPrefix + rulesPrefix));
    for (const [key, value] of sound) {
      // Index entries come before the bodies they name.
      const arrival = key.startsWith(positionsPrefix)
        ? decodeEntry(key, value, nodeDigest)?.arrival
        : undefined;
      if (arrival !== undefined) named.add(numbered(bodyPrefix, arrival));
      else named.delete(key);
    }
    yield sound;
    const lost = await lostOriginRows(database, sound);
    if (lost.length > 0) yield lost;
  }
  for (const key of named) {
    const value = await undamaged(() => database.get(key));
    if (value !== undefined) yield [[key, value] as const].filter(isSound);
  }
}

/** Of the index by origin what is gone, or wrong, and the index by position tells. */
async function lostOriginRows(database: Database, sound: readonly Row[]): Promise<Row[]> {
  const rows = sound.flatMap(([key, value]) => {
    const entry = key.startsWith(positionsPrefix) ? decodeEntry(key, value, nodeDigest) : undefined;
    return entry === undefined ? [] : originRows(logOf(key), entry);
  });
  const held = await getAll(
    rows.map(([key]) => key),
    { database },
  );
  return rows.filter(([key], nth) => {
    const value = held[nth];
    return value === undefined || !isSound([key, value]);
  });
}

function isSound([key, value]: Row): boolean {
  return unseal(key, value, nodeDigest) !== undefined;
}
