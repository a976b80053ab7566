import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/**
 * What the files of a LevelDB directory take, its write-ahead log included. It is asked for often, and a large store has
 * thousands of tables; each is written once, so its size is not asked for again when two looks agreed on it.
 */
export class DirectorySize {
  readonly #directory: string;
  #tables = new Map<string, { readonly size: number; readonly isSettled: boolean }>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Bytes. */
  async measure(): Promise<number> {
    const tables = new Map<string, { readonly size: number; readonly isSettled: boolean }>();
    let total = 0;
    for (const name of await readdir(this.#directory)) {
      const known = this.#tables.get(name);
      // LevelDB deletes files while this looks at them.
      const size = known?.isSettled === true ? known.size : await sizeOf(join(this.#directory, name));
      if (name.endsWith(".ldb")) tables.set(name, { size, isSettled: size > 0 && known?.size === size });
      total += size;
    }
    this.#tables = tables;
    return total;
  }
}

async function sizeOf(path: string): Promise<number> {
  const file = await stat(path).catch(() => undefined);
  return file?.size ?? 0;
}
