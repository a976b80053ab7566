/** Compaction of what the other side has not got yet, for want of room. */
import t from "tap";
import { compact, ends, living, sound, talk } from "./compacting.ts";
import { desired, meet, reported, said } from "./log-site.ts";

t.test("for want of room a node lets reports go that the cloud never had, and says so", async (t) => {
  for (const crashes of [false, true]) {
    const { cloud, node, life } = await living();
    await talk(cloud, node, life, 5);
    const { incarnation } = node.log;
    const acked = node.log.histories.get(incarnation)?.end ?? 0;
    const before = { cloud: (await cloud.events()).length, histories: ends(cloud) };
    for (let nth = 1; nth <= 20; nth += 1) await node.append(reported(`${nth}`, life), said(`${nth}`));
    const [hash, whole] = [node.hash, (await node.events()).length];
    await compact(node, { acked });
    t.equal((await node.events()).length > whole - 10, true, "with room, they stay");
    await compact(node, { acked, undelivered: true });
    if (crashes) await node.crash();
    const left = await node.events();
    const dropped = left.filter(({ type }) => type === "log.dropped");
    t.ok(dropped.length > 0);
    const count = dropped.reduce((sum, { body }) => sum + (body as { count: number }).count, 0);
    t.match(dropped[0]?.body, { origin: incarnation, reason: "retention", class: "twin" });
    t.ok(dropped.every(({ body }) => (body as { from: number }).from > acked));
    const said20 = left.filter(({ type, seq }) => type === "message.said" && seq > acked);
    t.equal(said20.length, 20, "messages wait");
    const reports = left.filter(({ type, seq }) => type === "twin.reported" && seq > acked);
    t.equal(count + reports.length, 20, "each report is there, or counted");
    t.equal(node.hash, hash);
    await meet(cloud, node);
    t.equal(cloud.hash, node.hash);
    t.strictSame(ends(cloud), ends(node));
    t.ok((await cloud.events()).length >= before.cloud + reports.length + 20);
    const { thin, wholeFrom } = cloud.log.histories.get(incarnation) ?? {};
    // What it has just written a node has in memory still.
    if (!crashes) continue;
    t.equal(thin?.length, 1);
    t.equal(thin?.[0]?.from, acked + 1);
    t.equal(wholeFrom, 0, "what the cloud had before is whole as it was");
    await sound(t, node);
    await sound(t, cloud);
  }
});

t.test("of what a node has not got yet a cloud keeps the latest, and covers it by itself", async (t) => {
  const { cloud, node, life } = await living();
  await talk(cloud, node, life, 6);
  const { incarnation } = cloud.log;
  const acked = cloud.log.histories.get(incarnation)?.end ?? 0;
  for (let nth = 1; nth <= 20; nth += 1) await cloud.append(desired(`${nth}`, life), said(`${nth}`));
  await compact(cloud, { acked });
  await cloud.crash();
  const records = await cloud.log.readOrigin(incarnation, 1, 1e9);
  for (const { lo, count, cover } of records) {
    if (cover === undefined) continue;
    t.equal(cover.reason, lo > acked ? "retention" : "compaction");
    t.ok(lo > acked || lo + count - 1 <= acked, "no cover goes across what the node has");
  }
  t.ok(records.some(({ cover }) => cover?.reason === "retention"));
  const left = (await cloud.events()).filter(({ origin, seq }) => origin === incarnation && seq > acked);
  t.equal(left.filter(({ type }) => type === "message.said").length, 20);
  t.ok(left.filter(({ type }) => type === "twin.desired").length < 20);
  await meet(cloud, node);
  t.equal(node.hash, cloud.hash);
  const desiredValues = (await node.events()).filter(({ type }) => type === "twin.desired");
  t.strictSame(desiredValues.at(-1)?.body, ["20"]);
  await sound(t, cloud);
});

t.test(
  "nobody knows when something arrived while the clock was wrong: it is not forgotten for its age",
  async (t) => {
    const { cloud, node, life, world } = await living();
    world.wallMs = 1000;
    await talk(cloud, node, life, 10);
    const before = (await cloud.events()).length;
    world.wallMs = Date.UTC(2030, 0);
    await compact(cloud, { policy: { resource: 5, twin: 5, telemetry: 5, message: 5, audit: 5 } });
    t.equal((await cloud.events()).length, before);
    await compact(cloud);
    t.ok((await cloud.events()).length < before, "but for want of room it is");
  },
);
