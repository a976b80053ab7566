/**
 * The store on LevelDB. One directory holds the segments of many logs: bodies in the order of their arrival, and small
 * indexes that say where a position or a sequence is (`level-keys.ts`, `record.ts`, `docs/log-format.md`).
 *
 * Nothing LevelDB returns is believed before its seal fits: it skips damage in its write-ahead log without a word, and
 * does not look at the checksums of its tables when it reads them.
 */
import { access, mkdir, readdir } from "node:fs/promises";
import { Level } from "level";
import { TidemarkError, hasCode } from "../errors.ts";
import type { Incarnation, LogId } from "../event.ts";
import type {
  LogShape,
  NamedValue,
  Page,
  ReadRecord,
  Store,
  StoreBatch,
  StoredSegment,
} from "../store-port.ts";
import { damageNoted, noteDamage, rebuild, rebuiltFor, undoRename } from "./level-rebuild.ts";
import { beginOpening, endOpening, type Opening, undoOpening } from "./opening.ts";
import { salvage } from "./salvage.ts";
import {
  commitError,
  isCorrupt,
  isDamage,
  openError,
  readError,
  reasonOf,
  storeClosed,
  storeDamaged,
} from "./level-errors.ts";
import {
  logOf,
  originPrefix,
  positionPrefix,
  positionsPrefix,
  rangeOf,
  valuesPrefix,
  versionKey,
} from "./level-keys.ts";
import {
  type Database,
  type Row,
  type Index,
  type View,
  firstRow,
  foundIn,
  newestArrival,
  recordsFrom,
  rowsOf,
  undamaged,
} from "./level-read.ts";
import { packBlock } from "./block-record.ts";
import { BlockCache } from "./block-cache.ts";
import { checkBlock } from "./block.ts";
import { DirectorySize } from "./directory-size.ts";
import { shapeOf } from "./level-shape.ts";
import { BatchWriter, blockQuality } from "./level-write.ts";
import { allRows, beginErasing, compact, eraseLog, erasingLogs } from "./level-rows.ts";
import { nodeDigest } from "./node-digest.ts";
import { decodeEntry, seal, unseal } from "./record.ts";

/** 1: segments; 2: blocks too. A store becomes the second with its first block. */
export const storeVersion = 2;
const storeVersionFirst = 1;

/** Commits wait here up to this many bytes of segments; one beyond it is refused with LOG_OVERLOADED. */
const maxWaitingBytes = 64 * 1024 * 1024;

export interface LevelStoreOptions {
  /**
   * Does not wait for the disk: a commit is told as done when the operating system has it. What was acknowledged in
   * the seconds before a power cut is then lost, and the peer was told otherwise. For throw-away data only.
   */
  readonly unsafeNoSync?: boolean;
}

export class LevelStore implements Store {
  readonly directory: string;
  /** Whether damage was found since it was made: to be closed, and opened again. */
  isSuspect = false;
  /** Why it was made anew of what could be read, where that was done when it was opened. */
  salvagedFor: string | undefined;
  #rebuiltFor: ReadonlySet<string> = new Set();
  /** Whether it can be rebuilt. */
  #hasRoom = true;
  readonly #sync: boolean;
  #database: Database | undefined;
  /** Opening and closing take turns. */
  #turn: Promise<void> = Promise.resolve();
  #closing = false;
  readonly #blocks = new BlockCache();
  readonly #size: DirectorySize;
  #nextArrival = 1;
  #waitingBytes = 0;
  /** Settles with the newest commit; never rejects. */
  #committed: Promise<void> = Promise.resolve();
  /** Of the first commit that failed: LevelDB's errors are sticky, and what came after it would leave a hole. */
  #failure: TidemarkError | undefined;

  /** @param directory made, for this user only, when it is not there */
  constructor(directory: string, options: LevelStoreOptions = {}) {
    this.directory = directory;
    this.#size = new DirectorySize(directory);
    this.#sync = options.unsafeNoSync !== true;
  }

  /** Idempotent. @throws LOG_LOCKED, FORMAT_NEWER, DISK_FULL, SEGMENT_CORRUPT, CONFIGURATION */
  open(): Promise<void> {
    return this.#inTurn(() => this.#open());
  }

  close(): Promise<void> {
    this.#closing = true;
    return this.#inTurn(async () => {
      await this.#committed;
      const database = this.#database;
      this.#database = undefined;
      await database?.close();
      if (database !== undefined) await endOpening(this.directory);
    });
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(step);
    // Whoever called is told; the next in turn only needs to know that it is its turn.
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #open(): Promise<void> {
    if (this.#database !== undefined) return;
    let opening: Opening | undefined;
    this.salvagedFor = undefined;
    try {
      await access(this.directory).catch(() => undoRename(this.directory));
      await mkdir(this.directory, { recursive: true, mode: 0o700 });
      await this.#refuseHeadless();
      opening = await beginOpening(this.directory);
      this.#database = await this.#openSoundly(opening);
    } catch (error) {
      const told = openError(this.directory, error);
      // What was to be done before it is opened, and could not be, is to be done all the same.
      const isUndone = opening?.isDeadly === true && this.salvagedFor === undefined;
      if (opening !== undefined && (isUndone || told.code === "LOG_LOCKED"))
        await undoOpening(this.directory, opening);
      else if (opening !== undefined) await endOpening(this.directory);
      throw told;
    }
    this.#blocks.clear();
    this.isSuspect = false;
    this.#failure = undefined;
    this.#closing = false;
  }

  /** What LevelDB can't open is made anew of what can be read. */
  async #openSoundly({ isDeadly }: Opening): Promise<Database> {
    if (isDeadly) await this.#salvage("opening it has ended the process again and again");
    try {
      return await this.#openDatabase();
    } catch (error) {
      if (isDeadly || !isCorrupt(error)) throw error;
      await this.#salvage(reasonOf(error));
      return this.#openDatabase();
    }
  }

  async #salvage(why: string): Promise<void> {
    await salvage(this.directory, `opening: ${why}`);
    this.salvagedFor = why;
  }

  async #openDatabase(): Promise<Database> {
    const findings = await damageNoted(this.directory);
    if (findings.length > 0) await this.#rebuild(findings);
    const database: Database = new Level(this.directory, { keyEncoding: "utf8", valueEncoding: "view" });
    try {
      await database.open();
      await this.#checkVersion(database);
      for (const log of await erasingLogs(database)) await eraseLog(database, log);
      this.#nextArrival = (await newestArrival(database)) + 1;
      this.#rebuiltFor = await rebuiltFor(database);
      return database;
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  /** Where there is no room for a second one, the damaged one has to do. */
  async #rebuild(findings: readonly string[]): Promise<void> {
    try {
      await rebuild(this.directory, findings);
    } catch (error) {
      if (!hasCode(openError(this.directory, error), "DISK_FULL")) throw error;
      this.#hasRoom = false;
    }
  }

  async suspect(finding: string): Promise<void> {
    if (this.#rebuiltFor.has(finding)) return;
    this.isSuspect = true;
    await noteDamage(this.directory, finding);
    const what = `damage was found in ${this.directory}: it is rebuilt when it is opened again`;
    if (this.#hasRoom) this.#failure ??= new TidemarkError("LOG_COMMIT_FAILED", what);
  }

  /** Where CURRENT is missing LevelDB starts an empty store, and deletes the tables that are there. */
  async #refuseHeadless(): Promise<void> {
    const names = await readdir(this.directory);
    const holdsData = names.some((name) => /^MANIFEST-|\.ldb$|\.sst$/.test(name));
    if (holdsData && !names.includes("CURRENT"))
      throw storeDamaged(this.directory, "the file CURRENT is missing");
  }

  async #checkVersion(database: Database): Promise<void> {
    const sealed = await undamaged(() => database.get(versionKey));
    const version = sealed && unseal(versionKey, sealed, nodeDigest)?.[0];
    if (version === undefined) {
      // A new store, or one that lost this value to damage: records carry a version of their own.
      const first = seal(versionKey, Uint8Array.of(storeVersionFirst), nodeDigest);
      await database.put(versionKey, first, { sync: this.#sync });
    } else if (version > storeVersion) {
      const what =
        `${this.directory} was written in store format ${version}, and this version of Tidemark knows ${storeVersion}:` +
        " use the newer Tidemark, or another data directory";
      throw new TidemarkError("FORMAT_NEWER", what, { data: { version, known: storeVersion } });
    }
  }

  /** Also LOG_OVERLOADED, where more is waiting than the queue holds, and LOG_CLOSED: nothing of it was taken. */
  async commit(batch: StoreBatch): Promise<void> {
    const database = this.#opened();
    if (this.#closing) throw storeClosed(this.directory);
    if (this.#failure !== undefined) throw this.#failure;
    let sizeBytes = 0;
    const blocks = batch.blocks ?? [];
    // What can't be written is refused here: later it would count as a failure of the disk.
    for (const block of blocks) checkBlock(block);
    for (const { log, segment } of [...batch.segments, ...blocks.flatMap(({ members }) => members)]) {
      positionPrefix(log);
      sizeBytes += segment.length;
    }
    if (this.#waitingBytes > 0 && this.#waitingBytes + sizeBytes > maxWaitingBytes) {
      throw new TidemarkError("LOG_OVERLOADED", `the disk of ${this.directory} does not keep up: send less`);
    }
    this.#waitingBytes += sizeBytes;
    const done = this.#committed.then(() => this.#write(database, batch));
    const settled = (): void => {
      this.#waitingBytes -= sizeBytes;
    };
    this.#committed = done.then(settled, settled);
    await done;
  }

  async #write(database: Database, batch: StoreBatch): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      const writer = new BatchWriter({ database, blocks: this.#blocks }, () => this.#nextArrival++);
      await writer.takeOut(batch);
      for (const segment of batch.segments) writer.place(segment);
      for (const block of batch.blocks ?? []) writer.placeBlock(block);
      if ((batch.blocks ?? []).length > 0) writer.version(storeVersion);
      for (const [name, value] of batch.values ?? []) writer.value(name, value);
      // A chained batch: an array of operations costs two to five times as much.
      const chained = database.batch();
      for (const key of writer.deleted) chained.del(key);
      for (const [key, value] of writer.rows) chained.put(key, value);
      await chained.write({ sync: this.#sync });
    } catch (error) {
      this.#failure = commitError(this.directory, error);
      // What LevelDB could not compact it can't compact the next time either.
      if (isDamage(error)) await noteDamage(this.directory, this.#failure.message);
      throw this.#failure;
    }
  }

  /** @throws SEGMENT_CORRUPT when the value is there, and damaged; where LevelDB can't read it, the store is rebuilt next */
  async get(name: string): Promise<Uint8Array | undefined> {
    const key = valuesPrefix + name;
    const sealed = await this.#opened()
      .get(key)
      .catch(async (error: unknown) => {
        if (isDamage(error)) await this.suspect(`value ${name}`);
        throw readError(this.directory, error);
      });
    if (sealed === undefined) return undefined;
    const value = unseal(key, sealed, nodeDigest);
    if (value !== undefined) return value;
    throw this.#unlike(name);
  }

  #unlike(name: string): TidemarkError {
    const what = `the value ${name} in ${this.directory} does not match its checksum: it has to be derived again`;
    return new TidemarkError("SEGMENT_CORRUPT", what, { data: { directory: this.directory, name } });
  }

  names(prefix: string, { after, max }: Page = { after: "", max: Infinity }): Promise<string[]> {
    return this.#atOneMoment(async (view) => {
      const from = after > prefix ? `${after}\0` : prefix;
      const range = { gte: valuesPrefix + from, lt: rangeOf(valuesPrefix).lt };
      const names: string[] = [];
      for await (const rows of rowsOf(range, view)) {
        for (const [key] of rows) {
          const name = key.slice(valuesPrefix.length);
          if (!name.startsWith(prefix) || names.length >= max) return names;
          names.push(name);
        }
      }
      return names;
    });
  }

  /** @throws SEGMENT_CORRUPT when the value is there, and damaged: the one before it would tell of another time */
  floor(prefix: string, name: string): Promise<NamedValue | undefined> {
    return this.#atOneMoment(async (view) => {
      const gte = valuesPrefix + prefix;
      const range = { gte, lte: valuesPrefix + name, reverse: true };
      const row = await firstRow(range, view).catch(async (error: unknown) => {
        if (isDamage(error)) await this.suspect(`values ${prefix}`);
        throw error;
      });
      if (row === undefined || !row[0].startsWith(gte)) return undefined;
      const found = row[0].slice(valuesPrefix.length);
      const value = unseal(row[0], row[1], nodeDigest);
      if (value !== undefined) return { name: found, value };
      await this.suspect(`value ${found}`);
      throw this.#unlike(found);
    });
  }

  logs(): Promise<LogId[]> {
    return this.#atOneMoment(async (view) => {
      const logs: LogId[] = [];
      const { gte, lt } = rangeOf(positionsPrefix);
      // One look a log: from any entry of a log straight to what follows its last.
      for (let range = { gte, lt }; ;) {
        const row = await undamaged(() => firstRow(range, view));
        if (row === undefined) return logs;
        const [key, value] = row;
        const isSound = decodeEntry(key, value, nodeDigest) !== undefined;
        if (isSound) logs.push(logOf(key));
        range = { ...range, gte: isSound ? rangeOf(positionPrefix(logOf(key))).lt : `${key}\0` };
      }
    });
  }

  read(log: LogId, position: number, maxBytes: number): Promise<ReadRecord[]> {
    return this.#readFrom({ log, prefix: positionPrefix(log), origin: undefined }, position, maxBytes);
  }

  /** A damaged record has position 0 where its index entry is damaged too. */
  readOrigin(log: LogId, origin: Incarnation, seq: number, maxBytes: number): Promise<ReadRecord[]> {
    return this.#readFrom({ log, prefix: originPrefix(log, origin), origin }, seq, maxBytes);
  }

  last(log: LogId): Promise<ReadRecord | undefined> {
    return this.#atOneMoment(async (view) => {
      const index = { log, prefix: positionPrefix(log), origin: undefined };
      const range = { ...rangeOf(index.prefix), reverse: true };
      const row = await undamaged(() => firstRow(range, view));
      const found = row && foundIn(index, row);
      if (found === undefined) return undefined;
      const last = found.at + (found.entry?.count ?? 1) - 1;
      return (await recordsFrom(index, last, 1, view)).at(-1);
    });
  }

  shape(log: LogId): Promise<LogShape> {
    return this.#atOneMoment((view) => shapeOf(log, view));
  }

  pack(members: readonly StoredSegment[]): Promise<Uint8Array> {
    return packBlock(members, nodeDigest, blockQuality);
  }

  async erase(log: LogId): Promise<void> {
    const database = this.#opened();
    try {
      await this.#committed;
      await beginErasing(database, log);
      await eraseLog(database, log);
    } catch (error) {
      throw commitError(this.directory, error);
    }
  }

  /** All that is stored at one moment, as LevelDB has it: for a backup. The moment is when reading begins. */
  rows(): AsyncIterable<readonly Row[]> {
    return allRows(this.#opened());
  }

  async reclaim(): Promise<void> {
    try {
      await compact(this.#opened());
    } catch (error) {
      throw commitError(this.directory, error);
    }
  }

  sizeBytes(): Promise<number> {
    return this.#size.measure();
  }

  #readFrom(index: Index, number: number, maxBytes: number): Promise<ReadRecord[]> {
    return this.#atOneMoment((view) => recordsFrom(index, number, maxBytes, view));
  }

  async #atOneMoment<T>(read: (view: Required<View>) => Promise<T>): Promise<T> {
    const database = this.#opened();
    const snapshot = database.snapshot();
    try {
      return await read({ database, snapshot, blocks: this.#blocks });
    } catch (error) {
      throw readError(this.directory, error);
    } finally {
      await snapshot.close();
    }
  }

  #opened(): Database {
    if (this.#database === undefined) throw storeClosed(this.directory);
    return this.#database;
  }
}
