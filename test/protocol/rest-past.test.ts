import * as fc from "fast-check";
import assert from "node:assert/strict";
import t from "tap";
import { type EventId, type Seen, eventId } from "../../core/event.ts";
import { nodeLog } from "../../core/event.ts";
import { silenceOf } from "../../protocol/rest/completeness.ts";
import { c1, c2, n1, n2 } from "../core/drafts.ts";
import { deleted, desired, reported, thermo } from "../core/log-site.ts";
import { MadeLog } from "../core/past-log.ts";
import { PastWorld, declared, device, model, nowMs } from "./past-world.ts";

/** Declared at 100, deleted at 500, declared again at 700; a value at 200, wanted at 300, obeyed at 400. */
function lived(): { world: PastWorld; first: EventId; second: EventId } {
  const world = new PastWorld();
  const { node } = world;
  world.connected();
  node.add(c1, model, { time: 90 });
  const first = node.add(c1, declared(), { time: 100 });
  node.add(n1, reported("20", first), { time: 200 });
  node.add(c1, desired("25", first), { time: 300 });
  node.add(n1, reported("25", first), { time: 400, seen: [{ origin: c1, seq: 3 }] });
  node.add(c1, deleted(first), { time: 500 });
  const second = node.add(c1, declared(), { time: 700 });
  node.add(n1, reported("30", second), { time: 800, seen: [{ origin: c1, seq: 5 }] });
  return { world, first, second };
}

t.test("a device at an instant is the last change before it, carried forward", async (t) => {
  const { world } = lived();
  const values = async (at: string): Promise<unknown> => {
    const { body } = await world.get(device, { at });
    const { temperature } = body["properties"] as Record<string, Record<string, { value: string } | null>>;
    return [temperature?.["reported"]?.value, temperature?.["desired"]?.value];
  };
  t.same(await values("100"), [undefined, undefined]);
  t.same(await values("200"), ["20", undefined], "at the very instant it counts");
  t.same(await values("299"), ["20", undefined]);
  t.same(await values("399"), ["20", "25"]);
  t.same(await values("1970-01-01T00:00:00.450Z"), ["25", "25"]);
  t.same(await values("900"), ["30", undefined], "a new life has none of the old one's values");
  t.same(await values("now"), ["30", undefined]);
  t.same(await values(`${n1}/2`), ["25", "25"], "an event, and what it had seen");
  t.same(await values(`${c1}/3`), [undefined, "25"], "and no more than that");
  t.match(await world.get(device, { at: "350" }), {
    status: 200,
    body: {
      namespace: "default",
      name: "thermo-1",
      node: "edge-1",
      model: "thermo",
      properties: { temperature: { type: "INT", inSync: false } },
      asOf: { time: "1970-01-01T00:00:00.350Z", vector: { [c1]: 3, [n1]: 1 } },
      complete: true,
      gaps: [],
      earliest: "1970-01-01T00:00:00.090Z",
      warnings: [],
    },
  });
});

t.test("why a device was not there is told apart", async (t) => {
  const { world } = lived();
  t.match(await world.get(device, { at: "95" }), {
    status: 404,
    body: {
      details: {
        reason: "notYet",
        since: "1970-01-01T00:00:00.100Z",
        earliest: "1970-01-01T00:00:00.090Z",
        complete: true,
        causes: [{ reason: "NOT_YET" }],
      },
    },
  });
  t.match(await world.get(device, { at: "600" }), {
    status: 404,
    body: {
      message: /had been deleted/,
      details: { reason: "deleted", deleted: "1970-01-01T00:00:00.500Z", causes: [{ reason: "DELETED" }] },
    },
  });
  t.match(await world.get(device.replace("thermo-1", "nope"), { at: "600" }), {
    status: 404,
    body: { details: { reason: "never", causes: [{ reason: "NOT_FOUND" }] } },
  });
  t.match(await world.get(device.replace("edge-1", "edge-9"), { at: "600" }), {
    status: 404,
    body: { details: { causes: [{ reason: "NODE_UNKNOWN" }] } },
  });
});

t.test("what is forgotten is gone, not absent", async (t) => {
  const world = new PastWorld();
  world.connected();
  const life = eventId(c1, 5);
  world.node.take({ ...declared(), body: {}, origin: c1, seq: 5, time: 500, seen: [], position: 0 });
  world.node.add(n1, reported("1", life), { time: 600 });
  t.match(await world.get(device, { at: "400" }), {
    status: 410,
    body: { details: { earliest: "1970-01-01T00:00:00.600Z", causes: [{ reason: "FORGOTTEN" }] } },
  });
  t.equal((await world.get(`${device}/history`, { from: "400" })).status, 410);
  t.equal((await world.get(device, { at: "600" })).status, 200);
});

t.test("what can't be asked is refused", async (t) => {
  const { world } = lived();
  const refused: [string, Record<string, string>, RegExp][] = [
    ["", { at: "yesterday" }, /at=yesterday is no instant/],
    ["/diff", { from: "500", to: "200" }, /reversed/],
    ["/diff", { from: "now", to: "-1s" }, /reversed/],
    ["/diff", {}, /from is missing/],
    ["/history", { from: "500", to: "200" }, /reversed/],
    ["/history", { limit: "0" }, /limit=0/],
    ["/history", { limit: "10001" }, /limit=10001/],
    ["/history", { order: "up" }, /order=up/],
    ["/history", { cursor: "x" }, /cursor=x/],
    ["/history", { cursor: `${n1}/99@3` }, /cursor=/],
    ["/history", { format: "csv" }, /format=csv/],
    ["/why", {}, /property is missing/],
  ];
  for (const [verb, query, message] of refused) {
    t.match(await world.get(`${device}${verb}`, query), {
      status: 400,
      body: { message, details: { causes: [{ reason: "USAGE" }] } },
    });
  }
  t.match(await world.get(device, { at: `${n1}/99` }), { status: 404, body: { message: /n\S+\/99/ } });
  t.equal((await world.get(`${device}/nothing`)).status, 0, "it is not for these routes");
});

t.test("the future is answered as far as it is known, with a warning", async (t) => {
  const { world } = lived();
  const future = String(nowMs + 1000);
  t.match(await world.get(device, { at: future }), {
    status: 200,
    body: {
      complete: true,
      warnings: [/in the future/],
      properties: { temperature: { reported: { value: "30" } } },
    },
  });
  t.match(await world.get(`${device}/history`, { from: future }), {
    status: 200,
    body: { items: [], warnings: [/from .* in the future/], next: null },
  });
});

t.test("history: every change of every life, oldest first", async (t) => {
  const { world } = lived();
  const { body } = await world.get(`${device}/history`);
  t.same(
    (body["items"] as Record<string, unknown>[]).map((item) => Object.values(item)),
    [
      ["1970-01-01T00:00:00.100Z", `${c1}/2`, "resource.applied", null, null],
      ["1970-01-01T00:00:00.200Z", `${n1}/1`, "twin.reported", "temperature", "20"],
      ["1970-01-01T00:00:00.300Z", `${c1}/3`, "twin.desired", "temperature", "25"],
      ["1970-01-01T00:00:00.400Z", `${n1}/2`, "twin.reported", "temperature", "25"],
      ["1970-01-01T00:00:00.500Z", `${c1}/4`, "resource.deleted", null, null],
      ["1970-01-01T00:00:00.700Z", `${c1}/5`, "resource.applied", null, null],
      ["1970-01-01T00:00:00.800Z", `${n1}/3`, "twin.reported", "temperature", "30"],
    ],
  );
  const events = async (query: Record<string, string>): Promise<string[]> => {
    const { body } = await world.get(`${device}/history`, query);
    return (body["items"] as { event: string }[]).map(({ event }) => event);
  };
  t.same(await events({ from: "200", to: "400" }), [`${n1}/1`, `${c1}/3`], "the end does not count in");
  t.same(
    await events({ from: `${c1}/3`, to: `${c1}/4` }),
    [`${c1}/3`, `${n1}/2`],
    "from an event to an event",
  );
  t.same(await events({ from: "300", to: "300" }), []);
  t.same(await events({ property: "temperature", order: "desc", limit: "2" }), [`${n1}/3`, `${n1}/2`]);
  t.same(await events({ property: "nothing" }), []);
});

t.test("as lines: all of it, and at the end what a page says beside its items", async (t) => {
  const { world } = lived();
  const { lines } = await world.get(`${device}/history`, { format: "ndjson", limit: "2" });
  t.equal(lines.length, 8);
  t.match(lines[0], { event: `${c1}/2` });
  t.match(lines[7], { complete: true, gaps: [], next: null });
});

t.test("pages are of the log as it was at the first, whatever comes meanwhile", async () => {
  const change = fc.record({ time: fc.nat(50), ofNode: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { maxLength: 20 }),
      fc.array(change, { maxLength: 5 }),
      fc.integer({ min: 1, max: 6 }),
      fc.constantFrom("asc", "desc"),
      async (before, meanwhile, limit, order) => {
        const world = new PastWorld();
        const life = world.node.add(c1, declared());
        // Each side's own time rises; what of the node comes now may be older than what came of the cloud.
        const clocks = { cloud: 1, node: 1 };
        const add = ({ time, ofNode }: { time: number; ofNode: boolean }): void => {
          const side = ofNode ? "node" : "cloud";
          clocks[side] += time;
          const draft = (ofNode ? reported : desired)(String(time), life);
          world.node.add(ofNode ? n1 : c1, draft, { time: clocks[side] });
        };
        before.forEach(add);
        const whole = await world.get(`${device}/history`, { order });
        const found: unknown[] = [];
        for (let cursor: string | undefined; ;) {
          const { body } = await world.get(`${device}/history`, {
            order,
            limit: String(limit),
            ...(cursor !== undefined && { cursor }),
          });
          found.push(...(body["items"] as unknown[]));
          if (body["next"] === null) break;
          cursor = body["next"] as string;
          meanwhile.forEach(add);
        }
        assert.deepEqual(found, whole.body["items"]);
      },
    ),
  );
});

t.test("diff: both states, and what differs", async (t) => {
  const { world } = lived();
  t.match(await world.get(`${device}/diff`, { from: "200", to: "450" }), {
    status: 200,
    body: {
      from: { asOf: { time: "1970-01-01T00:00:00.200Z" }, device: { model: "thermo" }, absent: null },
      to: { device: { properties: { temperature: { reported: { value: "25" } } } } },
      differences: [
        { property: "temperature", facet: "reported", from: "20", to: "25" },
        { property: "temperature", facet: "desired", from: null, to: "25" },
      ],
      complete: true,
    },
  });
  t.match(await world.get(`${device}/diff`, { from: "0", to: "600" }), {
    status: 404,
    body: { details: { reason: "deleted" } },
  });
  t.match(await world.get(`${device}/diff`, { from: "600" }), {
    status: 200,
    body: { from: { device: null, absent: "deleted" }, to: { device: {}, absent: null } },
  });
  const same = await world.get(`${device}/diff`, { from: "450", to: "450" });
  t.same(same.body["differences"], []);
});

t.test("blame: the last event of each side, which of them stands, and because of what", async (t) => {
  const world = new PastWorld();
  const { node, cluster } = world;
  world.connected();
  const cause = cluster.add(c2, declared(), { time: 1 });
  node.add(c1, model, { time: 1 });
  const life = node.add(c1, declared(undefined, cause), { time: 2 });
  node.add(c1, desired("21", life), { time: 10 });
  node.add(n1, desired("22", life), { time: 11, seen: [{ origin: c1, seq: 3 }] });
  node.add(n1, reported("20", life), { time: 12 });
  const { body } = await world.get(`${device}/blame`);
  t.match(body, { node: "edge-1", complete: true });
  t.match(body["items"], [
    { facet: "spec", side: "cloud", stands: true, cause, because: { log: null, event: cause } },
    { property: "temperature", facet: "desired", value: "21", side: "cloud", stands: false },
    { property: "temperature", facet: "desired", value: "22", side: "node", stands: true, cause: null },
    { property: "temperature", facet: "reported", value: "20", side: "node", event: `${n1}/2` },
  ]);
  const then = await world.get(`${device}/blame`, { property: "temperature", at: "10" });
  t.match(then.body["items"], [{ facet: "desired", value: "21", stands: true }]);
  t.equal((then.body["items"] as unknown[]).length, 1);
  t.equal((await world.get(`${device}/blame`, { property: "humidity" })).status, 404);
});

t.test("why: a report follows what was wanted if it had seen that, and that has causes", async (t) => {
  const world = new PastWorld();
  const { node, cluster } = world;
  world.connected();
  const set = cluster.add(c2, declared(), { time: 9 });
  node.add(c1, model, { time: 1 });
  const life = node.add(c1, declared(), { time: 2 });
  const wanted = node.add(c1, { ...desired("21", life), cause: set }, { time: 10 });
  const seen: Seen[] = [{ origin: c1, seq: 3 }];
  const early = node.add(n1, reported("21", life), { time: 11, seen: [{ origin: c1, seq: 2 }] });
  const obeyed = node.add(n1, reported("21", life), { time: 12, seen });
  const other = node.add(n1, reported("19", life), { time: 13, seen });
  const chain = async (event: string): Promise<unknown> =>
    (
      (await world.get("/tidemark/v1/why", { event })).body["chain"] as { relation: string; event: string }[]
    ).map(({ relation, event }) => [relation, event]);
  t.same(await chain(obeyed), [
    ["asked", obeyed],
    ["followed", wanted],
    ["cause", set],
  ]);
  t.same(await chain(early), [["asked", early]], "what it could not know did not lead to it");
  t.same(await chain(other), [
    ["asked", other],
    ["despite", wanted],
  ]);
  t.match(await world.get(`${device}/why`, { property: "temperature" }), {
    body: { chain: [{ event: other, log: "edge-1", value: "19" }, {}], missing: null, complete: true },
  });
  t.match(
    await world.get("/tidemark/v1/nodes/edge-1/why", { event: set }),
    { status: 404 },
    "in that log alone",
  );
  t.match(await world.get("/tidemark/v1/why", { event: `${n1}/77` }), { status: 404 });
  t.match(await world.get("/tidemark/v1/why", { event: "x" }), { status: 400 });
  t.equal((await world.get(`${device}/why`, { property: "humidity" })).status, 404);
});

t.test("why: what is not held here is named, and the answer is not complete", async (t) => {
  const world = new PastWorld();
  world.connected();
  const life = world.node.add(c1, declared(undefined, eventId(c2, 7)));
  t.match(await world.get("/tidemark/v1/why", { event: life }), {
    status: 200,
    body: { chain: [{ event: life }], missing: `${c2}/7`, complete: false, gaps: [{ reason: /c\S+\/7/ }] },
  });
});

t.test("why: an event that was appended again after a rollback is not the cause of itself", async (t) => {
  const world = new PastWorld();
  world.connected();
  const life = world.node.add(c1, declared());
  const lost = world.node.add(n1, reported("1", life), { time: 5 });
  const again = world.node.add(n2, { ...reported("1", life), cause: lost }, { time: 5 });
  const taken = world.node.add(n1, reported("2", life), { time: 8 });
  const other = world.node.add(n2, { ...reported("3", life), cause: taken }, { time: 7 });
  t.match(await world.get("/tidemark/v1/why", { event: again }), {
    body: { chain: [{}, { relation: "again", event: lost }], missing: null },
  });
  t.match(
    await world.get("/tidemark/v1/why", { event: other }),
    { body: { chain: [{ event: other }], missing: taken, complete: false } },
    "others hold something else under the name that it had",
  );
});

t.test("an answer is complete only as far as the other side is known", async (t) => {
  const { world } = lived();
  const gaps = async (at: string): Promise<unknown> => {
    const { body } = await world.get(device, { at });
    t.equal(body["complete"], (body["gaps"] as unknown[]).length === 0);
    return (body["gaps"] as { from: string }[]).map(({ from }) => from && Date.parse(from));
  };
  const silent = (): Promise<unknown> => silenceOf(world.node, world.links.get("edge-1"), nowMs);
  t.same([await gaps("now"), await silent()], [[], null], "while it is connected, until now");
  world.connected([[n1, 4]]);
  t.same(await gaps("now"), [800], "it holds more than has come");
  t.same(await gaps("800"), []);
  world.links.clear();
  t.same(await gaps("900"), [800], "of a process that does not run, until the last that came");
  const acked = new Map([[n1, 3]]);
  world.links.set("edge-1", { state: "Disconnected", since: 500_000, reason: "cut", acked });
  t.same(await gaps("455000"), [], "until contact was lost");
  t.same(await gaps("455001"), [455_000]);
  t.same(await silent(), { side: "node", since: "1970-01-01T00:07:35.000Z" });
  t.same(await gaps(`${n1}/3`), [], "what an event had seen does not hang on the link");
  const history = await world.get(`${device}/history`, { to: "800" });
  t.equal(history.body["complete"], true);
  t.equal((await world.get(`${device}/history`)).body["complete"], false);
});

t.test("holes in a log are gaps, where what was asked for lies in or after them", async (t) => {
  const { world } = lived();
  world.node.problems = [{ code: "LOG_GAP", origin: n1, from: 2, to: 2 }];
  t.match(await world.get(device, { at: "350" }), {
    body: {
      complete: false,
      gaps: [
        { from: "1970-01-01T00:00:00.200Z", to: "1970-01-01T00:00:00.800Z", reason: /lacks n\S+ 2 to 2/ },
      ],
    },
  });
  t.match(await world.get(device, { at: "150" }), { body: { complete: true, gaps: [] } });
  t.match(await world.get(`${device}/history`, { to: "150" }), { body: { complete: true } });
  t.match(await world.get(`${device}/history`, { from: "900" }), { body: { complete: true } });
  t.match(await world.get(`${device}/history`, { from: "300", to: "310" }), { body: { complete: false } });
  world.node.problems = [{ code: "SEGMENT_CORRUPT", origin: undefined, from: 2, to: 2 }];
  t.match(await world.get(device, { at: "150" }), {
    body: { complete: false, gaps: [{ from: null, to: null, reason: /positions 2 to 2/ }] },
  });
});

t.test("without a node named, the device is asked for where it is, then where it was", async (t) => {
  const { world, first } = lived();
  const anywhere = "/tidemark/v1/namespaces/default/devices/thermo-1";
  const moved = new MadeLog([], nodeLog("edge-2"));
  world.more.push(moved);
  const life = moved.add(c2, declared(), { time: 850 });
  world.node.add(c1, deleted(`${c1}/5` as EventId), { time: 840 });
  t.match(await world.get(anywhere, { at: "900" }), { body: { node: "edge-2" } });
  t.match(await world.get(anywhere, { at: "400" }), { body: { node: "edge-1" } });
  t.match(
    await world.get(anywhere, { at: `${n1}/2` }),
    { body: { node: "edge-1" } },
    "the log that has the event",
  );
  t.match(await world.get(anywhere, { at: "845" }), {
    status: 404,
    body: { details: { reason: "deleted" } },
  });
  t.match(await world.get(`${anywhere}/history`), {
    body: { items: [{ event: life }], warnings: [/edge-1 too/] },
  });
  t.match(await world.get(`${anywhere}/diff`, { from: "200", to: "400" }), { body: { node: "edge-1" } });
  moved.add(c2, deleted(life), { time: 860 });
  t.match(
    await world.get(`${anywhere}/history`),
    { body: { items: [{ event: life }, {}] } },
    "where it was last",
  );
  t.equal((await world.get(anywhere)).status, 0, "the present is not for these routes");
  t.ok(world.node.registers.objects.get(thermo)?.has(first));
});
