/** A real disk under virtual time: no turn is over before the disk has done all that it was asked. */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { LevelStore } from "../../core/store/level.ts";
import type { Seeded } from "../sim/random.ts";

export class RealDisk {
  #pending = 0;
  #idle: (() => void)[] = [];

  /** What `World` waits for between two turns. */
  async settles(): Promise<void> {
    do {
      if (this.#pending > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#pending > 0);
  }

  async track<T>(work: Promise<T>): Promise<T> {
    this.#pending += 1;
    try {
      return await work;
    } finally {
      this.#pending -= 1;
      if (this.#pending === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** A store whose every answer is waited for. */
  store(directory: string): LevelStore {
    // Nobody pulls the plug here: a process that is killed has handed over what it wrote.
    const store = new LevelStore(directory, { unsafeNoSync: true });
    return new Proxy(store, {
      get: (target, name) => {
        const found: unknown = Reflect.get(target, name, target);
        if (typeof found !== "function") return found;
        return (...given: unknown[]): unknown => {
          const answer: unknown = Reflect.apply(found, target, given);
          return answer instanceof Promise ? this.track(answer) : answer;
        };
      },
    });
  }
}

/** Bytes in the middle of one of LevelDB's tables change. Nobody may have the store open. @returns what was done */
export async function damage(directory: string, random: Seeded): Promise<string> {
  const tables = (await readdir(directory)).filter((name) => name.endsWith(".ldb")).sort();
  if (tables.length === 0) return "nothing to damage yet";
  const table = random.pick(tables);
  const file = await open(join(directory, table), "r+");
  try {
    const { size } = await file.stat();
    const at = random.between(0, Math.max(0, size - 4096));
    await file.write(random.bytes(64), 0, 64, at);
    return `64 bytes of ${table} changed at ${at} of ${size}`;
  } finally {
    await file.close();
  }
}
