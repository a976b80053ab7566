/**
 * Whether opening a store ends the process. What LevelDB finds in damaged files may trip an assertion of its, and then nothing
 * is left of the process to say so: it is started again, and ends again. So a file beside the store says that it is being
 * opened, until that went well.
 *
 * It counts only what ended while the machine went on: one that lost its power is booted since, and its store is as good as
 * ever. Nor does a process count that could still say that it ends, by itself or by an error. So the file need not be
 * synced, and what counts in vain is a `kill -9`: three in a row, so soon, cost one reading and writing of the store.
 */
import { rmSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { storeKills } from "./level-errors.ts";

/** After so many in a row it is not opened again as it is. */
const endsMax = 3;
const bootFile = "/proc/sys/kernel/random/boot_id";

interface Note {
  /** The machine's boot; empty where the system doesn't tell. */
  readonly boot: string;
  readonly pid: number;
  /** How many processes ended while they opened it, before this one. */
  readonly ends: number;
  /** Whether it was rebuilt for that already. */
  readonly isRebuilt: boolean;
}

export interface Opening {
  /** It is to be rebuilt from what can be read, before it is opened. */
  readonly isDeadly: boolean;
  /** What the file said before. */
  readonly before: string | undefined;
}

/** Opened by this process, and not known to be well. */
const underWay = new Set<string>();

/** A store is about to be opened. @throws SEGMENT_CORRUPT where rebuilding it did not help: this one is not tried again */
export async function beginOpening(directory: string): Promise<Opening> {
  const file = fileOf(directory);
  const boot = await readFile(bootFile, "utf8").catch(() => "");
  const before = await readFile(file, "utf8").catch(() => undefined);
  const found = before === undefined ? undefined : readNote(before);
  const { ends, isRebuilt } = found?.boot === boot ? endsBy(found) : { ends: 0, isRebuilt: false };
  const isDeadly = ends >= endsMax;
  if (isDeadly && isRebuilt) throw storeKills(directory, file);
  // Written before it is rebuilt: that may end the process too.
  const note: Note = { boot, pid: process.pid, ends: isDeadly ? 0 : ends, isRebuilt: isRebuilt || isDeadly };
  await writeFile(file, JSON.stringify(note), { mode: 0o600 });
  if (underWay.size === 0) process.once("exit", forgetAll);
  underWay.add(file);
  return { isDeadly, before };
}

/** It is open and well, or closed, or it can't be opened for a reason that was told. Idempotent. */
export async function endOpening(directory: string): Promise<void> {
  const file = fileOf(directory);
  if (forget(file)) await rm(file, { force: true });
}

/** It was not opened at all, since another process has it, or it could not be rebuilt: what was said before stands. */
export async function undoOpening(directory: string, { before }: Opening): Promise<void> {
  const file = fileOf(directory);
  forget(file);
  if (before === undefined) await rm(file, { force: true });
  else await writeFile(file, before);
}

function fileOf(directory: string): string {
  return `${directory}.opening`;
}

function forget(file: string): boolean {
  const isUnderWay = underWay.delete(file);
  if (underWay.size === 0) process.off("exit", forgetAll);
  return isUnderWay;
}

function forgetAll(): void {
  for (const file of underWay) rmSync(file, { force: true });
}

function endsBy({ pid, ends, isRebuilt }: Note): Pick<Note, "ends" | "isRebuilt"> {
  return { ends: isAlive(pid) ? ends : ends + 1, isRebuilt };
}

/** Whether it is another process, and there. In a container the next one often has the same id. */
function isAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** @returns undefined where it is cut short, or of another version */
function readNote(text: string): Note | undefined {
  try {
    const note = JSON.parse(text) as Partial<Note> | null;
    const { boot, pid, ends, isRebuilt } = note ?? {};
    const isNote = typeof boot === "string" && typeof pid === "number" && typeof ends === "number";
    return isNote ? { boot, pid, ends, isRebuilt: isRebuilt === true } : undefined;
  } catch {
    return undefined;
  }
}
