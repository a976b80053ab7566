/**
 * The store in memory, on a disk that outlives it: what was synced survives a crash, and what was not vanishes, got
 * there unnoticed, or tears. For the simulator and for tests: same calls and same delays, same outcome.
 */
import { TidemarkError, assert } from "../errors.ts";
import type { Incarnation, LogId } from "../event.ts";
import type { Digest, Timers } from "../ports.ts";
import type { ReadRecord, Store, StoreBatch, StoredSegment } from "../store-port.ts";
import {
  type Contents,
  type Entry,
  applyWrite,
  copyOf,
  emptyContents,
  entriesFrom,
  lastEntry,
  replaceEntry,
  type Write,
} from "./memory-contents.ts";
import { decodeRecord, encodeRecord } from "./record.ts";

/** What a crash leaves of the batches that were not synced yet. */
export interface CrashFate {
  /** That many of them, oldest first, had reached the disk, although nobody was told. None unless said. */
  readonly reached?: number;
  /**
   * What the next one left. `discarded`: nothing, as LevelDB drops a torn batch whole. `damaged`: all of it, with its
   * last record cut short, as on a disk that lies about what it wrote.
   */
  readonly torn?: "discarded" | "damaged";
}

/** A copy of what a disk durably holds: a backup, or the image that a disk is cloned from. */
export interface DiskSnapshot {
  readonly contents: Contents;
}

/** Who has a disk open, and dies with its process. */
interface DiskHolder {
  die(): void;
}

export class MemoryDisk {
  /** While set, commits fail with DISK_FULL. */
  full = false;
  #contents: Contents;
  #unsynced: Write[] = [];
  #holder: DiskHolder | undefined;

  /** @param snapshot what it holds at first: a clone of another disk. Empty without one */
  constructor(snapshot?: DiskSnapshot) {
    this.#contents = snapshot === undefined ? emptyContents() : copyOf(snapshot.contents);
  }

  /** Batches that a crash now would catch before they are synced. */
  get unsynced(): number {
    return this.#unsynced.length;
  }

  /** The process dies: the store that has the disk open never answers again, and the lock is free. */
  crash(fate: CrashFate = {}): void {
    const { reached = 0, torn = "discarded" } = fate;
    const unsynced = this.#unsynced;
    this.#holder?.die();
    this.detach();
    for (const write of unsynced.slice(0, reached)) applyWrite(this.#contents, write);
    const next = unsynced[reached];
    if (next === undefined || torn === "discarded") return;
    applyWrite(this.#contents, next);
    const last = next.entries.at(-1);
    if (last?.record === undefined) return;
    const record = last.record.slice(0, Math.floor(last.record.length / 2));
    replaceEntry(this.#contents, last, { ...last, record });
  }

  /** A copy of what is durable now; also of a disk in use. */
  snapshot(): DiskSnapshot {
    return { contents: copyOf(this.#contents) };
  }

  /** Puts an earlier copy in place of all that is there. Nobody may have the disk open. */
  restore(snapshot: DiskSnapshot): void {
    assert(this.#holder === undefined, "a disk in use is not restored");
    this.#contents = copyOf(snapshot.contents);
  }

  /** Flips one bit in the middle of the record whose segment begins at `position`. */
  damage(log: LogId, position: number): void {
    const entry = this.#entryAt(log, position);
    assert(entry.record !== undefined, "a record that is lost is not damaged");
    const record = entry.record.slice();
    const middle = Math.floor(record.length / 2);
    record[middle] = (record[middle] ?? 0) ^ 1;
    replaceEntry(this.#contents, entry, { ...entry, record });
  }

  /** The record whose segment begins at `position` is gone; its index entry stands. */
  lose(log: LogId, position: number): void {
    const entry = this.#entryAt(log, position);
    replaceEntry(this.#contents, entry, { ...entry, record: undefined });
  }

  /** Record and index entry are gone without a word: what damage in LevelDB's own write-ahead log does. */
  forget(log: LogId, position: number): void {
    replaceEntry(this.#contents, this.#entryAt(log, position), undefined);
  }

  #entryAt(log: LogId, position: number): Entry {
    const [entry] = entriesFrom(this.#contents, log, undefined, position);
    assert(entry?.position === position, `a segment of ${log} begins at ${position}`);
    return entry;
  }

  /** For a store: takes the lock. @throws LOG_LOCKED */
  attach(holder: DiskHolder): Contents {
    if (this.#holder !== undefined) {
      throw new TidemarkError("LOG_LOCKED", "another store has this disk open: close that one first");
    }
    this.#holder = holder;
    return this.#contents;
  }

  /** For a store: gives the lock back; what is not synced is dropped. */
  detach(): void {
    this.#holder = undefined;
    this.#unsynced = [];
  }

  /** For a store: the batch is on its way, and a crash may catch it. */
  write(write: Write): void {
    this.#unsynced.push(write);
  }

  /** For a store: the oldest `count` batches are durable now. */
  sync(count: number): void {
    for (const write of this.#unsynced.splice(0, count)) applyWrite(this.#contents, write);
  }
}

export interface MemoryStoreOptions {
  readonly timers: Timers;
  readonly digest: Digest;
  /** How long the next sync takes, in ms. None unless said: still not in the turn of the commit. */
  readonly syncDelayMs?: () => number;
}

interface Pending {
  readonly resolve: () => void;
  readonly reject: (error: TidemarkError) => void;
}

export class MemoryStore implements Store {
  readonly disk: MemoryDisk;
  readonly #timers: Timers;
  readonly #digest: Digest;
  readonly #syncDelayMs: () => number;
  #contents: Contents | undefined;
  /** Commits not acknowledged yet, in the order of the disk's unsynced batches. */
  #pending: Pending[] = [];
  /** Settles with the newest commit; never rejects. */
  #committed: Promise<unknown> = Promise.resolve();
  #cancelSync: (() => void) | undefined;
  #closing = false;
  #dead = false;
  #failure: TidemarkError | undefined;

  constructor(disk: MemoryDisk, options: MemoryStoreOptions) {
    this.disk = disk;
    this.#timers = options.timers;
    this.#digest = options.digest;
    this.#syncDelayMs = options.syncDelayMs ?? ((): number => 0);
  }

  /** @throws LOG_LOCKED; LOG_CLOSED when the disk crashed under this store: make a new one */
  async open(): Promise<void> {
    if (this.#dead) throw closed();
    if (this.#closing) await this.close();
    if (this.#contents !== undefined) return;
    this.#contents = this.disk.attach({ die: () => this.#die() });
    this.#failure = undefined;
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#committed;
    if (this.#contents !== undefined) this.disk.detach();
    this.#contents = undefined;
    this.#closing = false;
  }

  /** A dead process hears nothing: what it waited for never comes. */
  #die(): void {
    this.#dead = true;
    this.#contents = undefined;
    this.#cancelSync?.();
    this.#pending = [];
    this.#committed = Promise.resolve();
  }

  async commit(batch: StoreBatch): Promise<void> {
    this.#opened();
    if (this.#closing) throw closed();
    if (this.#failure !== undefined) throw this.#failure;
    this.disk.write({
      entries: batch.segments.map((stored) => this.#entryOf(stored)),
      values: [...(batch.values ?? [])].map(([name, value]) => [name, value?.slice()]),
      remove: [...(batch.remove ?? [])],
    });
    const done = new Promise<void>((resolve, reject) => {
      this.#pending.push({ resolve, reject });
    });
    this.#committed = done.catch(() => undefined);
    if (this.#cancelSync === undefined) this.#sync();
    await done;
  }

  /** All that waits goes to the disk; what comes meanwhile is the next sync's. */
  #sync(): void {
    const count = this.#pending.length;
    this.#cancelSync = this.#timers.after(this.#syncDelayMs(), () => {
      this.#cancelSync = undefined;
      if (this.disk.full) {
        this.#fail(
          new TidemarkError("DISK_FULL", "there is no room left on the disk: make some, then start again"),
        );
        return;
      }
      this.disk.sync(count);
      for (const { resolve } of this.#pending.splice(0, count)) resolve();
      if (this.#pending.length > 0) this.#sync();
    });
  }

  #fail(failure: TidemarkError): void {
    this.#failure = failure;
    for (const { reject } of this.#pending.splice(0)) reject(failure);
  }

  #entryOf(stored: StoredSegment): Entry {
    const { log, origin, lo, count, position, segment } = stored;
    const record = encodeRecord(recordKey(stored), stored, this.#digest);
    return { log, origin, lo, count, position, sizeBytes: segment.length, record };
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    return this.#opened().values.get(name)?.slice();
  }

  async names(prefix: string): Promise<string[]> {
    return [...this.#opened().values.keys()].filter((name) => name.startsWith(prefix)).sort();
  }

  async logs(): Promise<LogId[]> {
    return [...this.#opened().shelves.keys()].sort();
  }

  async read(log: LogId, position: number, maxBytes: number): Promise<ReadRecord[]> {
    return this.#records(entriesFrom(this.#opened(), log, undefined, position), maxBytes);
  }

  async readOrigin(log: LogId, origin: Incarnation, seq: number, maxBytes: number): Promise<ReadRecord[]> {
    return this.#records(entriesFrom(this.#opened(), log, origin, seq), maxBytes);
  }

  async last(log: LogId): Promise<ReadRecord | undefined> {
    const entry = lastEntry(this.#opened(), log);
    return entry && this.#recordOf(entry);
  }

  async sizeBytes(): Promise<number> {
    const { shelves, values } = this.#opened();
    let total = 0;
    for (const { byPosition } of shelves.values()) {
      for (const { record } of byPosition) total += record?.length ?? 0;
    }
    for (const value of values.values()) total += value.length;
    return total;
  }

  #records(entries: Iterable<Entry>, maxBytes: number): ReadRecord[] {
    const records: ReadRecord[] = [];
    let sizeBytes = 0;
    for (const entry of entries) {
      sizeBytes += entry.sizeBytes;
      if (records.length > 0 && sizeBytes > maxBytes) break;
      records.push(this.#recordOf(entry));
    }
    return records;
  }

  #recordOf(entry: Entry): ReadRecord {
    const { log, origin, lo, count, position, record } = entry;
    // A copy: what a reader does with its bytes is nothing to the disk.
    const stored = record && decodeRecord(recordKey(entry), record.slice(), this.#digest);
    return stored ?? { log, origin, lo, count, position, segment: undefined };
  }

  #opened(): Contents {
    if (this.#contents === undefined) throw closed();
    return this.#contents;
  }
}

function recordKey({ log, position }: { readonly log: LogId; readonly position: number }): string {
  return `${log}!${position}`;
}

function closed(): TidemarkError {
  return new TidemarkError("LOG_CLOSED", "the store is closed: open it first");
}
