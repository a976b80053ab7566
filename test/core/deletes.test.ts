/** Lives that are over, for years: what is left of them in the log and in memory, and that none comes back. */
import t from "tap";
import { endedDraft } from "../../core/ended.ts";
import { type EventId, clusterLog } from "../../core/event.ts";
import { Log } from "../../core/log.ts";
import { encodeSnapshot } from "../../core/projection.ts";
import { currentLife, registersProjection } from "../../core/registers.ts";
import { stableIn } from "../../core/say-ended.ts";
import { nothing, sound } from "./compacting.ts";
import { n2, n3 } from "./drafts.ts";
import {
  alive,
  aliveInPast,
  compact,
  create,
  ends,
  liveAndDie,
  pair,
  placeOf,
  podA,
  podB,
  podC,
  statements,
  talk,
} from "./deleting.ts";
import { opened } from "./histories.ts";
import { Site, applied, deleted, desired, meet, reported, said, ship } from "./log-site.ts";

t.test("what both sides know to be over is let go, and nothing is left of it in memory", async (t) => {
  const { cloud, node } = await pair();
  const lasting = await create(cloud, podB);
  for (let nth = 0; nth < 8; nth += 1) await liveAndDie(cloud, node);
  await node.append(reported("running", lasting, "phase", podB));
  await talk(cloud, node);
  t.equal(cloud.log.registers.objects.get(podA)?.size, 8);
  await compact(cloud, node);
  await talk(cloud, node);
  for (const site of [cloud, node]) {
    t.notOk(
      site.log.registers.objects.has(podA),
      "once it is said, on both sides, whether they compact or not",
    );
    t.equal(await ends(site), 8, "what said it of each is still there");
  }
  const { hash } = cloud;
  await compact(cloud, node);
  await talk(cloud, node);
  t.equal(await ends(cloud), 0);
  t.equal(await ends(node), 8, "each lets it go when it likes");
  t.equal(node.hash, hash);
  t.strictSame(
    (await cloud.events()).flatMap(({ key, life }) => (key === podA || life !== undefined ? [key] : [])),
    [podB],
    "of those that were under them, none",
  );
  await compact(node, cloud);
  await compact(node, cloud);
  t.equal(await ends(node), 0);
  for (const site of [cloud, node]) {
    await sound(t, site);
    await site.crash();
    t.equal(site.hash, hash);
    await sound(t, site);
    t.strictSame(alive(site), [podB]);
    t.strictSame(await aliveInPast(site), [podB]);
  }
  t.equal((await statements(cloud)).length, 1);
});

t.test("nothing is let go by what the node has not had yet, nor while something can't be read", async (t) => {
  const { cloud, node } = await pair();
  for (let nth = 0; nth < 8; nth += 1) await liveAndDie(cloud, node);
  await talk(cloud, node);
  await compact(cloud, node);
  for (let nth = 0; nth < 3; nth += 1) await cloud.append(said("x"));
  t.notOk(cloud.log.registers.objects.has(podA));
  await compact(cloud, node);
  await compact(cloud, node);
  t.equal(await ends(cloud), 8);
  await talk(cloud, node);
  const [{ position } = { position: 0 }] = await statements(cloud);
  const records = await cloud.store.read(cloud.log.id, position + 1, 1e9);
  cloud.disk.damage(cloud.log.id, records.find((record) => record.position > position)?.position ?? 0);
  await cloud.crash();
  await compact(cloud, node);
  t.equal(await ends(cloud), 8);
});

t.test("a new node is told, though nobody can tell it of each", async (t) => {
  const { cloud, node, world } = await pair();
  const life = await liveAndDie(cloud, node);
  await talk(cloud, node);
  await compact(cloud, node);
  await talk(cloud, node);
  await compact(cloud, node);
  const fresh = await Site.open(world, "node");
  await ship(cloud, fresh);
  t.equal(fresh.hash, cloud.hash);
  await fresh.append(reported("late", life, "phase"));
  t.strictSame(alive(fresh), []);
});

t.test("it is stable once the node has written something that had seen it", async (t) => {
  const { cloud, node } = await pair();
  const life = await create(cloud);
  await meet(cloud, node);
  await node.append(reported("running", life, "phase", podA));
  const [end] = (await cloud.append(deleted(life, podA))) as [EventId];
  const isStable = async (): Promise<boolean> => (await stableIn(cloud.log))(placeOf(end));
  t.notOk(await isStable(), "the node has not had it");
  await meet(cloud, node);
  t.notOk(await isStable(), "it has, and has written nothing since");
  await node.append(said("y"));
  t.notOk(await isStable(), "that is not here yet");
  for (let nth = 0; nth < 3; nth += 1) await cloud.append(said("x"));
  await compact(cloud, node);
  t.strictSame(await statements(cloud), []);
  await meet(cloud, node);
  t.ok(await isStable());
  await compact(cloud, node);
  t.equal((await statements(cloud)).length, 1);
});

t.test("it is not, while something that an older incarnation of the node wrote may still come", async (t) => {
  const { cloud, node, world } = await pair();
  const life = await create(cloud);
  await meet(cloud, node);
  const old = node.log.incarnation;
  await node.append(said("1"));
  await meet(cloud, node);
  await node.append(said("2"), said("3"));
  const { end = 0 } = node.log.histories.get(old) ?? {};
  await world.run(node.log.reincarnate(end));
  const live = node.log.incarnation;
  const [gone] = (await cloud.append(deleted(life, podA))) as [EventId];
  const isStable = async (): Promise<boolean> => (await stableIn(cloud.log))(placeOf(gone));
  await ship(cloud, node);
  await node.append(said("4"));
  const segments = await node.log.readOrigin(live, 1, 1e6);
  for (const segment of segments) cloud.log.receive(segment, () => undefined);
  await world.pass(20);
  t.notOk(await isStable(), "its generation is not known");
  await cloud.append(opened(live, 2, old, end));
  t.notOk(await isStable(), "some of the older one is not here");
  t.strictSame(cloud.log.problems, []);
  await ship(node, cloud);
  t.ok(await isStable());
});

t.test("it is not, while nothing of the node's live incarnation has come", async (t) => {
  const { cloud, node } = await pair();
  const life = await create(cloud);
  const [gone] = (await cloud.append(deleted(life, podA))) as [EventId];
  await talk(cloud, node);
  const isStable = async (): Promise<boolean> => (await stableIn(cloud.log))(placeOf(gone));
  t.ok(await isStable());
  const { incarnation } = node.log;
  const { end = 0 } = cloud.log.histories.get(incarnation) ?? {};
  await cloud.append(opened(n2, 2, incarnation, end));
  t.notOk(await isStable());
  await cloud.append(opened(n3, 3, n2, 0));
  t.notOk(await isStable());
  t.strictSame(cloud.world.lines, [], "that nothing is there is no damage");
});

t.test("in a log that has no other side, each delete is", async (t) => {
  const { cloud, world } = await pair();
  const isStable = await stableIn(cloud.log);
  t.notOk(isStable({ origin: cloud.log.incarnation, seq: 1 }));
  const options = cloud.logOptions(cloud.committer, world.environment);
  const cluster = await world.run(Log.open({ ...options, id: clusterLog }));
  const [said1] = await world.run(cluster.appended([said("1")]));
  t.ok((await stableIn(cluster))(placeOf(said1)));
});

t.test("it stays as long as retention says, and what says it of all lives as long again", async (t) => {
  const { cloud, node, world } = await pair();
  const policy = { ...nothing, resource: 10_000 };
  for (let nth = 0; nth < 5; nth += 1) await liveAndDie(cloud, node);
  await talk(cloud, node);
  await compact(cloud, node, policy);
  t.strictSame(await statements(cloud), []);
  await world.pass(10_000);
  await compact(cloud, node, policy);
  await talk(cloud, node);
  const [statement] = await statements(cloud);
  t.ok(statement);
  const { hash } = cloud;
  for (let pass = 0; pass < 3; pass += 1) await compact(cloud, node, policy);
  t.equal(await ends(cloud), 5);
  await world.pass(10_000);
  await compact(cloud, node, policy);
  t.equal(await ends(cloud), 0);
  t.equal(cloud.hash, hash);
  t.strictSame(await statements(cloud), [statement], "it is not said again");
});

t.test(
  "it stays while anything is left of its life, though it is not needed to know that it is over",
  async (t) => {
    const { cloud, node, world } = await pair();
    const life = await liveAndDie(cloud, node);
    for (let nth = 0; nth < 5; nth += 1) await liveAndDie(cloud, node);
    await talk(cloud, node);
    await compact(cloud, node);
    await talk(cloud, node);
    // What a version that knows more may read from it is there for a while.
    await node.append({ ...reported("late", life, "phase", podA), class: "audit" });
    await talk(cloud, node);
    const policy = { ...nothing, audit: 10_000 };
    for (let pass = 0; pass < 3; pass += 1) await compact(cloud, node, policy);
    t.equal(await ends(cloud), 1);
    t.strictSame(await aliveInPast(cloud), []);
    await world.pass(10_000);
    for (let nth = 0; nth < 5; nth += 1) await liveAndDie(cloud, node);
    for (let pass = 0; pass < 3; pass += 1) {
      await talk(cloud, node);
      await compact(cloud, node);
    }
    t.equal(await ends(cloud), 0);
  },
);

t.test("nothing that is said of a life that was let go makes the object appear", async (t) => {
  const { cloud, node } = await pair();
  const life = await liveAndDie(cloud, node);
  await talk(cloud, node);
  for (let pass = 0; pass < 3; pass += 1) {
    for (const [site, peer] of [
      [cloud, node],
      [node, cloud],
    ] as const)
      await compact(site, peer);
    await talk(cloud, node);
  }
  t.same([await ends(cloud), await ends(node)], [0, 0]);
  const { hash } = cloud;
  await cloud.append(applied({ spec: 2 }, life, podA), desired("stopped", life, "phase", podA));
  await node.append(reported("running", life, "phase", podA));
  await talk(cloud, node);
  for (const site of [cloud, node]) {
    t.strictSame(alive(site), []);
    t.equal(site.hash, hash);
    await site.crash();
    t.equal(site.hash, hash);
  }
  await compact(cloud, node);
  t.notOk(
    (await cloud.events()).some((event) => event.life === life),
    "and it is let go like the rest",
  );
});

t.test("a node that is put back to before a delete is told by what took its place", async (t) => {
  const { cloud, node, world } = await pair();
  const lasting = await create(cloud, podB);
  const life = await create(cloud);
  await meet(cloud, node);
  await node.append(reported("running", life, "phase", podA), reported("running", lasting, "phase", podB));
  await meet(cloud, node);
  const backup = node.disk.snapshot();
  await cloud.append(deleted(life, podA));
  await talk(cloud, node);
  await compact(cloud, node);
  await talk(cloud, node);
  await compact(cloud, node);
  t.equal(await ends(cloud), 0);
  await node.stop();
  node.disk.restore(backup);
  await node.open();
  t.strictSame(alive(node), [podA, podB], "it knows nothing of it");
  const held = currentLife(node.log.registers, podA);
  const { incarnation: old } = node.log;
  await world.run(node.log.reincarnate(node.log.histories.get(old)?.end ?? 0));
  const { end = 0 } = cloud.log.histories.get(old) ?? {};
  await cloud.append(opened(node.log.incarnation, 2, old, end));
  await meet(cloud, node);
  t.strictSame(alive(node), [podB]);
  t.equal(node.hash, cloud.hash);
  t.equal(held?.over, false, "the registers were built anew since");
  await talk(cloud, node);
  await compact(node, cloud);
  t.strictSame(alive(node), [podB]);
  t.strictSame(await aliveInPast(node), [podB]);
  await sound(t, node);
});

t.test(
  "what a rolled-back cloud had said is not said again of what others hold under those names",
  async (t) => {
    const { cloud, node, world } = await pair();
    const life = await create(cloud);
    await meet(cloud, node);
    const end = cloud.log.histories.get(cloud.log.incarnation)?.end ?? 0;
    const ranges = [{ from: 1, to: end }];
    await cloud.append(endedDraft(new Map([[cloud.log.incarnation, ranges]])));
    t.strictSame(alive(cloud), []);
    await world.run(cloud.log.reincarnate(end));
    t.equal((await statements(cloud)).length, 1);
    t.equal(currentLife(cloud.log.registers, podA)?.id, life);
  },
);

t.test("of pods that come and go, neither log nor memory nor snapshots grow", async (t) => {
  const { cloud, node } = await pair();
  await create(cloud, podB);
  const sizes: { events: number; ended: number; snapshot: number }[] = [];
  for (let round = 0; round < 6; round += 1) {
    for (let nth = 0; nth < 10; nth += 1) await liveAndDie(cloud, node);
    // One that stays parts the ranges.
    if (round === 2) await create(cloud, podC);
    for (let pass = 0; pass < 3; pass += 1) {
      await talk(cloud, node);
      await compact(cloud, node);
      await compact(node, cloud);
    }
    for (const site of [cloud, node]) {
      const { registers } = site.log;
      const ended = [...registers.ended.values()].flat().length;
      const snapshot = encodeSnapshot(registersProjection, registers, 0).length;
      sizes.push({ events: (await site.events()).length, ended, snapshot });
    }
  }
  t.equal(Math.max(...sizes.map(({ ended }) => ended)), 2);
  const [first, , , , , , , , , , last] = sizes;
  t.ok((last?.snapshot ?? 0) < (first?.snapshot ?? 0) + 500, JSON.stringify(sizes));
  t.ok((last?.events ?? 0) < (first?.events ?? 0) + 20, JSON.stringify(sizes));
  t.equal(cloud.hash, node.hash);
});
