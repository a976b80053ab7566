/** A small file system of a process's own, that can be filled and freed. */
import { execFileSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../core/errors.ts";
import { hasErrno } from "../../protocol/adapters/files.ts";

export interface Disk {
  /** Takes all that is left of it but so many bytes. */
  fill(leftBytes: number): void;
  free(): void;
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
    fill(leftBytes) {
      const file = openSync(filler, "w");
      try {
        // The last of it in small pieces, so that not even a small file finds room.
        const taken =
          writeUntilFull(file, Buffer.alloc(1024 * 1024)) + writeUntilFull(file, Buffer.alloc(4096));
        ftruncateSync(file, Math.max(0, taken - leftBytes));
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(filler, { force: true }),
    release() {
      execFileSync("umount", ["-l", directory]);
    },
  };
}

/** @returns how many bytes that were */
function writeUntilFull(file: number, piece: Buffer): number {
  let taken = 0;
  try {
    for (;;) taken += writeSync(file, piece);
  } catch (error) {
    if (!hasErrno(error, "ENOSPC")) throw error;
    return taken;
  }
}
