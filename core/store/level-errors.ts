import { TidemarkError, messageOf } from "../errors.ts";

/** The code of an error, or of the one that caused it: `level` wraps what happens while opening. */
function levelCode(error: unknown): { code: string; message: string } {
  let code = "";
  let message = messageOf(error);
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    message = at.message;
    if ("code" in at && typeof at.code === "string") code = at.code;
  }
  return { code, message };
}

/** Whether LevelDB says that the bytes are gone or wrong. Everything else may pass: too many open files, say. */
export function isDamage(error: unknown): boolean {
  const { code, message } = levelCode(error);
  return code === "LEVEL_CORRUPTION" || (code === "LEVEL_IO_ERROR" && message.includes("Input/output error"));
}

/** Whether LevelDB says that the bytes are wrong; where they can't be read, they may be the next time. */
export function isCorrupt(error: unknown): boolean {
  return levelCode(error).code === "LEVEL_CORRUPTION";
}

/** What LevelDB says itself, of an error or of the one that caused it. */
export function reasonOf(error: unknown): string {
  return levelCode(error).message;
}

function isFull({ code, message }: { code: string; message: string }): boolean {
  return code === "ENOSPC" || code === "EDQUOT" || /no space left|quota exceeded/i.test(message);
}

function diskFull(directory: string, cause: unknown): TidemarkError {
  return new TidemarkError(
    "DISK_FULL",
    `there is no room left on the disk of ${directory}: make some, then start again`,
    {
      cause,
      data: { directory },
    },
  );
}

export function openError(directory: string, error: unknown): TidemarkError {
  if (error instanceof TidemarkError) return error;
  const found = levelCode(error);
  const options = { cause: error, data: { directory } };
  if (isFull(found)) return diskFull(directory, error);
  if (found.code === "LEVEL_LOCKED") {
    const what = `another process has ${directory} open: ask that one, or stop it, or name another data directory`;
    return new TidemarkError("LOG_LOCKED", what, options);
  }
  if (isDamage(error)) return storeDamaged(directory, found.message, error);
  const what = `${directory} can't be opened (${found.message}): check that it may be written, and the disk`;
  return new TidemarkError("CONFIGURATION", what, options);
}

export function storeDamaged(directory: string, reason: string, cause?: unknown): TidemarkError {
  const what =
    `the store in ${directory} is damaged and can't be opened (${reason}): move the directory away and restore a copy,` +
    " or start without it, and the peer sends what it holds";
  return new TidemarkError("SEGMENT_CORRUPT", what, { cause, data: { directory } });
}

export function storeKills(directory: string, file: string): TidemarkError {
  const what =
    `opening the store in ${directory} ends the process, also since it was rebuilt from what can be read: move the directory` +
    " away and restore a copy, or start without it, and the peer sends what it holds; where something else ended the" +
    ` process, delete ${file} and start again`;
  return new TidemarkError("SEGMENT_CORRUPT", what, { data: { directory, file } });
}

export function commitError(directory: string, error: unknown): TidemarkError {
  const found = levelCode(error);
  if (isFull(found)) return diskFull(directory, error);
  const what = `a commit to ${directory} failed (${found.message}): check the disk, then start again`;
  return new TidemarkError("LOG_COMMIT_FAILED", what, { cause: error, data: { directory } });
}

/** @returns the error itself when it is not LevelDB's. */
export function readError(directory: string, error: unknown): unknown {
  const found = levelCode(error);
  if (found.code.endsWith("NOT_OPEN")) return storeClosed(directory);
  if (!found.code.startsWith("LEVEL_")) return error;
  const what = `${directory} could not be read (${found.message}): check the disk, then try again`;
  return new TidemarkError("SEGMENT_CORRUPT", what, { cause: error, data: { directory } });
}

export function storeClosed(directory: string): TidemarkError {
  return new TidemarkError("LOG_CLOSED", `the store in ${directory} is closed: open it first`);
}
