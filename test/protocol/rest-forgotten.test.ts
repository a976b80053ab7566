/** Questions about a past of which not everything is kept. */
import t from "tap";
import type { Event, EventId } from "../../core/event.ts";
import { pastOf } from "../../core/log-past.ts";
import { rfc3339 } from "../../core/time.ts";
import { compact } from "../core/compacting.ts";
import { n1, c1 } from "../core/drafts.ts";
import { Site, World, desired, meet, reported } from "../core/log-site.ts";
import { PastWorld, declared, device, model } from "./past-world.ts";

const absentee = "/tidemark/v1/nodes/edge-node-1/devices/default/thermo-1";

/** A node that said 1 to 20, a second apart; it forgot before it met its cloud again, which has 1 to 3 of old. */
async function absent(): Promise<{ world: PastWorld; cloud: Site; reports: Event[]; thin: unknown }> {
  const sites = new World();
  const cloud = await Site.open(sites, "cloud", { checkpointEvery: 4 });
  const node = await Site.open(sites, "node", { checkpointEvery: 4 });
  const [, life] = (await cloud.append(model, declared())) as [EventId, EventId];
  await meet(cloud, node);
  for (let value = 1; value <= 20; value += 1) {
    await sites.pass(1000);
    await node.append(reported(`${value}`, life));
    if (value === 3) await meet(cloud, node);
  }
  const { incarnation: origin } = node.log;
  const reports = (await node.events()).filter((event) => event.origin === origin);
  await compact(node);
  // What it has just said, it would give from memory.
  await node.restart();
  await meet(cloud, node);
  await sites.pass(1000);
  const world = new PastWorld();
  world.more.push(pastOf(cloud.log));
  world.now = sites.wallMs;
  const link = { state: "Connected", since: 0, reason: undefined, acked: new Map([[origin, 20]]) } as const;
  world.links.set("edge-node-1", link);
  return { world, cloud, reports, thin: cloud.log.histories.get(origin)?.thin };
}

t.test("an answer about when not everything is kept says so, and others don't", async (t) => {
  const { world, reports, thin } = await absent();
  t.strictSame(thin, [{ from: 4, to: 14 }]);
  const at = (nth: number, later = 0): string => rfc3339((reports[nth - 1]?.time ?? 0) + later);
  const gap = { from: at(3), to: at(14), reason: /n\S+ 4 to 14 only what was not replaced is kept/ };
  const lacks = { status: 200, body: { complete: false, gaps: [gap] } };
  const whole = { status: 200, body: { complete: true, gaps: [] } };
  for (const value of [4, 5, 12, 13])
    t.match(await world.get(absentee, { at: at(value) }), lacks, `at ${value}`);
  for (const value of [1, 2, 14, 15, 20]) {
    const properties = { temperature: { reported: { value: `${value}` } } };
    const answer = await world.get(absentee, { at: at(value) });
    t.match(answer, { ...whole, body: { ...whole.body, properties } }, `at ${value}`);
  }
  t.match(await world.get(absentee), whole, "what is so now, is known");
  const history = (from: string, to: string): Promise<unknown> =>
    world.get(`${absentee}/history`, { from, to });
  t.match(await history(at(1), at(20, 1)), lacks);
  t.match(await history(at(5), at(6)), lacks, "all of it in there");
  t.match(await history(at(13), at(20)), lacks);
  t.match(await history(at(1), at(2, 1)), whole);
  t.match(await history(at(14), at(20, 1)), whole);
  t.match(await world.get(`${absentee}/diff`, { from: at(2), to: at(20) }), whole, "both ends are known");
  t.match(await world.get(`${absentee}/diff`, { from: at(5), to: at(20) }), lacks);
});

t.test("so does one as of an event whose writer had seen what is not all kept", async (t) => {
  const world = new PastWorld();
  const { node } = world;
  world.connected();
  node.add(c1, model, { time: 90 });
  const life = node.add(c1, declared(), { time: 100 });
  for (let nth = 3; nth <= 8; nth += 1) node.add(c1, desired(`${nth}`, life), { time: 100 * nth });
  for (const seq of [2, 4, 6]) node.add(n1, reported("1", life), { time: 900, seen: [{ origin: c1, seq }] });
  const history = node.histories.get(c1);
  history?.noteThin({ from: 3, to: 6 });
  const gaps = [{ from: null, to: null, reason: /c\S+ 3 to 6 only what was not replaced is kept/ }];
  const answers = async (): Promise<unknown[]> => {
    const bodies = [];
    for (const seq of [1, 2, 3]) bodies.push((await world.get(device, { at: `${n1}/${seq}` })).body);
    return bodies;
  };
  const [whole, lacks] = [
    { complete: true, gaps: [] },
    { complete: false, gaps },
  ];
  t.match(await answers(), [whole, lacks, whole]);
  history?.noteThin({ from: 1, to: 6 });
  t.match(
    await answers(),
    [{ complete: false }, { complete: false }, whole],
    "also where nothing is before it",
  );
  world.node.histories.get(n1)?.noteThin({ from: 1, to: 9 });
  const untilLater = { body: { complete: false, gaps: [{ to: null, reason: /n\S+ 1 to 9 only/ }] } };
  t.match(await world.get(device, { at: "950" }), untilLater, "what replaced it has not come");
});
