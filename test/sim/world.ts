/**
 * Virtual time for everything in a simulation. One turn: take the earliest task, run it, and wait until all promises
 * that it led to have settled. Nothing else happens in between, so a seed has one outcome.
 */
import type { Environment, LogLevel, Timers } from "../../core/ports.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import type { Checker } from "./findings.ts";
import { Seeded } from "./random.ts";
import { Trace } from "./trace.ts";

interface Task {
  readonly timeMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

export interface WorldOptions {
  readonly seed: number;
  /** Takes each line of the trace as it comes. */
  readonly print?: ((line: string) => void) | undefined;
  /** Waits for what a turn has led to, where that is more than promises: a real disk. */
  readonly settles?: (() => Promise<void>) | undefined;
}

export class World {
  readonly random: Seeded;
  readonly trace: Trace;
  /** What went wrong, in the order in which it did. */
  readonly failures: string[] = [];
  #nowMs = 0;
  #turns = 0;
  #order = 0;
  readonly #heap: Task[] = [];
  readonly #settles: () => Promise<void>;

  constructor({ seed, print, settles = settled }: WorldOptions) {
    this.random = new Seeded(seed);
    this.#settles = settles;
    this.trace = new Trace(print);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get turns(): number {
    return this.#turns;
  }

  note(line: string): void {
    this.trace.add(`${(this.#nowMs / 1000).toFixed(3)} ${line}`);
  }

  fail(checker: Checker, reason: string): void {
    this.note(`FAILED ${checker}: ${reason}`);
    this.failures.push(`at ${(this.#nowMs / 1000).toFixed(3)} s: [${checker}] ${reason}`);
  }

  /** @returns what calls it off */
  after(delayMs: number, run: () => void): () => void {
    const task: Task = {
      timeMs: this.#nowMs + Math.max(0, Math.ceil(delayMs)),
      order: (this.#order += 1),
      run,
    };
    push(this.#heap, task);
    return () => {
      task.run = undefined;
    };
  }

  /** Turns until the given moment, or until `isDone` says so. @returns whether it was done */
  async run(untilMs: number, isDone: () => boolean = () => false): Promise<boolean> {
    await this.#settles();
    while (!isDone()) {
      const next = this.#heap[0];
      if (next === undefined || next.timeMs > untilMs) {
        this.#nowMs = untilMs;
        return isDone();
      }
      pop(this.#heap);
      if (next.run === undefined) continue;
      this.#nowMs = next.timeMs;
      this.#turns += 1;
      try {
        next.run();
      } catch (error) {
        this.fail("process", `a task threw: ${error instanceof Error ? error.stack : String(error)}`);
      }
      await this.#settles();
    }
    return true;
  }
}

/** Resolves when all promises that can settle have. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function isEarlier(a: Task, b: Task): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.order < b.order);
}

function push(heap: Task[], task: Task): void {
  let at = heap.length;
  heap.push(task);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isEarlier(task, heap[parent] as Task)) break;
    heap[at] = heap[parent] as Task;
    at = parent;
  }
  heap[at] = task;
}

function pop(heap: Task[]): void {
  const last = heap.pop() as Task;
  if (heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isEarlier(heap[child + 1] as Task, heap[child] as Task)) child += 1;
    if (!isEarlier(heap[child] as Task, last)) break;
    heap[at] = heap[child] as Task;
    at = child;
  }
  heap[at] = last;
}

/** When every clock of the simulation says zero: 2026-06-01T00:00:00Z. */
export const epochMs = 1_780_272_000_000;

/** A machine's wall clock, which outlives the processes on it. */
export class WallClock {
  /** Ms that it is ahead of the true time. */
  skewMs = 0;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  now(): number {
    return epochMs + this.#world.nowMs + this.skewMs;
  }

  /** Sets it, as a boot without a battery does, or a person. */
  set(timeMs: number): void {
    this.skewMs = timeMs - epochMs - this.#world.nowMs;
  }
}

/** Everything that one process sees of the world, until it is killed. */
export class ProcessWorld implements Environment {
  readonly clock: Environment["clock"];
  readonly timers: Timers;
  readonly random: Seeded;
  readonly digest: Environment["digest"] = nodeDigest;
  readonly logger: Environment["logger"];
  #alive = true;
  #timers = 0;

  constructor(world: World, name: string, wall: WallClock) {
    this.random = world.random.fork();
    const bootedMs = world.nowMs;
    this.clock = { now: () => wall.now(), monotonic: () => world.nowMs - bootedMs };
    this.timers = {
      after: (delayMs, task) => this.#after(world, delayMs, task),
      // It can't be called off, and is over with this turn: nothing that a process leaves behind.
      soon: (task) => {
        world.after(0, () => {
          if (this.#alive) task();
        });
      },
    };
    this.logger = {
      log: (level: LogLevel, message, fields = {}) => {
        if (this.#alive) world.note(`${name} ${level} ${message} ${JSON.stringify(fields)}`);
      },
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Timers that have not gone off and were not called off. */
  get timersLeft(): number {
    return this.#timers;
  }

  kill(): void {
    this.#alive = false;
  }

  #after(world: World, delayMs: number, task: () => void): () => void {
    if (!this.#alive) return () => {};
    this.#timers += 1;
    let isOver = false;
    const over = (): boolean => {
      if (isOver) return false;
      isOver = true;
      this.#timers -= 1;
      return true;
    };
    const cancel = world.after(delayMs, () => {
      if (over() && this.#alive) task();
    });
    return () => {
      if (over()) cancel();
    };
  }
}
