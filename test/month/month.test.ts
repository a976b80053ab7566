/** Six hours under a limit that it does not fit into; the whole month is `npm run month`. */
import t from "tap";
import { runMonth } from "./run.ts";

t.test("a log under a limit loses nothing without a word, and answers for its past", async (t) => {
  const limitBytes = 3 * 1024 * 1024;
  const { failures, model, past, mostBytes, counts } = await runMonth({
    seed: 3,
    days: 0.25,
    limitBytes,
    reportEveryMs: 20_000,
    directory: t.testdir(),
    progress: (line) => t.comment(line),
  });
  t.strictSame(failures, []);
  t.ok(model.reports > 200_000, `${model.reports} reports`);
  t.equal(model.arrived + model.lost.events >= model.reports, true, "each came, or was named");
  t.ok(past.asked > 0 && past.right > past.asked / 2, `${past.right} of ${past.asked} were right`);
  for (const [side, bytes] of Object.entries(mostBytes)) {
    t.ok(bytes > limitBytes / 2, `the ${side} came near its limit: ${bytes}`);
    t.ok(bytes < limitBytes + 16 * 1024 * 1024, `the ${side} kept to it, and its margin: ${bytes}`);
  }
  t.ok((counts["damages"] ?? 0) > 0);
});
