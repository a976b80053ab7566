import { inChild } from "./child.ts";
import type { Case, Quantity, Question } from "./harness.ts";
import type { Answered, Asked } from "./instant-run.ts";
import type { Fill } from "./twin-log.ts";

const program = new URL("instant-run.js", import.meta.url);
const samples = 1000;
/** Each walks the log, up to all of it. */
const walkSamples = 3;
const eventsPerCommit = 100;

function quantitiesOf(name: string): Quantity[] {
  return [
    { name: `${name}.p50`, unit: "ms" },
    { name: `${name}.p99`, unit: "ms", target: { of: "value", at: "most", bound: 20 } },
    { name: `${name}.cpu`, unit: "ms" },
    { name: `${name}.blocks`, unit: "expanded" },
    { name: `${name}.expanded`, unit: "KiB" },
    { name: `${name}.reads`, unit: "of the store" },
  ];
}

/** Of a log that was filled, merged and closed. */
async function measureLog(directory: string, events: number): Promise<readonly number[]> {
  const filled: Fill = { directory, events, batch: eventsPerCommit, merges: true, syncs: false };
  await inChild(program, (child) => child.ask("fill", filled));
  return inChild(program, async (child) => {
    const asked: Asked = { directory, samples };
    const { p50, p99, cpu, blocks, bytes, reads } = await child.ask<Answered>("ask", asked);
    return [p50, p99, cpu, blocks, bytes / 1024, reads];
  });
}

/** Bare: the log is walked from its start, as without an index. */
async function walkLog(directory: string, events: number): Promise<readonly number[]> {
  const filled: Fill = { directory, events, batch: eventsPerCommit, merges: true, syncs: false };
  await inChild(program, (child) => child.ask("fill", filled));
  return inChild(program, (child) =>
    child.ask("askByWalk", { directory, samples: walkSamples } satisfies Asked),
  );
}

function caseOf(
  name: string,
  events: number,
  longer: { readonly name: string; readonly events: number },
): Case {
  const growth: Quantity["target"] = { of: "value", at: "most", bound: 1.5 };
  return {
    title: "instant",
    quantities: [
      ...quantitiesOf(`instant.${name}`),
      ...quantitiesOf(`instant.${longer.name}`),
      { name: "instant.p99-growth", unit: "times", target: growth },
      { name: "instant.cpu-growth", unit: "times", target: growth },
    ],
    measure: async ({ side }, { directory }) => {
      // A walk of the longer one would say no more.
      if (side === "raw") return walkLog(`${directory}/${name}`, events);
      const short = await measureLog(`${directory}/${name}`, events);
      const long = await measureLog(`${directory}/${longer.name}`, longer.events);
      const [, shortP99 = NaN, shortCpu = NaN] = short;
      const [, longP99 = NaN, longCpu = NaN] = long;
      return [...short, ...long, longP99 / shortP99, longCpu / shortCpu];
    },
  };
}

export const instant: Question = {
  name: "instant",
  asks: "What was a device's state at some instant, and does it matter how long the log is?",
  cases: (quick) => [
    quick
      ? caseOf("100k", 100_000, { name: "1m", events: 1_000_000 })
      : caseOf("1m", 1_000_000, { name: "10m", events: 10_000_000 }),
  ],
};
