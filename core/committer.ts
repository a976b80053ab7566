/**
 * Group commit: everything that all logs of a store have waiting goes to the disk in one batch, with one fsync; what
 * arrives while that runs is the next batch.
 */
import type { Collected } from "./bulk.ts";
import { TidemarkError, messageOf } from "./errors.ts";
import type { Timers } from "./ports.ts";
import type { Store, StoreBatch, StoredBlock, StoredSegment } from "./store-port.ts";

/** Something that has segments to commit: a log. */
export interface CommitSource {
  /** Hands over what waits, in order of position. Called when a batch is put together. */
  collect(): Collected;
  /** The batch with what was collected is durable. */
  committed(): void;
  /** It is not, and never will be: the store has failed. */
  failed(error: TidemarkError): void;
}

export class Committer {
  readonly store: Store;
  readonly #timers: Timers;
  #waiting = new Set<CommitSource>();
  #values = new Map<string, Uint8Array | undefined>();
  #blocks: StoredBlock[] = [];
  #remove: { readonly log: StoredSegment["log"]; readonly position: number }[] = [];
  #running: Promise<void> | undefined;
  #scheduled = false;
  #failure: TidemarkError | undefined;
  #failureListeners: (() => void)[] = [];
  #commitListeners: ((bytes: number) => void)[] = [];

  constructor(store: Store, timers: Timers) {
    this.store = store;
    this.#timers = timers;
  }

  get failure(): TidemarkError | undefined {
    return this.#failure;
  }

  /** Asks for a commit of what `source` has waiting, at the end of this turn or when the one under way is done. */
  request(source: CommitSource): void {
    if (this.#failure !== undefined) {
      source.failed(this.#failure);
      return;
    }
    this.#waiting.add(source);
    this.#schedule();
  }

  /** Sets a named value (removes it, when undefined) with the next batch. */
  put(name: string, value: Uint8Array | undefined): void {
    this.#values.set(name, value);
  }

  /** Puts a block in the place of what is stored at its positions, with the next batch. */
  merge(block: StoredBlock): void {
    this.#blocks.push(block);
  }

  /** Takes a stored segment out with the next batch. */
  remove(segment: Pick<StoredSegment, "log" | "position">): void {
    this.#remove.push({ log: segment.log, position: segment.position });
  }

  /**
   * Resolves when all that was asked for or put before is durable.
   * @throws what the store failed with
   */
  async flush(): Promise<void> {
    await this.#running;
    // The next commit has all that waited; what others ask for after that is not waited for.
    if (this.#failure === undefined) await (this.#running ?? (this.#isDirty ? this.#run() : undefined));
    if (this.#failure !== undefined) throw this.#failure;
  }

  get #isDirty(): boolean {
    const others = this.#values.size + this.#blocks.length + this.#remove.length;
    return this.#waiting.size > 0 || others > 0;
  }

  #schedule(): void {
    if (this.#scheduled || this.#running !== undefined) return;
    this.#scheduled = true;
    this.#timers.soon(() => {
      this.#scheduled = false;
      if (this.#running === undefined && this.#isDirty) void this.#run();
    });
  }

  /** One commit. Never rejects: a failure is told to the sources, and stands. */
  #run(): Promise<void> {
    const sources = this.#waiting;
    const segments: StoredSegment[] = [];
    const blocks = this.#blocks;
    const batch: StoreBatch = {
      segments,
      blocks,
      values: this.#values,
      remove: this.#remove,
    };
    this.#waiting = new Set();
    this.#values = new Map();
    this.#blocks = [];
    this.#remove = [];
    for (const source of sources) {
      const collected = source.collect();
      for (const segment of collected.segments) segments.push(segment);
      for (const block of collected.blocks) blocks.push(block);
    }
    this.#running = this.#commit(batch).then(
      () => {
        // Until all sources have heard, none is asked again.
        for (const source of sources) source.committed();
        this.#running = undefined;
        if (this.#commitListeners.length > 0) this.#tellCommitted(batch);
        // What came while this commit ran has waited long enough.
        if (this.#isDirty) void this.#run();
      },
      (error: unknown) => {
        this.#running = undefined;
        this.#fail(error, sources);
      },
    );
    return this.#running;
  }

  /** Blocks are compressed first, beside this thread. */
  async #commit(batch: StoreBatch): Promise<void> {
    const { blocks = [] } = batch;
    if (blocks.every(({ packed }) => packed !== undefined)) return this.store.commit(batch);
    const packing = blocks.map(async (block): Promise<StoredBlock> => {
      return block.packed === undefined ? { ...block, packed: await this.store.pack(block.members) } : block;
    });
    return this.store.commit({ ...batch, blocks: await Promise.all(packing) });
  }

  #fail(error: unknown, sources: ReadonlySet<CommitSource>): void {
    const failure =
      error instanceof TidemarkError
        ? error
        : new TidemarkError("LOG_COMMIT_FAILED", `a commit failed: ${messageOf(error)}`, { cause: error });
    this.#failure = failure;
    for (const source of new Set([...sources, ...this.#waiting])) source.failed(failure);
    for (const listener of this.#failureListeners) listener();
  }

  #tellCommitted({ segments, blocks = [] }: StoreBatch): void {
    let bytes = 0;
    for (const { segment } of segments) bytes += segment.length;
    for (const { packed } of blocks) bytes += packed?.length ?? 0;
    for (const listener of this.#commitListeners) listener(bytes);
  }

  /** Called after each commit, with about how many bytes it wrote. */
  onCommitted(listener: (bytes: number) => void): void {
    this.#commitListeners.push(listener);
  }

  /** Called once, when the store has failed. The process then closes it, opens it again, and rebuilds. */
  onFailure(listener: () => void): void {
    this.#failureListeners.push(listener);
  }
}
