/** The cloud's machine and the node's: a directory that outlives the processes that run on it. */
import { join } from "node:path";
import { Cloud } from "../../cloud/cloud.ts";
import { hasCode, messageOf } from "../../core/errors.ts";
import { Room } from "../../core/room.ts";
import { damageNoted } from "../../core/store/level-rebuild.ts";
import type { LevelStore } from "../../core/store/level.ts";
import type { Disk, Reserve } from "../../core/ports.ts";
import type { DeviceBus } from "../../edge/device-twin-port.ts";
import { Edge } from "../../edge/edge.ts";
import { brotli } from "../../protocol/adapters/brotli.ts";
import type { Network } from "../sim/network.ts";
import { ProcessWorld, WallClock, type World } from "../sim/world.ts";
import type { RealDisk } from "./real-disk.ts";

const gibi = 1024 ** 3;
/** The disk itself is not what runs short here. */
const ample: Disk = { space: async () => ({ freeBytes: 100 * gibi, totalBytes: 100 * gibi }) };
const kept: Reserve = {
  sizeBytes: 0,
  isKept: async () => true,
  keep: async () => undefined,
  stop: async () => undefined,
  giveUp: async () => false,
};

interface Process<Product> {
  readonly environment: ProcessWorld;
  readonly store: LevelStore;
  readonly room: Room;
  product: Product | undefined;
}

export interface MachineOptions {
  readonly world: World;
  readonly network: Network;
  readonly disk: RealDisk;
  readonly directory: string;
  readonly limitBytes: number;
}

export abstract class Machine<Product extends { close(): Promise<void> }> {
  readonly name: string;
  readonly options: MachineOptions;
  readonly clock: WallClock;
  starts = 0;
  /** Bytes of the store at most, ever. */
  mostBytes = 0;
  #process: Process<Product> | undefined;
  #busy: Promise<void> | undefined;

  constructor(name: string, options: MachineOptions) {
    this.name = name;
    this.options = options;
    this.clock = new WallClock(options.world);
  }

  get logDirectory(): string {
    return join(this.options.directory, this.name);
  }

  /** What runs, once it is up. */
  get product(): Product | undefined {
    return this.#process?.product;
  }

  get room(): Room | undefined {
    return this.#process?.room;
  }

  get isIdle(): boolean {
    return this.#busy === undefined;
  }

  protected abstract open(process: Process<Product>, failed: () => void): Promise<Product>;

  start(): void {
    this.#do(() => this.#start());
  }

  /** `kill -9`: what was handed to LevelDB is there, nothing more is done. */
  crash(): void {
    this.#do(() => this.#end(false));
  }

  stop(): void {
    this.#do(() => this.#end(true));
  }

  /** One thing after the other. */
  #do(work: () => Promise<void>): void {
    const { world } = this.options;
    const busy = (this.#busy ?? Promise.resolve()).then(work).catch((error: unknown) => {
      world.fail("process", `${this.name}: ${error instanceof Error ? error.stack : messageOf(error)}`);
    });
    this.#busy = busy;
    void busy.then(() => {
      if (this.#busy === busy) this.#busy = undefined;
    });
  }

  async #start(): Promise<void> {
    if (this.#process !== undefined) return;
    await this.#bringUp();
    // Where damage was found on the way, the store is rebuilt before anything is written to it.
    if ((await this.options.disk.track(damageNoted(this.logDirectory))).length === 0) return;
    await this.#end(false);
    await this.#bringUp();
  }

  async #bringUp(): Promise<void> {
    const { world, disk, limitBytes } = this.options;
    this.starts += 1;
    const environment = new ProcessWorld(world, this.name, this.clock);
    const store = disk.store(this.logDirectory);
    await store.open();
    const room = await Room.open({ environment, store, disk: ample, reserve: kept, limitBytes });
    room.onChange(() => world.note(`${this.name} pressure ${room.pressure}`));
    const process: Process<Product> = { environment, store, room, product: undefined };
    this.#process = process;
    process.product = await this.open(process, () => this.#failed(process));
    this.#watch(process);
  }

  #watch(process: Process<Product>): void {
    const { world } = this.options;
    world.after(30_000, () => {
      if (this.#process !== process) return;
      void process.store.sizeBytes().then((bytes) => (this.mostBytes = Math.max(this.mostBytes, bytes)));
      this.#watch(process);
    });
  }

  #failed(process: Process<Product>): void {
    this.options.world.note(`${this.name} reported that its store has failed`);
    this.options.world.after(1, () => {
      if (this.#process !== process) return;
      this.crash();
      this.start();
    });
  }

  async #end(cleanly: boolean): Promise<void> {
    const process = this.#process;
    if (process === undefined) return;
    this.#process = undefined;
    if (cleanly) {
      await process.product?.close().catch((error: unknown) => {
        if (!hasCode(error, "LOG_CLOSED")) throw error;
      });
      await process.room.close();
    }
    process.environment.kill();
    this.options.network.died(process.environment, undefined);
    await process.store.close();
  }
}

export const node = "edge-1";

export class CloudMachine extends Machine<Cloud> {
  readonly #opened: (cloud: Cloud) => void;
  readonly #macKey: Uint8Array;

  constructor(options: MachineOptions, opened: (cloud: Cloud) => void) {
    super("cloud", options);
    this.#opened = opened;
    this.#macKey = options.world.random.bytes(32);
  }

  protected async open({ environment, store, room }: Process<Cloud>, failed: () => void): Promise<Cloud> {
    const cloud = await Cloud.open({
      environment,
      store,
      room,
      macKey: this.#macKey,
      product: "month",
      compressor: brotli,
      onFailure: failed,
    });
    this.#opened(cloud);
    this.options.network.listen(environment, (transport, name) => void cloud.accept(transport, name));
    return cloud;
  }
}

export class NodeMachine extends Machine<Edge> {
  readonly #bus: DeviceBus;
  readonly #opened: (edge: Edge) => void;

  constructor(options: MachineOptions, bus: DeviceBus, opened: (edge: Edge) => void) {
    super("node", options);
    this.#bus = bus;
    this.#opened = opened;
  }

  protected async open({ environment, store, room }: Process<Edge>, failed: () => void): Promise<Edge> {
    const edge = await Edge.open({
      environment,
      node,
      store,
      room,
      bus: this.#bus,
      dial: () => this.options.network.dial(node, environment),
      bootId: `${this.name}-${this.starts}`,
      product: "month",
      compressor: brotli,
      onFailure: failed,
    });
    this.#opened(edge);
    await edge.start();
    return edge;
  }
}
