import { TidemarkError } from "../../core/errors.ts";
import { type MemoryDisk, MemoryStore, type MemoryStoreOptions } from "../../core/store/memory.ts";
import type { Incarnation, LogId } from "../../core/event.ts";
import type { ReadRecord } from "../../core/store-port.ts";

export interface SlowStoreOptions extends MemoryStoreOptions {
  /** How long the next read takes, in ms; undefined: no time at all. */
  readonly readDelayMs: () => number | undefined;
}

/** A store whose reads take time, so that other things happen between them: while a log opens, above all. */
export class SlowStore extends MemoryStore {
  readonly #options: SlowStoreOptions;
  #reading: Promise<void> = Promise.resolve();

  constructor(disk: MemoryDisk, options: SlowStoreOptions) {
    super(disk, options);
    this.#options = options;
  }

  /** As LevelDB, which does not open where it can't write. */
  override async open(): Promise<void> {
    if (this.disk.full) throw new TidemarkError("DISK_FULL", "there is no room left on the disk");
    await super.open();
  }

  async #pause(): Promise<void> {
    const { readDelayMs, timers } = this.#options;
    const delayMs = readDelayMs();
    if (delayMs === undefined) return;
    const read = new Promise<void>((resolve) => {
      timers.after(delayMs, resolve);
    });
    this.#reading = Promise.all([this.#reading, read]).then(() => undefined);
    await read;
  }

  /** As LevelDB does, once the reads that are under way are done. */
  override async close(): Promise<void> {
    await this.#reading;
    await super.close();
  }

  override async get(name: string): Promise<Uint8Array | undefined> {
    await this.#pause();
    return super.get(name);
  }

  override async read(log: LogId, position: number, maxBytes: number): Promise<ReadRecord[]> {
    await this.#pause();
    return super.read(log, position, maxBytes);
  }

  override async readOrigin(
    log: LogId,
    origin: Incarnation,
    seq: number,
    maxBytes: number,
  ): Promise<ReadRecord[]> {
    await this.#pause();
    return super.readOrigin(log, origin, seq, maxBytes);
  }
}
