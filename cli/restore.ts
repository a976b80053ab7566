/** Puts a backup where a process finds it: whole, or not at all. */
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BackupManifest, BackupPart, BackupRow } from "../core/backup.ts";
import { TidemarkError, hasCode } from "../core/errors.ts";
import { LevelStore } from "../core/store/level.ts";
import { fillStore } from "../core/store/level-rows.ts";
import { restoredVersions } from "../cloud/version-base.ts";
import { hasErrno, writeFileAtomically } from "../protocol/adapters/files.ts";
import { checkNodeName } from "../protocol/adapters/identity.ts";
import { backupParts } from "./backup-file.ts";

export interface RestoreOptions {
  readonly file: string;
  readonly dataDir: string;
  /** The node that it must be of; any side's, when undefined. */
  readonly node: string | undefined;
  /** Whether what is there already is put aside. */
  readonly force: boolean;
  /** Ms since the epoch. */
  readonly nowMs: number;
  /** Rows restored so far. */
  readonly onProgress: (rows: number) => void;
}

export interface Restored {
  readonly manifest: BackupManifest;
  readonly directory: string;
  /** Where what was there before is now. */
  readonly setAside: string | undefined;
  readonly rows: number;
}

/** @throws TidemarkError BACKUP_INVALID, FORMAT_NEWER, NODE_MISMATCH, CONFLICT when something is there, LOG_LOCKED */
export async function restore(options: RestoreOptions): Promise<Restored> {
  const { file, dataDir, nowMs } = options;
  const parts = backupParts(file);
  try {
    const manifest = (await parts.next()).value as BackupManifest;
    const directory = directoryOf(manifest, options);
    const isTaken = await isOccupied(directory, options);
    // In the data directory, so that it only needs another name in the end.
    const staging = join(dataDir, `.restoring-${process.pid}`);
    try {
      const rows = await fill(staging, manifest, parts, options);
      const setAside = isTaken ? await putAside(directory, dataDir, nowMs) : undefined;
      await mkdir(dirname(directory), { recursive: true, mode: 0o700 });
      await rename(staging, directory);
      return { manifest, directory, setAside, rows };
    } finally {
      await rm(staging, { recursive: true, force: true });
    }
  } finally {
    await parts.return(undefined);
  }
}

function directoryOf({ side, node }: BackupManifest, options: RestoreOptions): string {
  if (options.node !== undefined && options.node !== node) {
    throw new TidemarkError(
      "NODE_MISMATCH",
      `this is a backup of ${node === undefined ? "the cloud" : `the node ${node}`}, not of the node ${options.node}`,
      { data: { side, node, wanted: options.node } },
    );
  }
  if (node === undefined) return join(options.dataDir, "cloud");
  // It comes from a file: it must not lead anywhere else.
  checkNodeName(node);
  return join(options.dataDir, "edge", node);
}

/** @returns whether something is there, which may be put aside */
async function isOccupied(directory: string, { force }: RestoreOptions): Promise<boolean> {
  const names = await namesIn(directory);
  if (names.length === 0) return false;
  await refuseInUse(join(directory, "log"));
  if (force) return true;
  throw new TidemarkError(
    "CONFLICT",
    `${directory} is not empty: a backup is restored into an empty place. Name another --data-dir, or put what is there aside with --force (it is moved, not deleted)`,
    { data: { directory } },
  );
}

/** @throws LOG_LOCKED: whoever has it open would go on writing to files that are no longer there */
async function refuseInUse(log: string): Promise<void> {
  if (!(await namesIn(log)).includes("LOCK")) return;
  const store = new LevelStore(log);
  try {
    await store.open();
  } catch (error) {
    // What else keeps it from being opened may be why it is replaced.
    if (hasCode(error, "LOG_LOCKED")) throw error;
  } finally {
    await store.close();
  }
}

async function putAside(directory: string, dataDir: string, nowMs: number): Promise<string> {
  const name = directory.slice(dataDir.length + 1).replaceAll("/", "-");
  const aside = join(dataDir, "before-restore", `${name}-${nowMs}`);
  await mkdir(dirname(aside), { recursive: true, mode: 0o700 });
  await rename(directory, aside);
  return aside;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

async function fill(
  staging: string,
  { side }: BackupManifest,
  parts: AsyncIterable<BackupPart>,
  { nowMs, onProgress }: RestoreOptions,
): Promise<number> {
  await mkdir(join(staging, "pki"), { recursive: true, mode: 0o700 });
  const log = join(staging, "log");
  await mkdir(log, { mode: 0o700 });
  let count = 0;
  async function* rows(): AsyncGenerator<readonly BackupRow[]> {
    for await (const part of parts) {
      if (part.kind === "file") await placeFile(staging, part.path, part.bytes);
      if (part.kind !== "rows") continue;
      yield part.rows;
      onProgress((count += part.rows.length));
    }
  }
  await fillStore(log, rows(), side === "cloud" ? restoredVersions(nowMs) : new Map());
  // Of a newer version, it is to be known now.
  const store = new LevelStore(log);
  try {
    await store.open();
  } finally {
    await store.close();
  }
  return count;
}

async function placeFile(staging: string, path: string, bytes: Uint8Array): Promise<void> {
  // The only place where there are any: a path that leads elsewhere is not followed.
  if (!/^pki\/[a-zA-Z0-9_-][a-zA-Z0-9._-]*$/.test(path)) {
    throw new TidemarkError(
      "BACKUP_INVALID",
      `this backup names a file that is in none: ${JSON.stringify(path)}`,
    );
  }
  await writeFileAtomically(join(staging, path), bytes);
}
