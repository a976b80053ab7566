/** The disk that a directory is on, and the reserve that a process keeps on it. */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Disk, DiskSpace, Logger, Reserve } from "../../core/ports.ts";
import { hasErrno } from "./files.ts";

/** The disk of a directory that is there. */
export function diskOf(directory: string): Disk {
  return {
    async space(): Promise<DiskSpace> {
      const { bavail, blocks, bsize } = await statfs(directory);
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
    },
  };
}

/** LevelDB opens and compacts with less. */
const reserveBytesDefault: number = 32 * 1024 * 1024;
const pieceBytes = 1024 * 1024;

/** A process that can't begin for a full disk begins with what the reserve takes. */
export async function giveUpReserve(directory: string, logger: Logger): Promise<void> {
  const wasThere = await new ReserveFile(directory).giveUp();
  if (wasThere) logger.log("warn", "the reserve was given up, so that the log can be opened", { directory });
}

/** The file `reserve` in a process's directory. */
export class ReserveFile implements Reserve {
  readonly path: string;
  readonly sizeBytes: number;
  #writing: Promise<void> | undefined;
  #isStopped = false;

  constructor(directory: string, sizeBytes: number = reserveBytesDefault) {
    this.path = join(directory, "reserve");
    this.sizeBytes = sizeBytes;
  }

  async isKept(): Promise<boolean> {
    return (await this.#size()) === this.sizeBytes;
  }

  async #size(): Promise<number> {
    try {
      return (await stat(this.path)).size;
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return 0;
      throw error;
    }
  }

  keep(): Promise<void> {
    this.#isStopped = false;
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
    return this.#writing;
  }

  async #write(): Promise<void> {
    try {
      const file = await open(this.path, "w", 0o600);
      try {
        await this.#fill(file);
      } finally {
        await file.close();
      }
    } catch (error) {
      // Half a reserve is none, and takes room.
      await rm(this.path, { force: true });
      throw error;
    }
  }

  async #fill(file: FileHandle): Promise<void> {
    // Neither a hole in the file, nor what a file system that compresses makes small.
    const piece = randomBytes(Math.min(pieceBytes, this.sizeBytes));
    for (let left = this.sizeBytes; left > 0; left -= piece.length) {
      if (this.#isStopped) throw new Error("it was stopped");
      await file.writeFile(piece.subarray(0, left));
    }
    await file.sync();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#writing?.catch(() => undefined);
  }

  async giveUp(): Promise<boolean> {
    await this.stop();
    const wasThere = (await this.#size()) > 0;
    await rm(this.path, { force: true });
    return wasThere;
  }
}
