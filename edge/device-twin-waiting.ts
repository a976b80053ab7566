import { TidemarkError } from "../core/errors.ts";
import type { Logger, Timers } from "../core/ports.ts";
import type { DeviceCommand } from "../protocol/devices/topics.ts";

export interface WaitingCommand {
  readonly command: DeviceCommand;
  readonly payload: Buffer;
  readonly done: (error?: TidemarkError) => void;
}

/** What waits at most; the broker reads no more from a client long before one alone gets there. */
const countMax = 65_536;
const bytesMax: number = 64 * 1024 * 1024;

/** Where nothing else says that there is room again. */
const retryMs = 100;

/**
 * Messages that the log had no room for, in order. Their acknowledgements wait too, so their publishers are slowed;
 * past the limit a message is turned away unacknowledged, and its publisher sends it again.
 */
export class WaitingCommands {
  readonly #timers: Timers;
  readonly #logger: Logger;
  readonly #take: (waiting: WaitingCommand) => boolean;
  #queue: WaitingCommand[] = [];
  /** Index of the first in the queue that still waits. */
  #first = 0;
  #bytes = 0;
  #cancelRetry: (() => void) | undefined;
  #retrying = false;
  #closed = false;

  /** @param take appends a message's events; false when there still is no room */
  constructor(
    { timers, logger }: { readonly timers: Timers; readonly logger: Logger },
    take: (waiting: WaitingCommand) => boolean,
  ) {
    this.#timers = timers;
    this.#logger = logger;
    this.#take = take;
  }

  get count(): number {
    return this.#queue.length - this.#first;
  }

  add(waiting: WaitingCommand): void {
    if (this.#closed) {
      waiting.done(new TidemarkError("SHUTTING_DOWN", "the edge is shutting down; publish again later"));
      return;
    }
    if (this.count >= countMax || this.#bytes >= bytesMax) {
      waiting.done(new TidemarkError("LOG_OVERLOADED", "too many messages wait for the log"));
      return;
    }
    if (this.count === 0) {
      this.#logger.log("warn", "the log takes no more now, so publishers are slowed", {});
      this.#retryLater();
    }
    this.#queue.push(waiting);
    this.#bytes += waiting.payload.length;
  }

  /** Appends what there is room for now. */
  retry(): void {
    // What is taken may call back here at once, when the log has just failed.
    if (this.count === 0 || this.#retrying) return;
    this.#retrying = true;
    while (this.count > 0) {
      const waiting = this.#queue[this.#first] as WaitingCommand;
      if (!this.#take(waiting)) break;
      this.#first += 1;
      this.#bytes -= waiting.payload.length;
    }
    this.#retrying = false;
    if (this.count > 0) {
      this.#queue.splice(0, this.#first);
      this.#first = 0;
      return;
    }
    this.#queue = [];
    this.#first = 0;
    this.#cancelRetry?.();
    this.#logger.log("info", "the log takes more again, and publishers go on", {});
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry?.();
    const turnedAway = this.#queue.slice(this.#first);
    this.#queue = [];
    this.#first = 0;
    for (const { done } of turnedAway) {
      done(new TidemarkError("SHUTTING_DOWN", "the edge is shutting down; publish again later"));
    }
  }

  #retryLater(): void {
    this.#cancelRetry = this.#timers.after(retryMs, () => {
      this.retry();
      if (this.count > 0) this.#retryLater();
    });
  }
}
