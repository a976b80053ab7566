import { type Case, type Question, sleep } from "./harness.ts";
import { cpuSeconds } from "./machine.ts";

/** What is left by 20 publishers with 64 messages in flight each. */
const underLoad = { devices: 20, properties: 1, perMessage: 1, perCommit: 430, everyMs: 0 };

function caseOf(quick: boolean): Case {
  const events = quick ? 200_000 : 1_000_000;
  return {
    title: "catch-up",
    quantities: [
      { name: "catch-up", unit: "events/s", target: { of: "value", at: "least", bound: 200_000 } },
      { name: "catch-up.edge-cpu", unit: "µs/event" },
      { name: "catch-up.cloud-cpu", unit: "µs/event" },
    ],
    measure: async (subject, { directory }) => {
      const backlog = await subject.startBacklog({ directory, reports: { events, ...underLoad } });
      try {
        const before = await backlog.stored();
        const cpu = [cpuSeconds(backlog.edge), cpuSeconds(backlog.cloud)] as const;
        const began = performance.now();
        const connected = backlog.connect();
        for (;;) {
          await sleep(0.01);
          const stored = (await backlog.stored()) - before;
          if (stored >= events) break;
          if (performance.now() - began > 300_000) throw new Error(`${stored} of ${events} after 300 s`);
        }
        const seconds = (performance.now() - began) / 1000;
        const edge = cpuSeconds(backlog.edge) - cpu[0];
        const cloud = cpuSeconds(backlog.cloud) - cpu[1];
        await connected;
        return [events / seconds, (edge / events) * 1e6, (cloud / events) * 1e6];
      } finally {
        await backlog.close();
      }
    },
  };
}

export const catchUp: Question = {
  name: "catch-up",
  asks: "How fast does the cloud get what a node gathered during an outage?",
  cases: (quick) => [caseOf(quick)],
};
