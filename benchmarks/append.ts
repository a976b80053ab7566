import type { AppendFigures, AppendRun } from "./append-run.ts";
import { startChild } from "./child.ts";
import type { Case, Quantity, Question, Target } from "./harness.ts";

interface Shape {
  readonly name: string;
  readonly writers: number;
  readonly batch: number;
  readonly target?: Target;
}

const byBatch: readonly Shape[] = [1, 10, 100, 1000].map((batch) => {
  return { name: `append.batch-${batch}`, writers: 1, batch };
});
const byWriters: readonly Shape[] = [
  { name: "append.writers-1", writers: 1, batch: 1 },
  { name: "append.writers-16", writers: 16, batch: 1 },
  {
    name: "append.writers-256",
    writers: 256,
    batch: 1,
    target: { of: "ratio", at: "least", bound: 0.6 },
  },
];

function caseOf({ name, writers, batch, target }: Shape, quick: boolean): Case {
  const rate: Quantity = { name, unit: "events/s", ...(target === undefined ? {} : { target }) };
  const waits: readonly Quantity[] = [
    { name: `${name}.p50`, unit: "ms" },
    { name: `${name}.p99`, unit: "ms" },
  ];
  return {
    title: name,
    quantities: batch > 1 ? [rate] : [rate, ...waits],
    measure: async ({ side }, { directory }) => {
      const run: AppendRun = {
        side,
        directory,
        writers,
        batch,
        ...(quick ? { warmSeconds: 0.3, seconds: 0.7 } : { warmSeconds: 1, seconds: 3 }),
      };
      const child = startChild(new URL("append-run.js", import.meta.url));
      try {
        const { rate, p50, p99 } = await child.ask<AppendFigures>("run", run);
        return [rate, p50, p99];
      } finally {
        await child.stop();
      }
    },
  };
}

export const append: Question = {
  name: "append",
  asks: "How many events a second does one log take, each synced before it is acknowledged?",
  // One writer that appends one event is in both rows of shapes: it is run once.
  cases: (quick) => [...byBatch.slice(1), ...byWriters].map((shape) => caseOf(shape, quick)),
};
