/** `run.json`: tells other commands where the process of a data directory listens. Removed at a clean end. */
import { unlink } from "node:fs/promises";
import { join } from "node:path";
import { hasErrno, readTextIfPresent, writeFileAtomically } from "./files.ts";

export interface RunFile {
  readonly pid: number;
  readonly version: string;
  /** URLs, by what they are for. */
  readonly addresses: Readonly<Record<string, string>>;
}

const fileName = "run.json";

export async function writeRunFile(directory: string, run: RunFile): Promise<void> {
  await writeFileAtomically(join(directory, fileName), `${JSON.stringify(run)}\n`);
}

/** @returns undefined when there is none, or its process is gone */
export async function readRunFile(directory: string): Promise<RunFile | undefined> {
  const text = await readTextIfPresent(join(directory, fileName));
  if (text === undefined) return undefined;
  let run: RunFile;
  try {
    run = JSON.parse(text) as RunFile;
  } catch {
    return undefined;
  }
  return isAlive(run.pid) ? run : undefined;
}

export async function removeRunFile(directory: string): Promise<void> {
  await unlink(join(directory, fileName)).catch((error: unknown) => {
    if (!hasErrno(error, "ENOENT")) throw error;
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasErrno(error, "EPERM");
  }
}
