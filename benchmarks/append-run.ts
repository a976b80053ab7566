/** One run of the append benchmark, in a process of its own: heap and compiled code are nobody else's. */
import { serve } from "./child.ts";
import { quantile, sleep } from "./harness.ts";
import { product } from "./product.ts";
import { raw } from "./raw/subject.ts";
import type { AppendTarget, Side } from "./subject.ts";

export interface AppendRun {
  readonly side: Side;
  readonly directory: string;
  /** Each appends, waits until all it appended is durable, and appends again. */
  readonly writers: number;
  /** Events that a writer appends at a time. */
  readonly batch: number;
  readonly warmSeconds: number;
  readonly seconds: number;
}

export interface AppendFigures {
  /** Durable events a second. */
  readonly rate: number;
  /** From an append to its completion, ms. */
  readonly p50: number;
  readonly p99: number;
}

const mostSamples = 4_000_000;

class Writers {
  readonly #target: AppendTarget;
  readonly #batch: number;
  readonly #samples = new Float64Array(mostSamples);
  #sampled = 0;
  #stopped = false;
  events = 0;

  constructor(target: AppendTarget, batch: number) {
    this.#target = target;
    this.#batch = batch;
  }

  /** @returns when the writer has stopped and its last events are durable. */
  write(): Promise<void> {
    return new Promise((resolve) => {
      let began = 0;
      let left = 0;
      const done = (): void => {
        if (--left > 0) return;
        this.#count(performance.now() - began);
        if (this.#stopped) resolve();
        else append();
      };
      const append = (): void => {
        began = performance.now();
        left = this.#batch;
        for (let index = 0; index < this.#batch; index++) this.#target.append(done);
      };
      append();
    });
  }

  #count(ms: number): void {
    this.events += this.#batch;
    if (this.#sampled < mostSamples) this.#samples[this.#sampled++] = ms;
  }

  forget(): void {
    this.events = 0;
    this.#sampled = 0;
  }

  stop(): void {
    this.#stopped = true;
  }

  samples(): Float64Array {
    return this.#samples.subarray(0, this.#sampled);
  }
}

async function run({ side, directory, writers: count, ...rest }: AppendRun): Promise<AppendFigures> {
  const subject = side === "raw" ? raw : product;
  const target = await subject.openLog(directory);
  const writers = new Writers(target, rest.batch);
  const all = Array.from({ length: count }, () => writers.write());
  await sleep(rest.warmSeconds);
  writers.forget();
  const began = performance.now();
  await sleep(rest.seconds);
  const seconds = (performance.now() - began) / 1000;
  const rate = writers.events / seconds;
  const samples = writers.samples().slice();
  writers.stop();
  await Promise.all(all);
  await target.close();
  return { rate, p50: quantile(samples, 0.5), p99: quantile(samples, 0.99) };
}

serve({ run });
