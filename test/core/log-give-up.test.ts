/** What nobody can give back is given up by a person: everything goes on, and the log says what it lacks. */
import t from "tap";
import type { EventId } from "../../core/event.ts";
import { giveUp, keepsBack } from "../../core/log-repair.ts";
import { rangeText } from "../../core/replay.ts";
import { verifyLog } from "../../core/log-verify.ts";
import { Site, World, applied, meet, node1, reported, said, texts } from "./log-site.ts";

/** A node with five events that nobody else has, each a segment of its own. */
async function alone(): Promise<{ world: World; node: Site }> {
  const world = new World();
  const node = await Site.open(world, "node");
  for (const text of ["1", "2", "3", "4", "5"]) await node.append(said(text));
  return { world, node };
}

for (const harm of ["damage", "lose", "forget"] as const) {
  t.test(`a hole in what only this side had: ${harm}`, async (t) => {
    const { world, node } = await alone();
    const { incarnation: old } = node.log;
    node.disk[harm](node1, 3);
    await node.crash();
    const { problems } = node.log;
    t.ok(problems.some(({ origin, from, to }) => origin === old && from === 3 && to === 3));

    await world.run(giveUp(node.log, problems));
    t.not(node.log.incarnation, old, "what follows the hole is appended again under a new incarnation");
    t.strictSame(node.log.problems, []);
    for (const again of ["now", "crash", "restart"] as const) {
      if (again !== "now") await node[again]();
      const events = await node.events();
      t.strictSame(texts(events.filter(({ type }) => type !== "log.dropped")), ["1", "2", "4", "5"]);
      t.match(
        events.filter(({ type }) => type === "log.dropped").map(({ body }) => body),
        problems.map(({ origin = null, from, to }) => ({ origin, from, to, reason: "damage" })),
      );
      t.strictSame((await world.run(verifyLog(node.log))).result.problems, [], again);
    }

    const cloud = await Site.open(world, "cloud");
    await meet(cloud, node);
    await node.append(said("6"));
    await meet(cloud, node);
    t.equal(cloud.hash, node.hash, "and it goes on");
    t.ok(texts(await cloud.events()).includes("6"));
  });
}

t.test("what the other side wrote is not given up: it says itself what is lost", async (t) => {
  const world = new World();
  const cloud = await Site.open(world, "cloud");
  const node = await Site.open(world, "node");
  const [life] = (await cloud.append(applied())) as [EventId];
  for (const text of ["a", "b", "c"]) await cloud.append(said(text));
  await meet(cloud, node);
  await node.append(reported("1", life));
  node.disk.lose(node1, 2);
  await node.crash();
  const { problems, incarnation } = node.log;
  t.not(problems.length, 0);
  t.match(keepsBack(node.log, problems[0] as (typeof problems)[0]), /other side/);
  await t.rejects(world.run(giveUp(node.log, problems)), { code: "INVALID", message: /not given up/ });
  t.equal(node.log.incarnation, incarnation);
  t.strictSame(node.log.problems, problems);
});

t.test("a range is written as a person can type it", (t) => {
  t.equal(rangeText({ origin: "n0000000000001", from: 3, to: 7 }), "n0000000000001/3-7");
  t.equal(rangeText({ origin: undefined, from: 3, to: 7 }), "positions/3-7");
  t.end();
});
