/** A machine: a disk and a clock that outlive the processes that run on it, one at a time. */
import { hasCode, messageOf } from "../../core/errors.ts";
import { type CrashFate, MemoryDisk } from "../../core/store/memory.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import type { ReplicaOf } from "./forgetting.ts";
import type { Network } from "./network.ts";
import { SlowStore } from "./slow-store.ts";
import type { Meeting, Release } from "./versions.ts";
import { ProcessWorld, WallClock, type World } from "./world.ts";

/** What runs on a machine. */
export interface Running<Product> {
  readonly release: Release;
  readonly environment: ProcessWorld;
  readonly store: SlowStore;
  product: Product | undefined;
}

export interface HostOptions {
  readonly world: World;
  readonly network: Network;
  readonly releases: Meeting<Release>;
}

interface Closable {
  close(): Promise<void>;
}

/** A process that ends cleanly ends within this. */
const stopWithinMs = 30_000;

export abstract class Host<Product extends Closable> {
  readonly name: string;
  readonly world: World;
  readonly network: Network;
  readonly clock: WallClock;
  readonly releases: Meeting<Release>;
  disk: MemoryDisk = new MemoryDisk();
  /** What the next process runs. */
  release: Release;
  /** How long a sync takes at most. */
  syncMs = 4;
  /** How long a read takes at most; undefined: no time at all. */
  readMs: number | undefined;
  #running: Running<Product> | undefined;
  #stopping: Promise<void> | undefined;
  #starts = 0;
  #isRetired = false;

  constructor(name: string, { world, network, releases }: HostOptions) {
    this.name = name;
    this.world = world;
    this.network = network;
    this.releases = releases;
    this.release = releases.late;
    this.clock = new WallClock(world);
  }

  /** What runs now, once it is up. */
  get product(): Product | undefined {
    return this.#stopping === undefined ? this.#running?.product : undefined;
  }

  /** Whether the process that runs, if there is one, is not of the version that the next one will be. */
  get isOutdated(): boolean {
    return this.#running !== undefined && this.#running.release !== this.release;
  }

  /** What the process that is up is of. */
  get runs(): Release | undefined {
    return this.product === undefined ? undefined : this.#running?.release;
  }

  /** The logs of the process that is up. */
  abstract replicas(): readonly ReplicaOf[];

  get isDown(): boolean {
    return this.#running === undefined;
  }

  /** Counts the processes that ran here. */
  get starts(): number {
    return this.#starts;
  }

  /** Brings up what belongs on this machine. @param failed to be called when the store fails */
  protected abstract open(running: Running<Product>, failed: () => void): Promise<Product>;

  /** Idempotent. */
  start(): void {
    if (this.#running !== undefined || this.#isRetired) return;
    this.#starts += 1;
    const { release } = this;
    this.world.note(`${this.name} starts${release.version === "present" ? "" : `, ${release.version}`}`);
    const environment = new ProcessWorld(this.world, this.name, this.clock);
    const store = new SlowStore(this.disk, {
      timers: environment.timers,
      digest: nodeDigest,
      syncDelayMs: () => environment.random.between(0, this.syncMs),
      readDelayMs: () => (this.readMs === undefined ? undefined : environment.random.between(0, this.readMs)),
    });
    const running: Running<Product> = { release, environment, store, product: undefined };
    this.#running = running;
    void this.#bringUp(running);
  }

  async #bringUp(running: Running<Product>): Promise<void> {
    try {
      await running.store.open();
      const product = await this.open(running, () => this.#failed(running));
      if (running.environment.alive) running.product = product;
      this.world.note(`${this.name} is up`);
    } catch (error) {
      if (!running.environment.alive) return;
      const { late } = this.releases;
      if (hasCode(error, "FORMAT_NEWER") && running.release !== late) {
        this.world.note(`${this.name} is too old for what is on its disk, and is updated`);
        this.release = late;
      } else if (!hasCode(error, "DISK_FULL")) {
        this.world.fail(
          "process",
          `${this.name} did not start: ${error instanceof Error ? error.stack : messageOf(error)}`,
        );
      }
      this.crash();
      this.startLater(this.world.random.between(500, 5000));
    }
  }

  /** The store has failed: whoever watches over the process ends it, and starts it again. */
  #failed(running: Running<Product>): void {
    this.world.note(`${this.name} reported that its store has failed`);
    this.world.after(1, () => {
      if (this.#running !== running) return;
      void this.stop().then(() => {
        this.startLater(this.world.random.between(500, 5000));
      });
    });
  }

  /** As `start`; where a process is on its way out, once it is gone. */
  startWhenStopped(): void {
    if (this.#stopping === undefined) this.start();
    else void this.#stopping.then(() => this.start());
  }

  startLater(delayMs: number): void {
    this.world.after(delayMs, () => {
      this.start();
    });
  }

  /**
   * The process is gone, from one moment to the next.
   * @param silenceMs without it the machine lives on, and ends the connections
   */
  crash(fate: CrashFate = {}, silenceMs?: number): void {
    const running = this.#running;
    if (running === undefined) return;
    this.world.note(`${this.name} crashes, ${this.disk.unsynced} batches unsynced: ${JSON.stringify(fate)}`);
    this.#running = undefined;
    this.#stopping = undefined;
    running.environment.kill();
    this.disk.crash(fate);
    this.network.died(running.environment, silenceMs);
  }

  /** Nothing starts on this machine any more. */
  retire(): void {
    this.#isRetired = true;
  }

  /** Ends the process as SIGTERM does. Resolves at once where none runs; where it is not up yet, it crashes. */
  stop(): Promise<void> {
    const running = this.#running;
    if (running?.product === undefined) {
      this.crash();
      return Promise.resolve();
    }
    this.#stopping ??= this.#stop(running, running.product);
    return this.#stopping;
  }

  async #stop(running: Running<Product>, product: Product): Promise<void> {
    const { environment, store } = running;
    this.world.note(`${this.name} stops`);
    const late = this.world.after(stopWithinMs, () => {
      if (this.#running !== running) return;
      this.world.fail("process", `${this.name} did not stop within ${stopWithinMs / 1000} s`);
      this.crash();
    });
    try {
      await product.close();
      await store.close();
    } catch (error) {
      if (environment.alive && !hasCode(error, "DISK_FULL")) {
        this.world.fail("process", `${this.name} did not stop cleanly: ${messageOf(error)}`);
      }
      if (environment.alive) this.crash();
    }
    late();
    if (!environment.alive) return;
    this.#checkNothingOpen(environment);
    environment.kill();
    this.#running = undefined;
    this.#stopping = undefined;
    this.world.note(`${this.name} has stopped`);
  }

  /** Of a process that closed everything nothing is left, once its last goodbyes are out. */
  #checkNothingOpen(environment: ProcessWorld): void {
    if (environment.timersLeft > 0)
      this.world.fail("process", `${this.name} stopped with ${environment.timersLeft} timers left`);
    this.world.after(10_000, () => {
      const open = this.network.openOf(environment);
      if (open > 0) this.world.fail("process", `${this.name} stopped with ${open} connections left open`);
    });
  }
}
