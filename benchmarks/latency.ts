import { type Case, type Quantity, type Question, quantile, sleep } from "./harness.ts";
import { type Load, publishers, startLoad } from "./load.ts";
import type { OpenLoop } from "./raw/load.ts";
import { now } from "./clock.ts";
import type { Pipeline } from "./subject.ts";

const rates = [50, 1000] as const;

/** Messages a second before anything is measured, so that the code is compiled. */
const warmRate = 1000;

function quantitiesOf(rate: number): Quantity[] {
  const name = `latency-${rate}`;
  return [
    { name: `${name}.p50`, unit: "ms", target: { of: "ratio", at: "most", bound: 1.5 } },
    { name: `${name}.p99`, unit: "ms", target: { of: "ratio", at: "most", bound: 2 } },
    { name: `${name}.puback.p50`, unit: "ms" },
    { name: `${name}.puback.p99`, unit: "ms" },
  ];
}

/** @returns p50 and p99 of publish → readable, then of publish → PUBACK, ms. */
async function measureAt(pipeline: Pipeline, load: Load, loop: OpenLoop): Promise<number[]> {
  const seen = new Map<number, number>();
  const unwatch = await pipeline.watch((value) => {
    const number = Number(value);
    if (!seen.has(number)) seen.set(number, now());
  });
  try {
    const { firstValue, at, ackMs, lateMs } = await load.openLoop(loop);
    const isIn = (): boolean => at.every((_, index) => seen.has(firstValue + index));
    for (let waited = 0; !isIn() && waited < 5; waited += 0.05) await sleep(0.05);
    if (!isIn()) throw new Error(`of ${at.length} messages some never became readable in the cloud`);
    if (lateMs > 100) process.stderr.write(`\nthe load generator was up to ${Math.round(lateMs)} ms late\n`);
    const waits = at.map((sent, index) => (seen.get(firstValue + index) ?? Number.NaN) - sent);
    return [quantile(waits, 0.5), quantile(waits, 0.99), quantile(ackMs, 0.5), quantile(ackMs, 0.99)];
  } finally {
    unwatch();
  }
}

function caseOf(quick: boolean): Case {
  return {
    title: "latency",
    quantities: rates.flatMap(quantitiesOf),
    measure: async (subject, { directory }) => {
      const pipeline = await subject.startPipeline({ directory, devices: publishers, results: false });
      const load = await startLoad(pipeline.mqttPort, false);
      try {
        await measureAt(pipeline, load, { rate: warmRate, seconds: quick ? 2 : 5 });
        const figures: number[] = [];
        for (const rate of rates) {
          const seconds = (quick ? 6 : 20) / (rate > 100 ? 2 : 1);
          figures.push(...(await measureAt(pipeline, load, { rate, seconds })));
        }
        return figures;
      } finally {
        await load.close();
        await pipeline.close();
      }
    },
  };
}

export const latency: Question = {
  name: "latency",
  asks: "How long after it is published is a value readable in the cloud, at 50 and at 1,000 messages a second?",
  cases: (quick) => [caseOf(quick)],
};
