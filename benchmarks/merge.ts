import { inChild } from "./child.ts";
import type { Case, Question, Setting } from "./harness.ts";
import type { Fill, Filled, Sized } from "./twin-log.ts";

const program = new URL("merge-run.js", import.meta.url);

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
      inChild(program, async (child) => {
        const { side } = subject;
        const fill = { ...fillOf(setting, events, batch), merges: side !== "product" };
        const filled = await child.ask<Sized>(side === "raw" ? "fillRaw" : "fill", fill);
        if (side === "raw") return figuresOf(filled, events);
        // Merged by itself, so that how fast that goes is not how fast events came.
        const merged = await child.ask<Sized>("mergeOnly", fill);
        const writtenBytes = filled.writtenBytes + merged.writtenBytes;
        return figuresOf({ ...merged, eventBytes: filled.eventBytes, writtenBytes }, events);
      }),
  };
}

function figuresOf({ diskBytes, eventBytes, writtenBytes, mergeMs }: Sized, events: number): number[] {
  return [diskBytes / events, writtenBytes / eventBytes, eventBytes / 1e6 / (mergeMs / 1000)];
}

/** Bare: the same log, which nobody merges. */
function costCase(batch: number, quick: boolean): Case {
  const name = `merge.append-${batch}-while-merging`;
  const events = (quick ? 1000 : 5000) * Math.max(10, batch);
  return {
    title: name,
    quantities: [
      { name, unit: "events/s", target: { of: "ratio", at: "least", bound: 0.8 } },
      { name: `${name}.written`, unit: "times" },
      { name: `${name}.synced`, unit: "times" },
    ],
    measure: ({ side }, setting) =>
      inChild(program, async (child) => {
        const fill = { ...fillOf(setting, events, batch), merges: side === "product", syncs: true };
        const filled = await child.ask<Filled>("fill", fill);
        const { appendRate, eventBytes, writtenBytes, syncedBytes } = filled;
        return [appendRate, writtenBytes / eventBytes, syncedBytes / eventBytes];
      }),
  };
}

/** Bare: the same log, which is merged too, and of which nothing is forgotten. */
function forgetCase(batch: number, quick: boolean): Case {
  const name = `merge.append-${batch}-while-forgetting`;
  const events = (quick ? 2000 : 10_000) * batch;
  return {
    title: name,
    quantities: [
      { name, unit: "events/s", target: { of: "ratio", at: "least", bound: 0.8 } },
      { name: `${name}.written`, unit: "times" },
      { name: `${name}.left`, unit: "bytes/event" },
    ],
    measure: ({ side }, setting) =>
      inChild(program, async (child) => {
        const fill = { ...fillOf(setting, events, batch), syncs: true, forgets: side === "product" };
        const filled = await child.ask<Filled>("fill", fill);
        const { appendRate, eventBytes, writtenBytes, diskBytes } = filled;
        return [appendRate, writtenBytes / eventBytes, diskBytes / events];
      }),
  };
}

export const merge: Question = {
  name: "merge",
  asks: "What do merged events take on the disk, and what do merging and forgetting cost?",
  cases: (quick) => [
    ...[1, 10, 100].map((batch) => sizeCase(batch, quick)),
    ...[1, 100].map((batch) => costCase(batch, quick)),
    forgetCase(50, quick),
  ],
};
