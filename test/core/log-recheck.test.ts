/** Damage that a log in use does not know of, and positions that nothing names any more. */
import t from "tap";
import type { EventId } from "../../core/event.ts";
import { accountLost } from "../../core/log-repair.ts";
import { recheckLog, verifyLog } from "../../core/log-verify.ts";
import { Site, World, applied, meet, node1, reported, said, ship } from "./log-site.ts";

const harms = ["damage", "lose", "forget"] as const;

/** A node that has shipped five segments of two events each; both have a checkpoint behind them. */
async function shipped(): Promise<{ cloud: Site; node: Site }> {
  const world = new World();
  const cloud = await Site.open(world, "cloud");
  const node = await Site.open(world, "node");
  const [life] = (await cloud.append(applied())) as [EventId];
  await meet(cloud, node);
  for (let value = 1; value <= 9; value += 2) {
    await node.append(reported(`${value}`, life, `p${value % 4}`), said(`${value + 1}`));
  }
  await meet(cloud, node);
  await cloud.restart();
  return { cloud, node };
}

for (const harm of harms) {
  t.test(`damage behind a checkpoint is found by looking, and fetched again: ${harm}`, async (t) => {
    const { cloud, node } = await shipped();
    const { incarnation: origin } = node.log;
    cloud.disk[harm](node1, 6);
    t.strictSame(cloud.log.problems, [], "a checkpoint hides it");
    let resets = 0;
    cloud.log.onReset(() => (resets += 1));

    const { result } = await cloud.world.run(recheckLog(cloud.log));
    t.not(result.problems.length, 0);
    t.strictSame(cloud.log.problems, result.problems, "the log knows now what is to be asked back");
    t.match(cloud.log.histories.get(origin), { end: 4, hole: { from: 5, to: 6 } });
    await cloud.world.run(recheckLog(cloud.log));
    t.equal(resets, 1, "what is known is not read again");

    await cloud.world.run(accountLost(cloud.log));
    t.strictSame(cloud.log.problems, result.problems, "nothing is accounted for while something is missing");
    await ship(node, cloud);
    await cloud.world.run(accountLost(cloud.log));
    t.strictSame(cloud.log.problems, []);
    t.equal(cloud.hash, node.hash);
    for (const again of ["now", "crash", "restart"] as const) {
      if (again !== "now") await cloud[again]();
      t.strictSame(cloud.log.problems, [], again);
      const { result: after } = await cloud.world.run(verifyLog(cloud.log));
      t.strictSame(after.problems, [], again);
    }
    await node.append(said("more"));
    await ship(node, cloud);
    t.equal(cloud.hash, node.hash, "and it goes on");
  });
}

t.test("positions that were accounted for do not hide what is lost later", async (t) => {
  const { cloud, node } = await shipped();
  cloud.disk.forget(node1, 6);
  await cloud.world.run(recheckLog(cloud.log));
  await ship(node, cloud);
  await cloud.world.run(accountLost(cloud.log));
  cloud.disk.forget(node1, 4);
  await cloud.world.run(recheckLog(cloud.log));
  const positions = cloud.log.problems.filter(({ origin }) => origin === undefined);
  t.strictSame(positions, [{ code: "LOG_GAP", origin: undefined, from: 4, to: 5 }]);
});

t.test("what a checkpoint says and is no longer there is found too, at the very end", async (t) => {
  for (const harm of ["lose", "forget"] as const) {
    const { cloud, node } = await shipped();
    cloud.disk[harm](node1, 10);
    const { result } = await cloud.world.run(recheckLog(cloud.log));
    t.match(result.problems.at(-1), { origin: node.log.incarnation, from: 9, to: 10 }, harm);
    await ship(node, cloud);
    await cloud.world.run(accountLost(cloud.log));
    t.strictSame((await cloud.world.run(recheckLog(cloud.log))).result.problems, []);
    t.equal(cloud.hash, node.hash);
  }
});

t.test("a sound log is looked at, and left as it is", async (t) => {
  const { cloud } = await shipped();
  let resets = 0;
  cloud.log.onReset(() => (resets += 1));
  const { result } = await cloud.world.run(recheckLog(cloud.log));
  t.strictSame(result.problems, []);
  t.equal(resets, 0);
});
