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
  /** Names that begin so, in order. */
  names(prefix: string): Promise<string[]>;
  /** All logs that hold a segment. */
  logs(): Promise<LogId[]>;
  /**
   * Segments of one log in order of position, from the one that holds `position` or, where none does, the next one.
   * Returns at least one if there is one, then stops at `maxBytes`. A record that can't be read comes back with
   * `segment` undefined, so that what follows it can still be had.
   */
  read(log: LogId, position: number, maxBytes: number): Promise<ReadRecord[]>;
  /** Segments of one origin in order of sequence, from the one that holds `seq` or, where none does, the next one. */
  readOrigin(log: LogId, origin: Incarnation, seq: number, maxBytes: number): Promise<ReadRecord[]>;
  /** The last record of a log by position. */
  last(log: LogId): Promise<ReadRecord | undefined>;
  /** Bytes on the disk, roughly. */
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

export type ReadRecord = StoredSegment | DamagedRecord;

/** A record whose bytes are gone or wrong; what its index entry still says. */
export interface DamagedRecord {
  readonly log: LogId;
  readonly origin: Incarnation | undefined;
  readonly lo: number | undefined;
  readonly count: number | undefined;
  readonly position: number;
  readonly segment: undefined;
}

export interface StoreBatch {
  readonly segments: readonly StoredSegment[];
  /** Named values to set; `undefined` removes one. */
  readonly values?: ReadonlyMap<string, Uint8Array | undefined>;
  /** Segments to take out, by log and position (a rolled-back origin's divergent tail). */
  readonly remove?: readonly { readonly log: LogId; readonly position: number }[];
}
