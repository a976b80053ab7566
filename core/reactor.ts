/**
 * Reactors act on the outside world because the log changed. Two kinds:
 *
 * - an `Outbox` follows events with a durable cursor, and acts on each at least once;
 * - a `LevelReactor` compares what is wanted with what is, over the keys that changed: once over all keys when it
 *   starts, and never while the log is replayed.
 */
import { pack, unpack } from "./codec.ts";
import type { Committer } from "./committer.ts";
import { hasCode, messageOf } from "./errors.ts";
import type { Event } from "./event.ts";
import type { Environment } from "./ports.ts";
import type { Replica } from "./replica.ts";
import { outboxPrefix } from "./rules.ts";

const retryMsMin = 500;
const retryMsMax = 30_000;
const queuedEventsMax = 8192;
/** A cursor is stored when it has moved so far, or so long ago: what a crash makes an outbox do again. */
const saveAfterEvents = 4096;
const saveAfterMs = 1000;

export interface OutboxOptions {
  readonly name: string;
  readonly replica: Replica;
  readonly committer: Committer;
  readonly environment: Environment;
  /** Acts on events, in order of position. Called again with the same events when it rejects. */
  readonly act: (events: readonly Event[]) => void | Promise<void>;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #cursorName: string;
  /** Position of the last event that was acted on. */
  #cursor = 0;
  /** Events that follow `#taken` without a gap; where it fell behind none, and the log is read. */
  #queue: Event[] = [];
  /** Position of the last event that is being acted on, or was. */
  #taken = 0;
  /** The cursor that was last put to be stored, and when. */
  #saved = 0;
  #savedMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  #closed = false;
  #retryMs = retryMsMin;
  #stopFollowing: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#cursorName = outboxPrefix(options.replica.id) + options.name;
  }

  /** Position of the last event that was acted on. */
  get cursor(): number {
    return this.#cursor;
  }

  /** Takes up where the cursor stands; an outbox that is new begins at the log's start. */
  async open(): Promise<void> {
    const { replica } = this.#options;
    this.#cursor = Math.min(await this.#storedCursor(), replica.position);
    this.#taken = this.#cursor;
    // From the beginning it is known that it is there, and compaction waits for it.
    this.#saved = Number.NEGATIVE_INFINITY;
    this.#save();
    this.#stopFollowing = replica.onVisible((events) => {
      this.#queued(events);
    });
    this.#wake();
  }

  /** A cursor that can't be read is at the start: to act once more than needed is what an outbox may do. */
  async #storedCursor(): Promise<number> {
    const { committer, environment, name } = this.#options;
    try {
      const stored = await committer.store.get(this.#cursorName);
      const cursor = stored === undefined ? 0 : unpack(stored);
      if (typeof cursor === "number" && cursor >= 0) return cursor;
    } catch (error) {
      if (!hasCode(error, "SEGMENT_CORRUPT")) throw error;
    }
    environment.logger.log("warn", "a reactor's cursor can't be read; it begins at the start of the log", {
      name,
    });
    return 0;
  }

  #queued(events: readonly Event[]): void {
    const next = (this.#queue.at(-1)?.position ?? this.#taken) + 1;
    // When it falls behind, the log itself is the queue.
    if (this.#queue.length < queuedEventsMax && events[0]?.position === next) {
      for (const event of events) this.#queue.push(event);
    }
    this.#wake();
  }

  #wake(): void {
    if (this.#closed || this.#running !== undefined || this.#cancelRetry !== undefined) return;
    if (this.#cursor >= this.#options.replica.position) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      this.#wake();
    });
  }

  async #run(): Promise<void> {
    const { environment, act, name } = this.#options;
    try {
      const { events, last } = await this.#next();
      if (events.length > 0) await act(events);
      this.#cursor = last;
    } catch (error) {
      environment.logger.log("error", "a reactor failed, and will try again", {
        name,
        reason: messageOf(error),
      });
      if (this.#closed) return;
      this.#cancelRetry = environment.timers.after(this.#retryMs, () => {
        this.#cancelRetry = undefined;
        this.#wake();
      });
      this.#retryMs = Math.min(this.#retryMs * 2, retryMsMax);
      return;
    }
    this.#retryMs = retryMsMin;
    const nowMs = environment.clock.monotonic();
    if (this.#cursor - this.#saved < saveAfterEvents && nowMs - this.#savedMs < saveAfterMs) return;
    this.#savedMs = nowMs;
    this.#save();
  }

  /** With the next commit: an event that was acted on may be acted on again, and need not cost a commit of its own. */
  #save(): void {
    if (this.#saved === this.#cursor) return;
    this.#saved = this.#cursor;
    this.#options.committer.put(this.#cursorName, pack(this.#cursor));
  }

  /** What follows the cursor: what is queued, else what the log says. `last` is the position after which to go on. */
  async #next(): Promise<{ events: readonly Event[]; last: number }> {
    const { replica } = this.#options;
    const queued = this.#queue;
    this.#queue = [];
    if (queued[0]?.position === this.#cursor + 1) {
      this.#taken = (queued.at(-1) as Event).position;
      return { events: queued, last: this.#taken };
    }
    const head = replica.position;
    // What becomes visible while the log is read is queued behind the head.
    this.#taken = head;
    const events = await replica.read(this.#cursor + 1);
    const last = events.at(-1)?.position ?? head;
    this.#taken = last;
    return { events, last };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopFollowing?.();
    this.#cancelRetry?.();
    await this.#running;
    this.#save();
  }
}

export interface LevelReactorOptions {
  readonly name: string;
  readonly environment: Environment;
  /** Every key there is; asked once, at the start, and again on `resync`. */
  readonly allKeys: () => Iterable<string>;
  /** Makes what is equal to what is wanted, for one key. Called again, later, when it throws or rejects. */
  readonly reconcile: (key: string) => void | Promise<void>;
}

/** Runs one key at a time, in the order in which they changed; a key that fails is tried again with back-off. */
export class LevelReactor {
  readonly #options: LevelReactorOptions;
  readonly #dirty = new Set<string>();
  readonly #retries = new Map<string, { delayMs: number; cancel: () => void }>();
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: LevelReactorOptions) {
    this.#options = options;
  }

  /** Looks at every key. */
  resync(): void {
    for (const key of this.#options.allKeys()) this.#dirty.add(key);
    this.#wake();
  }

  changed(key: string): void {
    this.#dirty.add(key);
    this.#wake();
  }

  /** Resolves when nothing is left to look at but what failed. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  #wake(): void {
    if (this.#closed || this.#running !== undefined || this.#dirty.size === 0) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      this.#wake();
    });
  }

  async #run(): Promise<void> {
    for (const key of this.#dirty) {
      if (this.#closed) return;
      this.#dirty.delete(key);
      try {
        await this.#options.reconcile(key);
        this.#retries.get(key)?.cancel();
        this.#retries.delete(key);
      } catch (error) {
        this.#retryLater(key, error);
      }
    }
  }

  #retryLater(key: string, error: unknown): void {
    if (this.#closed) return;
    const { environment, name } = this.#options;
    const previous = this.#retries.get(key);
    previous?.cancel();
    const delayMs = Math.min((previous?.delayMs ?? retryMsMin / 2) * 2, retryMsMax);
    environment.logger.log("warn", "a reactor failed, and will try again", {
      name,
      key,
      delayMs,
      reason: messageOf(error),
    });
    const cancel = environment.timers.after(delayMs, () => {
      this.changed(key);
    });
    this.#retries.set(key, { delayMs, cancel });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { cancel } of this.#retries.values()) cancel();
    await this.#running;
  }
}
