/**
 * Merges the logs of one process in the background: one slice at a time, whichever log is next, and not more than a
 * share of the time while appends come.
 */
import type { BulkPace } from "./bulk.ts";
import type { Committer } from "./committer.ts";
import { TidemarkError, messageOf } from "./errors.ts";
import type { Shortage } from "./forgetting.ts";
import type { Log } from "./log.ts";
import { type MergeIndex, Merger } from "./merger.ts";
import type { Environment } from "./ports.ts";

export interface MergingPace extends BulkPace {
  /** What is left of a log is merged when so long has passed, though it is no whole block. */
  readonly idleMs?: number | undefined;
}

export interface MergingOptions extends MergingPace {
  readonly committer: Committer;
  readonly environment: Environment;
  readonly indexOf?: ((log: Log) => MergeIndex) | undefined;
  /** What is not merged can't be forgotten: where room is short, it does not rest. */
  readonly room?: Pick<Shortage, "pressure" | "canReclaim"> | undefined;
}

const idleMsDefault = 10 * 60_000;
/** While appends come, a slice is followed by a pause of so many times its length. */
const pauseFactor = 8;
/** LevelDB lets go of what was merged when it comes to it: it is made to where the disk holds this many times what there is, */
const wasteFactor = 2;
/** and so much more. */
const wasteBytesMin = 8 * 1024 * 1024;

export class Merging {
  readonly #options: MergingOptions;
  readonly #mergers = new Map<Log, { readonly merger: Merger; readonly stop: () => void }>();
  /** Whose turn comes, and whether what is no whole block is merged too. */
  readonly #due = new Map<Merger, boolean>();
  #running: Promise<void> | undefined;
  /** The slice under way, or the last one. */
  #slicing: Promise<boolean> | undefined;
  #reclaiming: Promise<void> | undefined;
  #cancelPause: (() => void) | undefined;
  #endPause: (() => void) | undefined;
  #cancelIdle: (() => void) | undefined;
  /** Whether anything was appended since the last slice. */
  #isBusy = false;
  #closed = false;

  constructor(options: MergingOptions) {
    this.#options = options;
  }

  /** Merges this log too, from now on. */
  add(log: Log): void {
    const { committer, indexOf, blockBytes } = this.#options;
    const merger = new Merger({ log, committer, index: indexOf?.(log), blockBytes });
    const look = (): void => {
      if (merger.isDue) this.#start(merger, false);
      else this.#awaitIdle();
    };
    const stops = [
      log.onVisible(() => {
        this.#isBusy = true;
        look();
      }),
      log.onReset(look),
    ];
    const stop = (): void => {
      for (const each of stops) each();
      merger.close();
    };
    this.#mergers.set(log, { merger, stop });
    look();
  }

  /** Merges this log no more. Resolves when it is not being merged. */
  async remove(log: Log): Promise<void> {
    const found = this.#mergers.get(log);
    if (found === undefined) return;
    this.#mergers.delete(log);
    found.stop();
    this.#due.delete(found.merger);
    await this.#slicing;
  }

  #start(merger: Merger, all: boolean): void {
    if (this.#closed) return;
    this.#due.set(merger, all || this.#due.get(merger) === true);
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async #run(): Promise<void> {
    const { clock } = this.#options.environment;
    for (let [next] = this.#due; next !== undefined && !this.#closed; [next] = this.#due) {
      const [merger, all] = next;
      this.#due.delete(merger);
      const began = clock.monotonic();
      const slicing = this.#slice(merger, all);
      this.#slicing = slicing;
      const isMade = await slicing;
      if (isMade && this.#mergers.has(merger.log) && (all || merger.isDue)) this.#start(merger, all);
      else if (!all && merger.hasLeft) this.#awaitIdle();
      const tookMs = clock.monotonic() - began;
      if (this.#closed) return;
      const isShort = (this.#options.room?.pressure ?? 0) > 0;
      await this.#pause(this.#isBusy && !isShort ? tookMs * pauseFactor : 0);
      this.#isBusy = false;
    }
  }

  /** @returns whether a block was made; a log that can't be merged now is left as it is */
  async #slice(merger: Merger, all: boolean): Promise<boolean> {
    const { committer, environment } = this.#options;
    if (committer.failure !== undefined) return false;
    try {
      return await merger.slice(all);
    } catch (error) {
      // A store that failed is told of by the committer; the log's own readers tell of damage.
      const code = error instanceof TidemarkError ? error.code : undefined;
      const fields = { log: merger.log.id, code, reason: messageOf(error) };
      environment.logger.log("warn", "segments could not be merged", fields);
      return false;
    }
  }

  #pause(ms: number): Promise<void> {
    const { timers } = this.#options.environment;
    return new Promise((resolve) => {
      this.#endPause = resolve;
      if (ms > 0) this.#cancelPause = timers.after(ms, resolve);
      else timers.soon(resolve);
    });
  }

  #awaitIdle(): void {
    if (this.#closed || this.#cancelIdle !== undefined) return;
    const { environment, idleMs = idleMsDefault } = this.#options;
    this.#cancelIdle = environment.timers.after(idleMs, () => {
      this.#cancelIdle = undefined;
      void this.mergeAll();
    });
  }

  /** Merges all there is, also what is no whole block yet, and gives back what the disk holds of it besides. */
  async mergeAll(): Promise<void> {
    for (const { merger } of this.#mergers.values()) if (merger.hasLeft) this.#start(merger, true);
    await this.#running;
    this.#reclaiming ??= this.#reclaim().finally(() => {
      this.#reclaiming = undefined;
    });
    await this.#reclaiming;
  }

  async #reclaim(): Promise<void> {
    const { committer, environment, room } = this.#options;
    const { store, failure } = committer;
    if (this.#closed || failure !== undefined || room?.canReclaim === false) return;
    try {
      let bytes = 0;
      for (const { id } of this.#mergers.keys()) {
        const { segmentBytes, blockBytes } = await store.shape(id);
        bytes += segmentBytes + blockBytes;
      }
      if ((await store.sizeBytes()) < bytes * wasteFactor + wasteBytesMin || this.#closed) return;
      await store.reclaim();
    } catch (error) {
      const fields = { reason: messageOf(error) };
      environment.logger.log("warn", "the disk could not be given back what was merged", fields);
    }
  }

  /** Resolves when the slice under way is done. The rest is merged the next time. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { stop } of this.#mergers.values()) stop();
    this.#cancelIdle?.();
    this.#cancelPause?.();
    this.#endPause?.();
    await Promise.all([this.#running, this.#reclaiming]);
  }
}
