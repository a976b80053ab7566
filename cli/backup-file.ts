import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type BackupManifest, type BackupPart, readBackup } from "../core/backup.ts";
import { TidemarkError, messageOf } from "../core/errors.ts";
import { nodeDigest } from "../core/store/node-digest.ts";
import { hasErrno } from "../protocol/adapters/files.ts";

export interface BackupSummary {
  readonly manifest: BackupManifest;
  readonly files: number;
  readonly rows: number;
  readonly sizeBytes: number;
}

/**
 * Writes a backup to a file that only its owner may read, whole or not at all, and reads it again.
 * @param onProgress bytes written so far
 */
export async function writeBackupFile(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
  onProgress: (bytes: number) => void,
): Promise<BackupSummary> {
  const temporary = join(dirname(path), `.${basename(path)}.tmp`);
  try {
    await rm(temporary, { force: true });
    const sizeBytes = await writeAll(temporary, bytes, onProgress);
    const summary = await summaryOf(temporary);
    await rename(temporary, path);
    return { ...summary, sizeBytes };
  } catch (error) {
    await rm(temporary, { force: true });
    throw fileError(path, error);
  }
}

async function writeAll(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
  onProgress: (bytes: number) => void,
): Promise<number> {
  const file: FileHandle = await open(path, "wx", 0o600);
  let sizeBytes = 0;
  try {
    for await (const chunk of bytes) {
      await file.writeFile(chunk);
      onProgress((sizeBytes += chunk.length));
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return sizeBytes;
}

async function summaryOf(path: string): Promise<Omit<BackupSummary, "sizeBytes">> {
  let manifest: BackupManifest | undefined;
  let end = { files: 0, rows: 0 };
  for await (const part of backupParts(path)) {
    if (part.kind === "manifest") manifest = part;
    if (part.kind === "end") end = part;
  }
  return { manifest: manifest as BackupManifest, files: end.files, rows: end.rows };
}

/** What a file holds. @throws TidemarkError NOT_FOUND, BACKUP_INVALID, FORMAT_NEWER */
export async function* backupParts(path: string): AsyncGenerator<BackupPart> {
  try {
    yield* readBackup(createReadStream(path, { highWaterMark: 1024 * 1024 }), nodeDigest);
  } catch (error) {
    throw fileError(path, error);
  }
}

function fileError(path: string, error: unknown): unknown {
  if (error instanceof TidemarkError) return error;
  if (hasErrno(error, "ENOSPC")) {
    return new TidemarkError("DISK_FULL", `there is no room left for ${path}`, { cause: error });
  }
  if (hasErrno(error, "ENOENT")) {
    return new TidemarkError("NOT_FOUND", `there is no ${path}`, { cause: error });
  }
  return new TidemarkError("CONFIGURATION", `${path} can't be used: ${messageOf(error)}`, { cause: error });
}
