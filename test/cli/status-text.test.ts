import t from "tap";
import { statusText } from "../../cli/status-text.ts";
import { plain } from "../../cli/paint.ts";
import type { RetentionRow } from "../../protocol/rest/status-api.ts";

const gibi = 1024 ** 3;

function lineOf(room: Partial<RetentionRow>): string | undefined {
  const status = {
    role: "cloud",
    version: "0.1.0",
    dataDir: "data",
    pid: 1,
    addresses: {},
    nodes: [],
    queues: {},
    retention: { policy: null, ...room },
    problems: [],
    logs: [],
  } as const;
  const text = statusText(status, { paint: plain, nowMs: 0, lineWidth: undefined });
  return text
    .split("\n")
    .find((line) => line.startsWith("  log "))
    ?.trim();
}

t.test("status says how much room there is", async (t) => {
  const ample = {
    limitBytes: gibi,
    usedBytes: gibi / 2,
    freeBytes: 5 * gibi,
    reserve: true,
    pressure: 0,
  } as const;
  t.equal(lineOf(ample), "log      512 MiB of 1 GiB, 5 GiB free on the disk, reserve kept");
  t.equal(
    lineOf({ ...ample, limitBytes: null, reserve: false, pressure: 1 }),
    "log      512 MiB, no limit, 5 GiB free on the disk, no reserve, tight",
  );
  t.match(lineOf({ ...ample, pressure: 2 }), /reserve kept, short$/);
  t.match(lineOf({ ...ample, pressure: 3 }), /reserve kept, no room left$/);
  t.equal(lineOf({ ...ample, usedBytes: null, freeBytes: null }), "log      unknown of 1 GiB, reserve kept");
  t.equal(lineOf({}), undefined, "of a stopped process nothing is measured");
});
