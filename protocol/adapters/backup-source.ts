import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { type BackupContents, type BackupFile, type BackupManifest, writeBackup } from "../../core/backup.ts";
import type { Digest } from "../../core/ports.ts";
import { hasErrno } from "./files.ts";

export interface BackupSource {
  readonly manifest: BackupManifest;
  /** The process's own: its store is in `log`, its certificates and keys are in `pki`. */
  readonly directory: string;
  readonly store: { rows(): BackupContents["rows"] };
  readonly digest: Digest;
}

/** The bytes of a backup: of the store at the moment when reading begins, and of the certificates and keys then. */
export async function* backupOf(source: BackupSource): AsyncGenerator<Uint8Array> {
  const { manifest, directory, store, digest } = source;
  const files = await pkiFiles(directory);
  yield* writeBackup({ manifest, files, rows: store.rows() }, digest);
}

async function pkiFiles(directory: string): Promise<BackupFile[]> {
  const files: BackupFile[] = [];
  for (const name of await namesIn(join(directory, "pki"))) {
    files.push({ path: `pki/${name}`, bytes: await readFile(join(directory, "pki", name)) });
  }
  return files;
}

/** Regular files; those that are being written begin with a dot. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile() && !entry.name.startsWith(".")).map(({ name }) => name);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}
