/**
 * Says what the stores named on its command line hold: one line of JSON each. A process of its own, because LevelDB
 * may end the process that reads a damaged table: its assertions are on.
 */
import { TidemarkError } from "../../core/errors.ts";
import { LevelStore } from "../../core/store/level.ts";
import { cloud, manyBytes, node, node1, node10, plain } from "./store-segments.ts";

export interface Look {
  /** Readable records, as `plain` gives them. */
  readonly records: readonly unknown[];
  readonly values: Readonly<Record<string, string>>;
  /** Positions of `node1` that were read, damaged or not. */
  readonly positions: readonly number[];
  /** Why not more; a code, or what is no error of ours. */
  readonly error: string | undefined;
}

async function look(directory: string): Promise<Look> {
  const store = new LevelStore(directory);
  const records: unknown[] = [];
  const positions: number[] = [];
  const values: Record<string, string> = {};
  let error: string | undefined;
  try {
    await store.open();
    for (const log of new Set([node1, node10, ...(await store.logs())])) {
      const found = await store.read(log, 1, manyBytes);
      if (log === node1) positions.push(...found.map(({ position }) => position));
      const last = await store.last(log);
      if (last !== undefined) found.push(last);
      for (const origin of [node, cloud]) found.push(...(await store.readOrigin(log, origin, 1, manyBytes)));
      records.push(...found.filter(({ segment }) => segment !== undefined).map((record) => plain(record)));
    }
    for (const name of await store.names("")) values[name] = await valueOf(store, name);
  } catch (thrown) {
    error = codeOf(thrown);
  }
  await store.close();
  return { records, values, positions, error };
}

async function valueOf(store: LevelStore, name: string): Promise<string> {
  try {
    return String.fromCharCode(...((await store.get(name)) ?? []));
  } catch (error) {
    return codeOf(error);
  }
}

function codeOf(error: unknown): string {
  return error instanceof TidemarkError ? error.code : String(error);
}

for (const directory of process.argv.slice(2)) {
  process.stdout.write(`${JSON.stringify(await look(directory))}\n`);
}
