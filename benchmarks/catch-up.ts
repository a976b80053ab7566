import { drain } from "./drain.ts";
import type { Case, Question } from "./harness.ts";

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
        const limits = { pollSeconds: 0.01, limitSeconds: 300 };
        const { seconds, edge, cloud } = await drain(backlog, events, limits);
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
