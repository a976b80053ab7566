import t from "tap";
import { conflictListText, conflictText } from "../../cli/conflict-text.ts";
import { plain } from "../../cli/paint.ts";
import type { EventId } from "../../core/event.ts";
import type { ConflictRow } from "../../protocol/rest/conflicts.ts";

const event = "n0000000000001/9" as EventId;
const row: ConflictRow = {
  id: "c0000000000001/7" as EventId,
  time: "2026-09-01T12:00:00.000Z",
  node: "edge-1",
  namespace: "default",
  name: "thermo-1",
  property: "temp",
  cloud: { value: "21", time: "2026-09-01T11:00:00.000Z", event: "c0000000000001/5" as EventId },
  edge: { value: null, time: "2026-09-01T11:30:00.000Z", event },
  winner: "cloud",
  policy: "cloud",
  outcome: { state: "standing", winner: "cloud", policy: "cloud" },
};
const options = { paint: plain, lineWidth: undefined, shorten: (id: string) => id.replace(/0{5,}/, "") };

t.test("a list has a line for each, and says what is so now", async (t) => {
  const rows: ConflictRow[] = [
    row,
    { ...row, outcome: { state: "standing", winner: "edge", policy: "edge" } },
    { ...row, outcome: { state: "overridden", event, value: "21" } },
    { ...row, outcome: { state: "superseded", event, value: null } },
    { ...row, outcome: { state: "deleted" } },
  ];
  const [head, ...lines] = conflictListText(rows, options).trimEnd().split("\n");
  t.match(head, /^TIME +ID +NODE +DEVICE +PROPERTY +CLOUD +EDGE +WINNER +DECIDED-BY +NOW$/);
  const start = / c1\/7 +edge-1 +default\/thermo-1 +temp +21 +\(withdrawn\) +cloud +policy cloud +/;
  for (const line of lines) t.match(line, start);
  t.strictSame(
    lines.map((line) => line.split(/policy cloud +/).at(-1)),
    [
      "stands",
      "stands, the edge's by policy edge",
      "overridden: 21, by n1/9",
      "superseded: (withdrawn), by n1/9",
      "device gone",
    ],
  );
  t.equal(conflictListText([], options), "No conflicts.\n");
});

t.test("one is shown whole, with what can be done while it stands", async (t) => {
  const text = conflictText(row, options);
  t.match(text, /cloud +21 +said 2026-09-01T11:00:00.000Z, c0000000000001\/5\n/);
  t.match(text, /edge +\(withdrawn\)/);
  t.match(text, /conflicts override c1\/7 --winner cloud\|edge/);
  const ended = conflictText({ ...row, outcome: { state: "deleted" } }, options);
  t.notMatch(ended, /override/);
});
