/** Worlds to run logs in: time stands still until a test moves it, disks are in memory, and chance is seeded. */
import { setImmediate as turn } from "node:timers/promises";
import { Committer } from "../../core/committer.ts";
import type { Draft, Event, EventId, LogId, Side } from "../../core/event.ts";
import { nodeLog } from "../../core/event.ts";
import { Log, type LogOptions } from "../../core/log.ts";
import type { Environment, LogLevel, Timers } from "../../core/ports.ts";
import { stateHash } from "../../core/projection.ts";
import { type Registers, registersProjection } from "../../core/registers.ts";
import { type CrashFate, MemoryDisk, MemoryStore } from "../../core/store/memory.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import type { ReadRecord, StoreBatch } from "../../core/store-port.ts";

export const node1: LogId = nodeLog("edge-node-1");
export const thermo = "devices/default/thermo-1";

/** 2026-09-01. */
export const startMs = 1_788_220_800_000;

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

interface Task {
  readonly dueMs: number;
  readonly run: () => void;
}

/** One clock and one set of timers for everything in a test. */
export class World implements Timers {
  wallMs: number = startMs;
  monotonicMs = 0;
  readonly lines: LogLine[] = [];
  #tasks: Task[] = [];
  #state: number;

  constructor(seed = 1) {
    this.#state = seed;
  }

  get environment(): Environment {
    return {
      clock: { now: () => this.wallMs, monotonic: () => this.monotonicMs },
      timers: this,
      random: {
        bytes: (count) => Uint8Array.from({ length: count }, () => this.#next() & 255),
        fraction: () => 0.5,
      },
      digest: nodeDigest,
      logger: { log: (level, message, fields = {}) => void this.lines.push({ level, message, fields }) },
    };
  }

  /** Timers that have not gone off. */
  get pending(): number {
    return this.#tasks.length;
  }

  after(delayMs: number, run: () => void): () => void {
    const task = { dueMs: this.monotonicMs + delayMs, run };
    this.#tasks.push(task);
    return () => {
      this.#tasks = this.#tasks.filter((other) => other !== task);
    };
  }

  soon(task: () => void): void {
    this.after(0, task);
  }

  /** Lets everything happen that needs no time to pass. */
  async settle(): Promise<void> {
    for (;;) {
      for (let turns = 0; turns < 3; turns += 1) await turn();
      const due = this.#tasks.filter(({ dueMs }) => dueMs <= this.monotonicMs);
      if (due.length === 0) return;
      this.#tasks = this.#tasks.filter((task) => !due.includes(task));
      for (const { run } of due) run();
    }
  }

  async pass(ms: number): Promise<void> {
    const untilMs = this.monotonicMs + ms;
    for (;;) {
      await this.settle();
      const next = Math.min(untilMs, ...this.#tasks.map(({ dueMs }) => dueMs));
      if (next >= untilMs) break;
      this.#move(next);
    }
    this.#move(untilMs);
    await this.settle();
  }

  /** Lets time pass until the promise settles. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const note = (): void => {
      isSettled = true;
    };
    promise.then(note, note);
    for (let step = 0; step < 10_000; step += 1) {
      await this.settle();
      if (isSettled) return promise;
      this.#move(Math.min(...this.#tasks.map(({ dueMs }) => dueMs), this.monotonicMs + 1000));
    }
    throw new Error("it never settled");
  }

  #move(monotonicMs: number): void {
    this.wallMs += monotonicMs - this.monotonicMs;
    this.monotonicMs = monotonicMs;
  }

  #next(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state >>> 24;
  }
}

/** Notes what it was asked. */
export class CountingStore extends MemoryStore {
  readonly batches: StoreBatch[] = [];

  /** Positions from which segments were read. */
  readonly reads: number[] = [];

  override read(log: LogId, position: number, maxBytes: number): Promise<ReadRecord[]> {
    this.reads.push(position);
    return super.read(log, position, maxBytes);
  }

  override commit(batch: StoreBatch): Promise<void> {
    this.batches.push(batch);
    return super.commit(batch);
  }
}

export type SiteOptions = Partial<Pick<LogOptions, "macKey" | "authority" | "checkpointEvery">> & {
  readonly disk?: MemoryDisk;
};

/** One side: a disk, and what runs on it. A sync takes 5 ms. */
export class Site {
  readonly world: World;
  readonly side: Side;
  readonly disk: MemoryDisk;
  readonly options: SiteOptions;
  store!: CountingStore;
  committer!: Committer;
  log!: Log;

  constructor(world: World, side: Side, options: SiteOptions = {}) {
    this.world = world;
    this.side = side;
    this.options = options;
    this.disk = options.disk ?? new MemoryDisk();
  }

  static async open(world: World, side: Side, options: SiteOptions = {}): Promise<Site> {
    const site = new Site(world, side, options);
    await site.open();
    return site;
  }

  async open(): Promise<Log> {
    const { environment } = this.world;
    const options = { timers: this.world, digest: nodeDigest, syncDelayMs: (): number => 5 };
    this.store = new CountingStore(this.disk, options);
    await this.store.open();
    this.committer = new Committer(this.store, this.world);
    this.log = await this.world.run(Log.open(this.logOptions(this.committer, environment)));
    return this.log;
  }

  logOptions(committer: Committer, environment: Environment): LogOptions {
    const { macKey, authority, checkpointEvery } = this.options;
    return { id: node1, side: this.side, committer, environment, macKey, authority, checkpointEvery };
  }

  /** The process dies, and starts again on what the disk held. */
  async crash(fate?: CrashFate): Promise<Log> {
    this.disk.crash(fate);
    return this.open();
  }

  /** Stops as it should. */
  async stop(): Promise<void> {
    await this.world.run(this.log.close());
    await this.store.close();
  }

  async restart(): Promise<Log> {
    await this.stop();
    return this.open();
  }

  append(...drafts: Draft[]): Promise<readonly EventId[]> {
    return this.world.run(this.log.appended(drafts));
  }

  /** Every event that can be read, in order of position. */
  async events(): Promise<Event[]> {
    const all: Event[] = [];
    for (;;) {
      const more = await this.log.read((all.at(-1)?.position ?? 0) + 1);
      if (more.length === 0) return all;
      all.push(...more);
    }
  }

  get hash(): string {
    return hashOf(this.log.registers);
  }
}

export function hashOf(registers: Registers): string {
  return stateHash(registersProjection, registers, nodeDigest);
}

/** The state that all events of a log make, folded from the start. */
export function folded(events: readonly Event[]): string {
  const state = registersProjection.initial();
  for (const event of events) registersProjection.apply(state, event);
  return hashOf(state);
}

/** Hands one side's segments to the other, until there is nothing that the other lacks. */
export async function ship(from: Site, to: Site): Promise<void> {
  for (const { origin, end } of from.log.histories.values()) {
    if (origin === to.log.incarnation) continue;
    for (let have = to.log.histories.get(origin)?.end ?? 0; have < end;) {
      const segments = await from.log.readOrigin(origin, have + 1, 64 * 1024);
      if (segments.length === 0) break;
      let durable = 0;
      for (const segment of segments) {
        to.log.receive(segment, (error) => {
          if (error === undefined) durable += 1;
        });
        have = segment.lo + segment.count - 1;
      }
      await to.world.pass(20);
      if (durable !== segments.length) throw new Error("not all that was sent became durable");
    }
  }
}

/** Ships both ways. */
export async function meet(a: Site, b: Site): Promise<void> {
  await ship(a, b);
  await ship(b, a);
}

export function applied(body: Draft["body"] = { spec: 1 }, life?: EventId, key: string = thermo): Draft {
  return { type: "resource.applied", class: "resource", key, slot: "spec", life, body };
}

export function deleted(life: EventId, key: string = thermo): Draft {
  return { type: "resource.deleted", class: "resource", key, slot: "spec", life, deletes: true };
}

export function reported(
  value: string,
  life: EventId,
  property = "temperature",
  key: string = thermo,
): Draft {
  return { type: "twin.reported", class: "twin", key, slot: `reported/${property}`, life, body: [value] };
}

export function desired(value: string, life: EventId, property = "temperature", key: string = thermo): Draft {
  return { type: "twin.desired", class: "twin", key, slot: `desired/${property}`, life, body: [value] };
}

/** An event without a slot: a message. */
export function said(text: string): Draft {
  return { type: "message.said", class: "message", key: "topics/hall", body: text };
}

export function texts(events: readonly Event[]): unknown[] {
  return events.map(({ body }) => body);
}
