import { randomBytes } from "node:crypto";
import { chmod, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join, basename } from "node:path";
import { TidemarkError } from "../../core/errors.ts";

/** Makes a directory that only its owner may enter, and closes one that others may. */
export async function ensurePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) await chmod(path, 0o700);
}

/**
 * Writes a whole file or nothing: under another name first, synced, then renamed over the old one, and the directory
 * synced. Readable by its owner only unless `mode` says otherwise.
 * @throws DISK_FULL, and what else the system says
 */
export async function writeFileAtomically(
  path: string,
  content: string | Uint8Array,
  mode = 0o600,
): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw hasErrno(error, "ENOSPC") || hasErrno(error, "EDQUOT") ? diskFull(path, error) : error;
  }
  const entries = await open(directory);
  try {
    await entries.sync();
  } finally {
    await entries.close();
  }
}

function diskFull(path: string, cause: unknown): TidemarkError {
  const message = `there is no room left on the disk of ${path}: make some, then start again`;
  return new TidemarkError("DISK_FULL", message, { cause, data: { path } });
}

/** The text of a file, or undefined when there is none. */
export async function readTextIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Whether an error is the system's or Node's of that code, such as `ENOENT`. */
export function hasErrno(error: unknown, code: string): boolean {
  return errnoOf(error) === code;
}

/** The code of an error of the system or of Node. */
export function errnoOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}
