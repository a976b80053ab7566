/** What the history index keeps of objects that are forgotten. */
import t from "tap";
import { anyHistoryPrefix, objectPrefix } from "../../core/history-entries.ts";
import { HistoryIndex } from "../../core/history-index.ts";
import { pruneHistory } from "../../core/history-prune.ts";
import { pastOf } from "../../core/log-past.ts";
import { Merging } from "../../core/merging.ts";
import { cutNow, registersAt } from "../../core/past.ts";
import { currentLife } from "../../core/registers.ts";
import { aliveInPast, compact, create, ends, liveAndDie, pair, podA, podB, talk } from "./deleting.ts";
import { type Site, applied, meet, reported } from "./log-site.ts";

/** Merges all there is, lets go of what may go, and of what the index says of it. */
async function forget(site: Site, peer: Site): Promise<void> {
  const { committer, world, log } = site;
  const merging = new Merging({ committer, environment: world.environment, indexOf: HistoryIndex.forAll() });
  merging.add(log);
  await world.run(merging.mergeAll());
  await world.run(merging.close());
  await compact(site, peer);
  await world.run(pruneHistory(log, committer));
}

t.test("of those that came and went, nothing; of the one that stayed, what it is", async (t) => {
  const { cloud, node } = await pair();
  const lasting = await create(cloud, podB);
  const counts: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    for (let nth = 0; nth < 6; nth += 1) await liveAndDie(cloud, node, `pods/default/p${round}-${nth}`);
    for (let pass = 0; pass < 4; pass += 1) {
      await talk(cloud, node);
      await forget(cloud, node);
    }
    counts.push((await cloud.store.names(anyHistoryPrefix(cloud.log.id))).length);
  }
  t.ok(Math.max(...counts) < 12, "it does not grow", { counts });
  await node.append(reported("running", lasting, "phase", podB));
  await meet(cloud, node);
  const past = pastOf(cloud.log);
  const state = await cloud.world.run(registersAt(past, cutNow(past), [podB]));
  const life = currentLife(state, podB);
  t.equal(life?.id, lasting);
  t.strictSame(life?.slots.get("reported/phase")?.node?.body, ["running"]);
});

t.test("of those that are over for good, that they are, whatever comes after", async (t) => {
  const { cloud, node } = await pair();
  const late = await liveAndDie(cloud, node, podA);
  for (let nth = 0; nth < 6; nth += 1) await liveAndDie(cloud, node, `pods/default/p${nth}`);
  for (let pass = 0; pass < 4; pass += 1) {
    await talk(cloud, node);
    await forget(cloud, node);
  }
  t.equal(await ends(cloud), 0);
  t.strictSame(await cloud.store.names(objectPrefix(cloud.log.id, podA)), []);
  await cloud.append(applied({ spec: 2 }, late, podA));
  t.strictSame(await aliveInPast(cloud), [], "by the index, and what comes after is scanned");
  await forget(cloud, node);
  await cloud.append(applied({ spec: 3 }, late, podA));
  t.strictSame(await aliveInPast(cloud), []);
});

t.test("of one that was deleted and is remembered, what tells of it", async (t) => {
  const { cloud, node } = await pair();
  await liveAndDie(cloud, node, podA);
  for (let pass = 0; pass < 2; pass += 1) {
    await meet(cloud, node);
    // The node says nothing more, so it may not know.
    await cloud.append({ type: "message.said", class: "message", key: "x", body: null });
    await forget(cloud, node);
  }
  t.ok(cloud.log.registers.objects.has(podA));
  t.ok((await cloud.store.names(objectPrefix(cloud.log.id, podA))).length > 0);
});
