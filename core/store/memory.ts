/**
 * The store in memory, on a disk that outlives it: what was synced survives a crash, and what was not vanishes, got
 * there unnoticed, or tears. For the simulator and for tests: same calls and same delays, same outcome.
 */
import { TidemarkError, assert } from "../errors.ts";
import type { Incarnation, LogId } from "../event.ts";
import type { Digest, Timers } from "../ports.ts";
import type {
  LogShape,
  NamedValue,
  Page,
  ReadRecord,
  Store,
  StoreBatch,
  StoredBlock,
  StoredSegment,
} from "../store-port.ts";
import {
  type Contents,
  type Entry,
  applyWrite,
  copyOf,
  emptyContents,
  blockEntry,
  lastEntry,
  memoryBlockQuality,
  placesFrom,
  recordKey,
  replaceEntry,
  type Write,
} from "./memory-contents.ts";
import { type Part, checkBlock } from "./block.ts";
import { decodeBlockRecord, packBlockSync } from "./block-record.ts";
import { decodeRecord, encodeRecord } from "./record.ts";
import { damagedRuns } from "./runs.ts";
import { addToShape, emptyShape } from "./shape.ts";

/** What a crash leaves of the batches that were not synced yet. */
export interface CrashFate {
  /** That many of them, oldest first, had reached the disk, although nobody was told. None unless said. */
  readonly reached?: number;
  /**
   * What the next one left. `discarded`: nothing, as LevelDB drops a torn batch whole. `damaged`: all of it, with its
   * last record cut short, as on a disk that lies about what it wrote. Where that record was to take the place of what
   * is durable, nothing all the same: LevelDB takes out no row in a batch that it did not get whole.
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
    const last = next.entries.at(-1);
    // What was promised of what is durable no crash takes back; `damage`, `lose` and `forget` do.
    if (last?.isBlock === true || next.remove.length > 0) return;
    applyWrite(this.#contents, next);
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

  /**
   * Changes the byte in the middle of the record whose segment begins at `position`, or of the block that holds it.
   * What is damaged twice is not as it was before.
   */
  damage(log: LogId, position: number): void {
    const entry = this.#entryAt(log, position);
    assert(entry.record !== undefined, "a record that is lost is not damaged");
    const record = entry.record.slice();
    const middle = Math.floor(record.length / 2);
    record[middle] = (record[middle] ?? 0) + 1;
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
    const [place] = placesFrom(this.#contents, log, undefined, position);
    const isThere =
      place !== undefined && place.at <= position && (place.entry.isBlock || place.at === position);
    assert(isThere, `a segment of ${log} begins at ${position}`);
    return place.entry;
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
    const blocks = batch.blocks ?? [];
    for (const block of blocks) checkBlock(block);
    await this.#write({
      entries: [
        ...blocks.map(({ log, members }: StoredBlock) => blockEntry(log, members, this.#digest)),
        ...batch.segments.map((stored) => this.#entryOf(stored)),
      ],
      values: [...(batch.values ?? [])].map(([name, value]) => [name, value?.slice()]),
      remove: [...(batch.remove ?? [])],
    });
  }

  erase(log: LogId): Promise<void> {
    return this.#write({ entries: [], values: [], remove: [], erase: log });
  }

  /** Damage does not spread here. */
  async suspect(): Promise<void> {}

  async #write(write: Omit<Write, "digest">): Promise<void> {
    this.#opened();
    if (this.#closing) throw closed();
    if (this.#failure !== undefined) throw this.#failure;
    this.disk.write({ ...write, digest: this.#digest });
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
    const runs = [{ origin, lo, count, position }];
    return { log, runs, isBlock: false, count, position, sizeBytes: segment.length, record };
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    return this.#opened().values.get(name)?.slice();
  }

  async names(prefix: string, { after, max }: Page = { after: "", max: Infinity }): Promise<string[]> {
    const names = [...this.#opened().values.keys()].filter((name) => name.startsWith(prefix)).sort();
    return names.filter((name) => name > after).slice(0, max);
  }

  async floor(prefix: string, name: string): Promise<NamedValue | undefined> {
    let found: string | undefined;
    const { values } = this.#opened();
    for (const each of values.keys()) {
      if (each.startsWith(prefix) && each <= name && (found === undefined || each > found)) found = each;
    }
    const value = found === undefined ? undefined : values.get(found);
    return found === undefined || value === undefined ? undefined : { name: found, value: value.slice() };
  }

  async logs(): Promise<LogId[]> {
    return [...this.#opened().shelves.keys()].sort();
  }

  async read(log: LogId, position: number, maxBytes: number): Promise<ReadRecord[]> {
    return this.#records(log, undefined, position, maxBytes);
  }

  async readOrigin(log: LogId, origin: Incarnation, seq: number, maxBytes: number): Promise<ReadRecord[]> {
    return this.#records(log, origin, seq, maxBytes);
  }

  async last(log: LogId): Promise<ReadRecord | undefined> {
    const entry = lastEntry(this.#opened(), log);
    return entry && this.#records(log, undefined, entry.position + entry.count - 1, 1)[0];
  }

  async shape(log: LogId): Promise<LogShape> {
    const shape = emptyShape();
    for (const { entry } of placesFrom(this.#opened(), log, undefined, 0)) {
      const { count, sizeBytes, isBlock, runs, record } = entry;
      const packedBytes = isBlock ? (record?.length ?? 0) : 0;
      addToShape(shape, { count, sizeBytes, packedBytes, runs: isBlock ? runs : undefined });
    }
    return shape;
  }

  async reclaim(): Promise<void> {
    this.#opened();
  }

  async pack(members: readonly StoredSegment[]): Promise<Uint8Array> {
    return packBlockSync(members, this.#digest, memoryBlockQuality);
  }

  async sizeBytes(): Promise<number> {
    const { shelves, values } = this.#opened();
    let total = 0;
    for (const { byPosition } of shelves.values()) {
      for (const { entry } of byPosition) total += entry.record?.length ?? 0;
    }
    for (const value of values.values()) total += value.length;
    return total;
  }

  #records(log: LogId, origin: Incarnation | undefined, number: number, maxBytes: number): ReadRecord[] {
    const records: ReadRecord[] = [];
    let sizeBytes = 0;
    // What came again, because it was damaged, lies also where it was: each sequence is had once.
    let next = 0;
    for (const { at, count, entry } of placesFrom(this.#opened(), log, origin, number)) {
      const found = entry.isBlock
        ? this.#membersOf(entry, { origin, at, count }, number)
        : [this.#recordOf(entry)];
      for (const record of found) {
        if (origin !== undefined && (record.lo ?? next) < next) continue;
        sizeBytes += record.segment?.length ?? (entry.isBlock ? 0 : entry.sizeBytes);
        if (records.length > 0 && sizeBytes > maxBytes) return records;
        records.push(record);
        if (origin !== undefined && record.segment !== undefined) next = record.lo + record.count;
      }
    }
    return records;
  }

  #membersOf(entry: Entry, part: Part, number: number): ReadRecord[] {
    const { log, runs, record } = entry;
    const { origin, at, count } = part;
    const block = record && decodeBlockRecord(recordKey(entry), record, this.#digest);
    if (block !== undefined)
      return Array.from(block.membersFrom(part, number), (member) => block.stored(member));
    const all = damagedRuns(log, runs, origin, number);
    return origin === undefined ? all : all.filter(({ lo = at }) => lo < at + count);
  }

  #recordOf(entry: Entry): ReadRecord {
    const { log, runs, count, position, record } = entry;
    // A copy: what a reader does with its bytes is nothing to the disk.
    const stored = record && decodeRecord(recordKey(entry), record.slice(), this.#digest);
    const [run] = runs;
    return stored ?? { log, origin: run?.origin, lo: run?.lo, count, position, segment: undefined };
  }

  #opened(): Contents {
    if (this.#contents === undefined) throw closed();
    return this.#contents;
  }
}

function closed(): TidemarkError {
  return new TidemarkError("LOG_CLOSED", "the store is closed: open it first");
}
