/** A copy of a stopped log to read from: LevelDB writes as it opens, and a log that is looked at must stay as it is. */
import { copyFile, link, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { TidemarkError } from "../core/errors.ts";
import { hasErrno } from "../protocol/adapters/files.ts";
import type { World } from "./world.ts";

export interface Copy {
  readonly directory: string;
  /** Idempotent. */
  remove(): Promise<void>;
}

const triesMax = 3;

/**
 * Copies a LevelDB directory into a temporary one, which is removed with the process at the latest.
 * @throws TidemarkError LOG_LOCKED when something is writing to it
 */
export async function copyLog(source: string, world: World): Promise<Copy> {
  const directory = await temporaryDirectory(source);
  const keep = world.onExit(() => rmSync(directory, { recursive: true, force: true }));
  const remove = async (): Promise<void> => {
    keep();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    for (let tries = 1; tries <= triesMax; tries += 1) {
      if (await copyAtRest(source, directory)) return { directory, remove };
    }
    throw new TidemarkError(
      "LOG_LOCKED",
      `a process is writing to ${source}, and does not answer yet: try again in a moment`,
      { data: { directory: source } },
    );
  } catch (error) {
    await remove();
    throw error;
  }
}

/** @returns false when the files changed meanwhile */
async function copyAtRest(source: string, directory: string): Promise<boolean> {
  const before = await look(source);
  try {
    for (const name of before.keys()) {
      // The lock, and LevelDB's own diary, are no part of the log.
      if (name === "LOCK" || name.startsWith("LOG")) continue;
      await take(join(source, name), join(directory, name));
    }
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
  const after = await look(source);
  return before.size === after.size && [...before].every(([name, state]) => after.get(name) === state);
}

async function look(source: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of await readdir(source)) {
    const file = await stat(join(source, name)).catch(() => undefined);
    if (file?.isFile() === true) found.set(name, `${file.size} ${file.mtimeMs}`);
  }
  return found;
}

/** A table is never written again, so another name for it will do. */
async function take(from: string, to: string): Promise<void> {
  await rm(to, { force: true });
  if (/\.(ldb|sst)$/.test(from)) {
    try {
      await link(from, to);
      return;
    } catch (error) {
      if (hasErrno(error, "ENOENT")) throw error;
    }
  }
  await copyFile(from, to);
}

/** On the log's own file system where that can be, so that tables need no copying. */
async function temporaryDirectory(source: string): Promise<string> {
  const [here, there] = await Promise.all([stat(source), stat(tmpdir())]);
  const parents = here.dev === there.dev ? [tmpdir()] : [dirname(source), tmpdir()];
  for (const parent of parents.slice(0, -1)) {
    const made = await mkdtemp(join(parent, ".tidemark-read-")).catch(() => undefined);
    if (made !== undefined) return made;
  }
  return mkdtemp(join(parents.at(-1) as string, "tidemark-read-"));
}
