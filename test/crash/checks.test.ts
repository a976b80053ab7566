/** The judge of the crash test must see each thing that can go wrong, or what it says is worth nothing. */
import t from "tap";
import type { EventRow } from "../../protocol/rest/log-api.ts";
import { type Held, judge } from "./checks.ts";
import { Ledger } from "./ledger.ts";

const node = "edge-node-1";
const device = "machine-1-1";

/** Three messages on one connection, and one more on the next: `2` was sent again. */
function ledgerOf(): Ledger {
  const ledger = new Ledger();
  const { sent } = ledger.reportsOf(node, device);
  sent.push({ value: "1.1", connection: 1, acked: true });
  sent.push({ value: "2.1", connection: 1, acked: false });
  sent.push({ value: "2.2", connection: 2, acked: true });
  sent.push({ value: "3.1", connection: 2, acked: true });
  const { wished, deltas } = ledger.wishesOf(node, device);
  for (const [index, acked] of [true, false, true, false].entries())
    wished.push({ value: String(index + 1), acked });
  deltas.push("1", "3");
  return ledger;
}

function event(type: string, slot: string, value: string): EventRow {
  const id = { log: node, position: 1, origin: "n", seq: 1, seen: {}, time: "" };
  const key = `devices/default/${device}`;
  return { ...id, type, class: "twin", key, slot, life: null, body: [value], cause: null };
}

function reported(...values: readonly string[]): EventRow[] {
  return values.flatMap((value) => [
    event("twin.reported", "reported/count", value),
    event("twin.reported", "reported/echo", value),
  ]);
}

function wanted(...values: readonly string[]): EventRow[] {
  return values.map((value) => event("twin.desired", "desired/wanted", value));
}

const origins = { n0: { first: 1, last: 8, hash: "aa" }, c0: { first: 1, last: 2, hash: "bb" } };
const good = [...reported("1.1", "2.2", "3.1"), ...wanted("1", "3")];

function held(side: Held["side"], changes: Partial<Held> = {}): Held {
  const verified = { ok: true, events: 8, segments: 8, origins, problems: [] };
  return { node, side, events: good, verified, stateHash: "cc", ...changes };
}

function verdictOf(changes: Partial<Held>, ledger = ledgerOf()): string[] {
  const { lost, wrong } = judge(ledger, [held("cloud"), held("node", changes)]);
  return [...lost.map((line) => `LOST ${line}`), ...wrong];
}

t.test("what is as promised is not complained about", async (t) => {
  t.same(verdictOf({}), []);
  const twice = { events: [...reported("1.1", "2.1", "2.2", "3.1"), ...wanted("1", "3")] };
  t.same(verdictOf(twice), [], "what had no acknowledgement may be there, and is sent again");
  t.same(verdictOf({ events: [...reported("1.1", "2.2", "3.1"), ...wanted("1", "2", "4")] }), []);
});

for (const { title, events, says } of [
  { title: "an acknowledged message is gone", events: reported("1.1", "2.2"), says: /^LOST.*3\.1/ },
  {
    title: "half of an acknowledged message is gone",
    events: reported("1.1", "2.2", "3.1").slice(0, -1),
    says: /^LOST echo 3\.1/,
  },
  { title: "a message is there twice", events: reported("1.1", "1.1", "2.2", "3.1"), says: /more than once/ },
  { title: "two have changed places", events: reported("1.1", "3.1", "2.2"), says: /2\.2 .* behind 3\.1/ },
  {
    title: "one of a device that never sent it",
    events: reported("1.1", "2.2", "3.1", "9.1"),
    says: /never sent/,
  },
]) {
  t.test(`it sees that ${title}`, async (t) => {
    t.match(verdictOf({ events: [...events, ...wanted("1", "3")] }), [says]);
  });
}

t.test("it sees that a connection's message was dropped, though none was promised", async (t) => {
  const ledger = ledgerOf();
  for (const each of ledger.reports[0]?.sent ?? []) each.acked = false;
  const verdict = verdictOf({ events: [...reported("2.1", "2.2", "3.1"), ...wanted("1", "3")] }, ledger);
  t.match(verdict, [/2\.1 .* and not 1\.1/]);
});

for (const { title, values, says } of [
  { title: "an older wish stands at the end", values: ["1", "2"], says: /wants 2 .* and not 3 or 4/ },
  { title: "a wish came back", values: ["1", "3", "2", "3"], says: /wants 2 .* after 3/ },
  { title: "a wish is one of nobody's", values: ["1", "3", "7"], says: /nobody asked for/ },
]) {
  t.test(`it sees that ${title}`, async (t) => {
    t.ok(
      verdictOf({ events: [...reported("1.1", "2.2", "3.1"), ...wanted(...values)] }).some((line) =>
        says.test(line),
      ),
    );
  });
}

t.test("it sees a delta that never came, and one that went back", async (t) => {
  const silent = ledgerOf();
  silent.wishes[0]?.deltas.pop();
  t.match(verdictOf({}, silent), [/last delta .* says 1/]);
  const back = ledgerOf();
  back.wishes[0]?.deltas.push("2", "3");
  t.match(verdictOf({}, back), [/told to be at 2 after 3/]);
});

t.test("it sees sides that differ, and logs that are damaged or forked", async (t) => {
  t.match(verdictOf({ stateHash: "dd" }), [/states differ/]);
  const verified = held("node").verified;
  const other = { ...origins, n0: { first: 1, last: 8, hash: "ee" } };
  t.match(verdictOf({ verified: { ...verified, origins: other } }), [/of n0 the cloud has 8 \(aa\)/]);
  const problem = { code: "LOG_GAP", origin: "n0", from: 3, to: 4 };
  t.match(verdictOf({ verified: { ...verified, problems: [problem] } }), [/LOG_GAP, n0 3 to 4/]);
  const forked = { ...origins, n1: { first: 1, last: 1, hash: "ff" } };
  t.match(verdictOf({ verified: { ...verified, origins: forked } }), [/2 incarnations/, /of n1/]);
});
