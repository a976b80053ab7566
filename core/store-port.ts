import type { Incarnation, LogId } from "./event.ts";

/**
 * The storage port: durable segments of many logs, in arrival order, and named values beside them.
 *
 * One batch is one commit: it is there whole after a crash, or not at all. Adapters: `core/store/level.ts`, and
 * `core/store/memory.ts` with the crash semantics of a disk. Both pass `test/core/store-contract.ts`.
 */
export interface Store {
  /** @throws LOG_LOCKED, FORMAT_NEWER, DISK_FULL */
  open(): Promise<void>;
  /**
   * Resolves when the batch is synced to the disk. Batches are committed in the order of the calls.
   * After a rejection (LOG_COMMIT_FAILED, DISK_FULL) the store takes no more; close it and open it again.
   */
  commit(batch: StoreBatch): Promise<void>;
  /** The newest committed value of that name. */
  get(name: string): Promise<Uint8Array | undefined>;
  /** Names that begin so, in order; of many, a page. */
  names(prefix: string, page?: Page): Promise<string[]>;
  /**
   * Of the names that begin with `prefix`, the greatest that is not after `name`, and its newest committed value.
   * @throws SEGMENT_CORRUPT when that value is damaged
   */
  floor(prefix: string, name: string): Promise<NamedValue | undefined>;
  /** All logs that hold a segment. */
  logs(): Promise<LogId[]>;
  /**
   * Segments of one log in order of position, from the one that holds `position` or, where none does, the next one.
   * Returns at least one if there is one, then stops at `maxBytes`. A record that can't be read comes back with
   * `segment` undefined, so that what follows it can still be had. Of a block come its members; of a damaged one, a
   * damaged record for each run of one origin's sequences, from `position` on.
   */
  read(log: LogId, position: number, maxBytes: number): Promise<ReadRecord[]>;
  /** Segments of one origin in order of sequence, from the one that holds `seq` or, where none does, the next one. */
  readOrigin(log: LogId, origin: Incarnation, seq: number, maxBytes: number): Promise<ReadRecord[]>;
  /** The last record of a log by position. */
  last(log: LogId): Promise<ReadRecord | undefined>;
  /** What is stored of a log, by what its index says: nothing of it is read. */
  shape(log: LogId): Promise<LogShape>;
  /**
   * The one compressed record that a block's members become. A commit does this itself where it was not done before,
   * and holds up the commits behind it meanwhile.
   * @param members dense in position; `maxBlockBytes` at most
   */
  pack(members: readonly StoredSegment[]): Promise<Uint8Array>;
  /**
   * Takes out everything of a log, and every value that is named after it (`…!LOG`, `…!LOG!…`), so that its bytes are
   * gone from the disk. Nobody appends to it meanwhile. What a crash cuts short is finished when the store is opened.
   */
  erase(log: LogId): Promise<void>;
  /**
   * Damage was found: what is stored is rebuilt, from what can be read, when the store is opened next; until then it may
   * refuse commits (LOG_COMMIT_FAILED). Not again for the same finding, where what was lost is still missing then.
   */
  suspect(finding: string): Promise<void>;
  /**
   * Gives back to the disk the bytes of what was taken out or replaced; without it that happens sooner or later. It may
   * take as much room as there is in the store meanwhile, and goes on beside commits.
   */
  reclaim(): Promise<void>;
  /** Bytes on the disk, also of what waits there to be put in order. Cheap enough to ask often. */
  sizeBytes(): Promise<number>;
  /** Waits for commits under way. Idempotent. */
  close(): Promise<void>;
}

/** What the store keeps of a segment. `position` is that of its first event. */
export interface StoredSegment {
  readonly log: LogId;
  readonly origin: Incarnation;
  /** Sequence of the first event. */
  readonly lo: number;
  readonly count: number;
  readonly position: number;
  /** Ms by the replica's own record when it arrived: what retention counts from. */
  readonly arrived: number;
  /** The segment as its origin encoded it. */
  readonly segment: Uint8Array;
}

export type ReadRecord = ReadSegment | DamagedRecord;

export interface ReadSegment extends StoredSegment {
  /** The block that holds it. */
  readonly block?: BlockPlace | undefined;
}

export interface BlockPlace {
  /** Position of its first event. */
  readonly from: number;
  /** Position of its last event. */
  readonly to: number;
  /** What its members count for in a block (`memberBytes`). */
  readonly bytes: number;
}

/** A record whose bytes are gone or wrong; what its index entry still says. */
export interface DamagedRecord {
  readonly log: LogId;
  readonly origin: Incarnation | undefined;
  readonly lo: number | undefined;
  readonly count: number | undefined;
  readonly position: number;
  readonly segment: undefined;
}

/**
 * Neighbours in arrival order, kept as one compressed record. Where they are, and what they are, stays as it was: each
 * is read as a segment of its own.
 */
export interface StoredBlock {
  readonly log: LogId;
  /** Position of the first event of the first member. */
  readonly from: number;
  /** Position of the last event of the last member. */
  readonly to: number;
  /** In order of position, without a gap between them. */
  readonly members: readonly StoredSegment[];
  /** What `Store.pack` made of the members. */
  readonly packed?: Uint8Array;
}

/** Bytes of all segments of one block. Much less is usual: such a one holds a single large segment. */
export const maxBlockBytes: number = 4 * 1024 * 1024;

export interface Page {
  /** Names after this one. */
  readonly after: string;
  readonly max: number;
}

export interface NamedValue {
  readonly name: string;
  readonly value: Uint8Array;
}

export interface LogShape {
  /** Segments that are a record each, and their bytes. */
  readonly segments: number;
  readonly segmentBytes: number;
  readonly segmentEvents: number;
  /** Blocks, and the bytes of the segments in them before they were compressed. */
  readonly blocks: number;
  readonly blockEvents: number;
  readonly blockSegmentBytes: number;
  /** Bytes of their compressed records. */
  readonly blockBytes: number;
}

export interface StoreBatch {
  readonly segments: readonly StoredSegment[];
  /** Take the place of whatever is stored at their positions. */
  readonly blocks?: readonly StoredBlock[];
  /** Named values to set; `undefined` removes one. */
  readonly values?: ReadonlyMap<string, Uint8Array | undefined>;
  /**
   * Segments to take out, by log and position (a rolled-back origin's divergent tail). A block that holds one is
   * replaced by what is left of it.
   */
  readonly remove?: readonly { readonly log: LogId; readonly position: number }[];
}
