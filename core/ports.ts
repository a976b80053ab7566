/** What the pure code needs of the world. A composition root hands these in; the simulator hands in its own. */

export interface Clock {
  /** Wall clock, ms since the epoch; may jump. */
  now(): number;
  /** Ms since some fixed moment of this process; never goes back. */
  monotonic(): number;
}

export interface Timers {
  /** Runs `task` once, `delayMs` from now. @returns what calls it off. */
  after(delayMs: number, task: () => void): () => void;
  /** Runs `task` when what is in hand now is done (a turn of the event loop, not a microtask). */
  soon(task: () => void): void;
}

export interface Random {
  /** `count` unpredictable bytes. */
  bytes(count: number): Uint8Array;
  /** Uniform in [0, 1): for jitter. */
  fraction(): number;
}

export interface Digest {
  sha256(...parts: readonly Uint8Array[]): Uint8Array;
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;
  /** CRC-32 (IEEE 802.3) of the bytes. */
  crc32(bytes: Uint8Array): number;
}

export interface DiskSpace {
  /** What this process may still take. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** The disk that a store is on. */
export interface Disk {
  /** @throws what the system says */
  space(): Promise<DiskSpace>;
}

/** A file that only takes up room, beside the store: given up when the disk is full, so that the store goes on. */
export interface Reserve {
  readonly sizeBytes: number;
  /** Whether all of it is there. */
  isKept(): Promise<boolean>;
  /** Writes it. @throws what the system says, or that it was stopped: nothing of it is left then */
  keep(): Promise<void>;
  /** Stops writing it. Resolves when nothing is under way. */
  stop(): Promise<void>;
  /** Takes it away, also while it is being written. @returns whether any of it was there */
  giveUp(): Promise<boolean>;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface Logger {
  /** One line: what happened, in the past tense, and its fields. */
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** Everything that is the same for all parts of one process. */
export interface Environment {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly digest: Digest;
  readonly logger: Logger;
}
