import * as fc from "fast-check";
import t from "tap";
import type { StatsRow } from "../../protocol/rest/log-api.ts";
import { chooseLog } from "../../cli/log-choice.ts";
import { parseBound, rangeQuery } from "../../cli/log-range.ts";
import { parseDeviceName, resolveEventId, shortOrigins } from "../../cli/names.ts";

t.test("a device is NAMESPACE/NAME, or NAME in the namespace that is said, or in default", async (t) => {
  t.same(parseDeviceName("plant/thermo-1", undefined), { namespace: "plant", name: "thermo-1" });
  t.same(parseDeviceName("thermo-1", undefined), { namespace: "default", name: "thermo-1" });
  t.same(parseDeviceName("thermo-1", "plant"), { namespace: "plant", name: "thermo-1" });
  t.same(parseDeviceName("plant/thermo-1", "plant"), { namespace: "plant", name: "thermo-1" });
  for (const text of ["", "/", "a/", "/b", "a/b/c"]) {
    t.throws(() => parseDeviceName(text, undefined), { code: "USAGE" }, JSON.stringify(text));
  }
  t.throws(() => parseDeviceName("a/b", "c"), { code: "USAGE" }, "two namespaces");
});

const [first, second] = ["n4k2p8wj3b7xtd", "n4k2p9wj3b7xtd"];

t.test("origins are shortened as far as they can be told apart", async (t) => {
  t.same([...shortOrigins(["c1111111111111", first]).values()], ["c1111", "n4k2p"]);
  t.same([...shortOrigins([first, second]).values()], ["n4k2p8", "n4k2p9"]);
  t.same([...shortOrigins([first, first]).values()], ["n4k2p"], "the same one twice");
  t.same([...shortOrigins([]).values()], []);
  const origin = fc.string({ unit: fc.constantFrom("0", "1"), minLength: 14, maxLength: 14 });
  fc.assert(
    fc.property(fc.uniqueArray(origin), (origins) => {
      const short = shortOrigins(origins);
      return origins.every(
        (one) => origins.filter((other) => other.startsWith(short.get(one) ?? "")).length === 1,
      );
    }),
  );
});

t.test("an event may be named by as much of its origin as is clear", async (t) => {
  t.same(resolveEventId(`${first}/17`, [first, second]), { origin: first, seq: 17 });
  t.same(resolveEventId("n4k2p8/17", [first, second]), { origin: first, seq: 17 });
  t.throws(() => resolveEventId("n4k/17", [first, second]), { code: "USAGE", message: /n4k2p8.* or n4k2p9/ });
  t.throws(() => resolveEventId("c4/17", [first, second]), { code: "NOT_FOUND" });
  for (const text of ["17", "n4k2p", "n4k2p/0", "n4k2p/x", "x4/1", "n4k2p/1/2"]) {
    t.throws(() => resolveEventId(text, [first]), { code: "USAGE" }, text);
  }
});

const now = Date.UTC(2026, 8, 1, 12);

t.test("a place in a log is a position, an instant or an event", async (t) => {
  t.same(parseBound("17", now), { position: 17 });
  t.same(parseBound("n4k2p/17", now), { event: "n4k2p/17" });
  t.same(parseBound("now", now), { time: now });
  t.same(parseBound("-15m", now), { time: now - 900_000 });
  t.same(parseBound("2026-09-01T12:00:00Z", now), { time: now });
  t.same(parseBound(String(now), now), { time: now }, "ms since the epoch");
  for (const text of ["", "yesterday", "-5", "2026-13-01"]) {
    t.throws(() => parseBound(text, now), { code: "USAGE" }, JSON.stringify(text));
  }
});

t.test("a range asks the server for positions and for times", async (t) => {
  const positionOf = async (event: string): Promise<number> => Number(event.split("/")[1]) + 100;
  t.same(await rangeQuery({ event: "n1/5" }, { position: 200 }, positionOf), { from: "105", to: "200" });
  const times = await rangeQuery({ time: now - 10 }, { time: now }, positionOf);
  t.same(times, { since: String(now - 10), until: String(now) });
  t.same(await rangeQuery(undefined, { time: now }, positionOf), { until: String(now) });
});

function stats(log: string, side = "cloud"): StatsRow {
  return { log, side } as StatsRow;
}

t.test("a log is the only node's, the named one's, or the cluster's", async (t) => {
  const rows = [stats("cluster"), stats("edge-1"), stats("edge-2")];
  const names = (node: string | undefined, isCluster = false, all = rows): unknown =>
    chooseLog(all, { node, isCluster }).ref;
  t.same(names(undefined, false, rows.slice(0, 2)), { name: "edge-1", isCluster: false });
  t.same(names("edge-2"), { name: "edge-2", isCluster: false });
  t.same(names(undefined, true), { name: "cluster", isCluster: true });
  t.throws(() => names(undefined), { code: "USAGE", message: /edge-1, edge-2/ });
  t.throws(() => names("edge-3"), { code: "NOT_FOUND", message: /edge-1, edge-2/ });
  t.throws(() => names(undefined, false, rows.slice(0, 1)), { code: "NOT_FOUND" });
  t.throws(
    () => names(undefined, true, [stats("edge-1", "node")]),
    { code: "NOT_FOUND" },
    "a node has no cluster log",
  );
});

t.test("a node may be called cluster", async (t) => {
  const rows = [stats("cluster"), stats("cluster")];
  t.same(chooseLog(rows, { node: "cluster", isCluster: false }).ref, { name: "cluster", isCluster: false });
  t.equal(chooseLog(rows, { node: "cluster", isCluster: false }).row, rows[1]);
  const [alone] = [stats("cluster", "node")];
  t.same(chooseLog([alone], { node: undefined, isCluster: false }).ref, {
    name: "cluster",
    isCluster: false,
  });
});
