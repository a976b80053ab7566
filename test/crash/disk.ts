/** A small file system of a process's own, that can be filled and freed. */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../core/errors.ts";
import { hasErrno } from "../../protocol/adapters/files.ts";

export interface Disk {
  /** Takes all that is left of it. */
  fill(): Promise<void>;
  free(): Promise<void>;
  release(): void;
}

/** Mounts one at `directory`. @returns why not, where the system does not let us */
export function mountDisk(directory: string, bytes: number): Disk | string {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    const options = ["-t", "tmpfs", "-o", `size=${bytes},mode=700`];
    execFileSync("mount", [...options, "tmpfs", directory], { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    return `mounting a small file system is not allowed here (${messageOf(error).split("\n").at(-1)?.trim() ?? ""})`;
  }
  const filler = join(directory, "filler");
  return {
    async fill() {
      const file = await open(filler, "w");
      try {
        // The last of it in small pieces, so that not even a small file finds room.
        for (const pieceBytes of [1024 * 1024, 4096]) await writeUntilFull(file, Buffer.alloc(pieceBytes));
      } finally {
        await file.close();
      }
    },
    free: () => rm(filler, { force: true }),
    release() {
      execFileSync("umount", ["-l", directory]);
    },
  };
}

async function writeUntilFull(file: FileHandle, piece: Buffer): Promise<void> {
  try {
    for (;;) await file.write(piece);
  } catch (error) {
    if (!hasErrno(error, "ENOSPC")) throw error;
  }
}
