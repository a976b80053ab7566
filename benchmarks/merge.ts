import { type Child, startChild } from "./child.ts";
import type { Case, Question } from "./harness.ts";
import type { Fill, Filled, Past } from "./merge-run.ts";

type Setting = Parameters<Case["measure"]>[1];

async function inChild<T>(run: (child: Child) => Promise<T>): Promise<T> {
  const child = startChild(new URL("merge-run.js", import.meta.url));
  try {
    return await run(child);
  } finally {
    await child.stop();
  }
}

function fillOf({ directory }: Setting, events: number, batch: number): Fill {
  return { directory: `${directory}/log`, events, batch, merges: true, syncs: false };
}

/** Bare: the same events as compressed values of a LevelDB, and nothing else. */
function sizeCase(batch: number, quick: boolean): Case {
  const name = `merge.commits-of-${batch}`;
  const events = quick ? 100_000 : 1_000_000;
  return {
    title: name,
    quantities: [
      { name, unit: "bytes/event", target: { of: "value", at: "most", bound: 35 } },
      { name: `${name}.written`, unit: "times" },
      { name: `${name}.speed`, unit: "MB/s" },
    ],
    measure: (subject, setting) =>
      inChild(async (child) => {
        const { side } = subject;
        const fill = { ...fillOf(setting, events, batch), merges: side !== "product" };
        const filled = await child.ask<Filled>(side === "raw" ? "fillRaw" : "fill", fill);
        if (side === "raw") return figuresOf(filled, events);
        // Merged by itself, so that how fast that goes is not how fast events came.
        const merged = await child.ask<Filled>("mergeOnly", fill);
        const writtenBytes = filled.writtenBytes + merged.writtenBytes;
        return figuresOf({ ...merged, eventBytes: filled.eventBytes, writtenBytes }, events);
      }),
  };
}

function figuresOf({ diskBytes, eventBytes, writtenBytes, mergeMs }: Filled, events: number): number[] {
  return [diskBytes / events, writtenBytes / eventBytes, eventBytes / 1e6 / (mergeMs / 1000)];
}

/** Bare: the same log, which nobody merges. */
function costCase(batch: number, quick: boolean): Case {
  const name = `merge.append-${batch}-while-merging`;
  const events = (quick ? 1000 : 5000) * Math.max(10, batch);
  return {
    title: name,
    quantities: [{ name, unit: "events/s", target: { of: "ratio", at: "least", bound: 0.8 } }],
    measure: ({ side }, setting) =>
      inChild(async (child) => {
        const fill = { ...fillOf(setting, events, batch), merges: side === "product", syncs: true };
        return [(await child.ask<Filled>("fill", fill)).appendRate];
      }),
  };
}

/** Bare: the same after a clean stop. */
function openCase(quick: boolean): Case {
  const events = quick ? 100_000 : 1_000_000;
  return {
    title: "merge.open-killed",
    quantities: [{ name: "merge.open-killed", unit: "ms", target: { of: "value", at: "most", bound: 4000 } }],
    measure: async ({ side }, setting) => {
      const fill = fillOf(setting, events, 10);
      const holder = startChild(new URL("merge-run.js", import.meta.url));
      try {
        if (side === "raw") await holder.ask("fill", fill);
        else await holder.ask("fillAndHold", fill);
      } finally {
        if (side === "product") process.kill(holder.pid, "SIGKILL");
        await holder.stop();
      }
      return inChild(async (child) => [(await child.ask<{ ms: number }>("reopen", fill)).ms]);
    },
  };
}

/** Bare: the log is walked from its start, as without an index. */
function pastCase(events: number, name: string): Case {
  return {
    title: name,
    quantities: [
      { name: `${name}.p50`, unit: "ms" },
      { name: `${name}.p99`, unit: "ms", target: { of: "value", at: "most", bound: 20 } },
    ],
    measure: ({ side }, setting) =>
      inChild(async (child) => {
        const fill = fillOf(setting, events, 100);
        await child.ask("fill", fill);
        const { directory } = fill;
        if (side === "raw") return child.ask("pastByWalk", { directory, samples: 3 } satisfies Past);
        return child.ask("past", { directory, samples: 1000 } satisfies Past);
      }),
  };
}

export const merge: Question = {
  name: "merge",
  asks: "What do merged events take on the disk, what does merging cost, and how fast is the past read?",
  cases: (quick) => [
    ...[1, 10, 100].map((batch) => sizeCase(batch, quick)),
    ...[1, 100].map((batch) => costCase(batch, quick)),
    openCase(quick),
    ...(quick
      ? [pastCase(100_000, "past.100k")]
      : [pastCase(1_000_000, "past.1m"), pastCase(10_000_000, "past.10m")]),
  ],
};
