import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startChild } from "./child.ts";
import type { Case, Question } from "./harness.ts";
import { node } from "./product/names.ts";
import type { ReplayRun } from "./replay-run.ts";
import type { Side } from "./subject.ts";

function pathOf(module: string): string {
  return fileURLToPath(new URL(module, import.meta.url));
}

function caseOf(quick: boolean): Case {
  const events = quick ? 200_000 : 1_000_000;
  return {
    title: "replay",
    quantities: [
      { name: "replay.fold", unit: "events/s", target: { of: "value", at: "least", bound: 1_000_000 } },
      {
        name: `replay.command-${events}`,
        unit: "s",
        ...(!quick && { target: { of: "value", at: "most", bound: 3 } }),
      },
    ],
    measure: async ({ side }, { directory }) => {
      const child = startChild(new URL("replay-run.js", import.meta.url));
      try {
        const rate = await child.ask<number>("run", { side, dataDir: directory, events } satisfies ReplayRun);
        return [rate, runCommand(side, directory, events)];
      } finally {
        await child.stop();
      }
    },
  };
}

/** @returns seconds from its start to its end */
function runCommand(side: Side, dataDir: string, events: number): number {
  const command =
    side === "raw"
      ? [pathOf("raw/replay.js"), join(dataDir, "edge", node, "log")]
      : [pathOf("../cli/main.js"), "replay", "--json", "--data-dir", dataDir];
  const began = performance.now();
  const { stdout, status } = spawnSync(process.execPath, command, { encoding: "utf8" });
  const seconds = (performance.now() - began) / 1000;
  if (status !== 0 || !stdout.includes(String(events)))
    throw new Error(`a replay ended with ${status}: ${stdout}`);
  return seconds;
}

export const replay: Question = {
  name: "replay",
  asks: "How fast is a log replayed: decoded and folded, and by `tidemark replay` with hashes at every 100,000 events?",
  cases: (quick) => [caseOf(quick)],
};
