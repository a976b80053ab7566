/** The crash test for a minute: `npm run crash` is the same for as long as one likes, from any seed. */
import t from "tap";
import { describe } from "../crash/report.ts";
import { runCrash } from "../crash/run.ts";

const seed = 4;

// A minute of faults, and however long a slow machine takes to start everything again and to agree.
t.setTimeout(600_000);

t.test(
  "nothing acknowledged is lost by processes that are killed, paused, cut off and out of disk",
  async (t) => {
    const never = new AbortController().signal;
    const progress = (line: string): void => t.comment(line);
    const report = await runCrash({ seed, minutes: 1, convergeWithinMs: 240_000, progress, signal: never });
    for (const line of describe(report).trimEnd().split("\n")) t.comment(line);
    t.same(report.lost, []);
    t.same(report.wrong, []);
    t.ok(report.acked > 0 && report.set > 0, "there was something to lose");
    t.ok(
      (report.faults["kill"] ?? 0) > 0 && (report.faults["pause"] ?? 0) > 0,
      "and something to lose it by",
    );
  },
);
