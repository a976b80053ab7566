import { join } from "node:path";
import { Level } from "level";
import type { Test } from "tap";

let directories = 0;

/** A path of its own, that is not there yet; removed with the test. */
export function freshDirectory(t: Test): string {
  directories += 1;
  return join(t.testdir(), `store-${directories}`);
}

export type Raw = Level<string, Uint8Array>;

/** LevelDB itself, past the store. */
export async function raw<T>(directory: string, work: (database: Raw) => Promise<T>): Promise<T> {
  const database: Raw = new Level(directory, { keyEncoding: "utf8", valueEncoding: "view" });
  await database.open();
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}
