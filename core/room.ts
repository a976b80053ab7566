/**
 * The room that a process's store has: how much of the limit it takes, and of the disk what is free. What no longer fits
 * is refused well before LevelDB would meet a full disk, which it neither writes to nor opens on again.
 */
import { TidemarkError, hasCode, messageOf } from "./errors.ts";
import type { Draft, EventClass } from "./event.ts";
import type { Disk, Environment, Reserve } from "./ports.ts";
import {
  type Measured,
  type Pressure,
  type RoomLevel,
  freeUpTo,
  hasRoomFor,
  isDiskLow,
  levelOf,
} from "./pressure.ts";
import { sizeText } from "./size.ts";
import type { Store } from "./store-port.ts";

export interface RoomOptions {
  readonly environment: Pick<Environment, "timers" | "logger">;
  readonly store: Pick<Store, "sizeBytes">;
  readonly disk: Disk;
  readonly reserve: Reserve;
  /** What the store may take; undefined: as much as there is. */
  readonly limitBytes: number | undefined;
}

export interface RoomState {
  readonly pressure: Pressure;
  readonly limitBytes: number | undefined;
  /** As it was measured last; undefined where that failed. */
  readonly usedBytes: number | undefined;
  readonly freeBytes: number | undefined;
  /** Whether the reserve is there. */
  readonly reserve: boolean;
}

const measureMs = 5000;
/** While room is short it is looked at more often: others write to the disk too. */
const measureShortMs = 1000;
const measureBytesMax = 4 * 1024 * 1024;
/** Of the limit: what may be committed between two looks. */
const measureShare = 1 / 64;

/** Of what nobody can do without: these are never refused. */
const always: EventClass = "audit";

const said: readonly string[] = [
  "the log has ample room",
  "room for the log is tight",
  "room for the log is short",
  "the log has no room left, and takes no more resources and messages",
  "the log has no room left, and takes nothing more",
];

export class Room {
  readonly #options: RoomOptions;
  readonly #listeners = new Set<() => void>();
  readonly #failed = new Set<string>();
  readonly #measureBytes: number;
  #isReserveKept = false;
  #measured: Measured = { usedBytes: undefined, space: undefined };
  #level: RoomLevel = 0;
  /** Committed since it was measured last. */
  #bytes = 0;
  #measuring: Promise<void> | undefined;
  #keeping: Promise<void> | undefined;
  #cancelNext: (() => void) | undefined;
  #closed = false;

  /** Measures, now and from then on. */
  static async open(options: RoomOptions): Promise<Room> {
    const room = new Room(options);
    await room.measure();
    return room;
  }

  private constructor(options: RoomOptions) {
    this.#options = options;
    const { limitBytes = Number.POSITIVE_INFINITY } = options;
    this.#measureBytes = Math.min(measureBytesMax, limitBytes * measureShare);
  }

  get pressure(): Pressure {
    return this.#level === 4 ? 3 : this.#level;
  }

  /** Whether there is none left: the peer is asked to wait. */
  get isFull(): boolean {
    return this.#level >= 3;
  }

  /** Whether there is room to write the store once more beside itself, which to give bytes back to the disk may take. */
  get canReclaim(): boolean {
    const { usedBytes = 0, space } = this.#measured;
    return space === undefined || space.freeBytes > usedBytes + freeUpTo(4, space);
  }

  get state(): RoomState {
    const { usedBytes, space } = this.#measured;
    return {
      pressure: this.pressure,
      limitBytes: this.#options.limitBytes,
      usedBytes,
      freeBytes: space?.freeBytes,
      reserve: this.#isReserveKept,
    };
  }

  /** Why the log takes no more now; undefined while it does. */
  get problem(): TidemarkError | undefined {
    return this.isFull ? this.#refusal() : undefined;
  }

  /**
   * Why these may not be appended now. Resources and messages are the first; a delete goes in longer, as what devices
   * report: it makes room.
   */
  refusal(drafts: readonly Draft[]): TidemarkError | undefined {
    if (this.#level < 3) return undefined;
    return drafts.some((draft) => this.#refuses(draft)) ? this.#refusal() : undefined;
  }

  #refuses({ class: kind, deletes }: Draft): boolean {
    if (kind === always) return false;
    return this.#level === 4 || ((kind === "resource" || kind === "message") && deletes !== true);
  }

  #refusal(): TidemarkError {
    const { limitBytes = 0 } = this.#options;
    const { usedBytes = 0, space } = this.#measured;
    const what = isDiskLow(3, this.#measured, true)
      ? `the log takes no more: its disk has ${sizeText(space?.freeBytes ?? 0)} left; make room there, and it goes on`
      : `the log is at its limit (${sizeText(usedBytes)} of ${sizeText(limitBytes)}): raise --log-limit, or let the` +
        " link come back, so that what the other side has can be forgotten";
    return new TidemarkError("LOG_FULL", what, { data: { ...this.state } });
  }

  /** Called with the new state when the pressure, or what is refused, has changed. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** So much was committed. */
  noteCommitted(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes >= this.#measureBytes) void this.measure();
  }

  /** Measures now, unless that is under way. */
  measure(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#measuring ??= this.#measure().finally(() => {
      this.#measuring = undefined;
      this.#next();
    });
    return this.#measuring;
  }

  #next(): void {
    this.#cancelNext?.();
    if (this.#closed) return;
    const delayMs = this.#level === 0 ? measureMs : measureShortMs;
    this.#cancelNext = this.#options.environment.timers.after(delayMs, () => void this.measure());
  }

  async #measure(): Promise<void> {
    const { store, disk, reserve, limitBytes } = this.#options;
    this.#bytes = 0;
    const usedBytes = await this.#ask("the log", () => store.sizeBytes());
    const space = await this.#ask("the disk", () => disk.space());
    const isKept = await this.#ask("the reserve", () => reserve.isKept());
    if (this.#closed) return;
    this.#measured = { usedBytes, space };
    this.#isReserveKept = isKept === true;
    this.#changeTo(levelOf(this.#measured, limitBytes, this.#level));
    if (isKept === false && space !== undefined && hasRoomFor(reserve.sizeBytes, space)) this.#keepReserve();
  }

  /** What can't be measured is said once, until it can be again. It does not count as no room. */
  async #ask<T>(what: string, ask: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await ask();
      this.#failed.delete(what);
      return answer;
    } catch (error) {
      this.#noteFailed(what, "room could not be measured", error);
      return undefined;
    }
  }

  #noteFailed(what: string, message: string, error: unknown): void {
    if (this.#failed.has(what)) return;
    this.#failed.add(what);
    this.#options.environment.logger.log("warn", message, { of: what, reason: messageOf(error) });
  }

  #changeTo(level: RoomLevel): void {
    const before = this.#level;
    if (level === before) return;
    this.#level = level;
    const isWorse = level > before && level > 1;
    this.#options.environment.logger.log(isWorse ? "warn" : "info", said[level] ?? "", { ...this.state });
    for (const listener of this.#listeners) listener();
  }

  #keepReserve(): void {
    this.#keeping ??= this.#options.reserve
      .keep()
      .then(
        () => {
          this.#isReserveKept = true;
          this.#failed.delete("keeping the reserve");
        },
        (error: unknown) => {
          if (!this.#closed)
            this.#noteFailed("keeping the reserve", "the reserve could not be written", error);
        },
      )
      .finally(() => (this.#keeping = undefined));
  }

  /** The store has failed: over a full disk, the reserve makes room for it to open again. Never rejects. */
  async failed(error: TidemarkError): Promise<void> {
    if (!hasCode(error, "DISK_FULL")) return;
    const { reserve, environment } = this.#options;
    this.#stop();
    try {
      if (!(await reserve.giveUp())) return;
      environment.logger.log("warn", "the reserve was given up, so that the log can go on", {});
    } catch (cause) {
      this.#noteFailed("the reserve", "the reserve could not be given up", cause);
    }
  }

  #stop(): void {
    this.#closed = true;
    this.#cancelNext?.();
  }

  /** Measures no more; a reserve that is being written is not. Idempotent. */
  async close(): Promise<void> {
    this.#stop();
    await this.#measuring;
    await this.#options.reserve.stop();
    await this.#keeping;
  }
}
