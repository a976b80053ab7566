import { inChild, startChild } from "./child.ts";
import type { Case, Question } from "./harness.ts";
import { logDirectory, prepareNode } from "./product.ts";
import type { Fill } from "./twin-log.ts";

const program = new URL("open-run.js", import.meta.url);
const edgeProgram = new URL("product/edge.js", import.meta.url);

interface End {
  readonly isKilled: boolean;
  readonly merges: boolean;
  /** Events of one commit. */
  readonly batch: number;
}

/** Bare: a process that opens the same LevelDB, and reads one row of it. */
function caseOf(name: string, events: number, boundSeconds: number, { isKilled, merges, batch }: End): Case {
  return {
    title: name,
    quantities: [{ name, unit: "s", target: { of: "value", at: "most", bound: boundSeconds } }],
    measure: async ({ side }, { directory }) => {
      const node = await prepareNode(directory);
      const filled: Fill = { directory: logDirectory(node), events, batch, merges, syncs: false };
      const filler = startChild(program);
      try {
        await filler.ask(isKilled ? "fillAndHold" : "fill", filled);
      } finally {
        if (isKilled) process.kill(filler.pid, "SIGKILL");
        await filler.stop();
      }
      const began = performance.now();
      return inChild(side === "raw" ? program : edgeProgram, async (child) => {
        await (side === "raw" ? child.ask("openBare", filled.directory) : child.ask("start", node));
        return [(performance.now() - began) / 1000];
      });
    },
  };
}

export const open: Question = {
  name: "open",
  asks: "How long is it from the start of a node's process until it takes messages, with a long log?",
  cases: (quick) => {
    const events = quick ? 100_000 : 1_000_000;
    // As much as there can be after the last snapshot.
    const killedAt = events - 5000;
    const killed = { isKilled: true, merges: true, batch: 10 };
    return [
      caseOf("open.stopped", events, 2, { isKilled: false, merges: true, batch: 10 }),
      caseOf("open.killed", killedAt, 4, killed),
      caseOf("open.killed-unmerged", killedAt, 4, { ...killed, merges: false, batch: 1 }),
    ];
  },
};
