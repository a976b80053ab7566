import { drain } from "./drain.ts";
import type { Case, Question } from "./harness.ts";

/** 24 hours, ten a second. */
const eventsOfDay = 864_000;

/** @param perMessage properties that a device reports at once: each message was a commit of its own, at this rate */
function caseOf(name: string, perMessage: number, quick: boolean): Case {
  const events = quick ? eventsOfDay / 10 : eventsOfDay;
  return {
    title: name,
    quantities: [
      { name, unit: "s", target: { of: "value", at: "most", bound: 10 } },
      { name: `${name}.wire`, unit: "bytes/event", target: { of: "value", at: "most", bound: 27 } },
      { name: `${name}.edge-cpu`, unit: "µs/event" },
      { name: `${name}.cloud-cpu`, unit: "µs/event" },
    ],
    measure: async (subject, { directory }) => {
      const reports = {
        events,
        devices: 100,
        properties: 5,
        perMessage,
        perCommit: perMessage,
        everyMs: 100,
      };
      const backlog = await subject.startBacklog({ directory, reports });
      try {
        const limits = { pollSeconds: 0.1, limitSeconds: 600 };
        const { seconds, edge, cloud } = await drain(backlog, events, limits);
        await backlog.verify(events);
        const bytes = await backlog.sentBytes();
        return [seconds, bytes / events, (edge / events) * 1e6, (cloud / events) * 1e6];
      } finally {
        await backlog.close();
      }
    },
  };
}

export const offlineDay: Question = {
  name: "offline-day",
  asks: "A node was offline for 24 hours, with ten reports a second: how long until the cloud has them all?",
  cases: (quick) => [caseOf("offline-day", 5, quick), caseOf("offline-day.single", 1, quick)],
};
