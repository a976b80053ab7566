/** What comes back, or does not, of what the cloud itself had said. */
import t from "tap";
import { clusterLog, nodeLog, sideOf } from "../../core/event.ts";
import { violations } from "./checkers.ts";
import { recordsOn } from "./disk.ts";
import { Scenario } from "./scenario.ts";

const log = nodeLog("node-1");

t.test("a generation that was given again while it was forgotten is not gone on with", async (t) => {
  const scenario = await Scenario.begin(t);
  const { cloudHost, nodeHost } = scenario;
  const nodeCopy = nodeHost.disk.snapshot();
  await scenario.wipe(cloudHost);
  await scenario.declare();
  await scenario.agrees();
  const first = scenario.above.incarnation;
  const generation = scenario.above.registers.generations.get(first);
  const cloudCopy = cloudHost.disk.snapshot();

  // Neither machine knows of that incarnation any more, so another one gets its generation.
  scenario.partition(true);
  await scenario.rollBack(nodeHost, nodeCopy);
  await scenario.wipe(cloudHost);
  scenario.partition(false);
  await scenario.declare();
  await scenario.desire("20");
  await scenario.agrees();
  const second = scenario.above.incarnation;
  t.equal(scenario.below.registers.generations.get(second), generation);

  await scenario.rollBack(cloudHost, cloudCopy);
  t.equal(scenario.above.incarnation, first);
  await scenario.desire("30");
  await scenario.agrees();
  t.not(scenario.above.incarnation, first);
  t.equal(scenario.edge.devices.get("default", "d1")?.properties["temp"]?.desired?.value, "30");
  await scenario.end();
});

t.test("what was wanted of a device before its birth came back is wanted of it then", async (t) => {
  const scenario = await Scenario.begin(t);
  const { cloudHost } = scenario;
  const { disk } = cloudHost;
  const before = (await scenario.inCloud()).length;
  // To another node, and back: here that is another life of it.
  await scenario.declare(undefined, "node-2");
  await scenario.run(1000);
  await scenario.declare();
  await scenario.desire("20");
  await scenario.agrees();
  const after = (await scenario.inCloud()).length;
  // The cloud says what it is; nothing of the device comes after what is lost.
  await scenario.wipe(scenario.nodeHost);
  await scenario.agrees();

  scenario.partition(true);
  cloudHost.crash();
  for (const { position, origin } of await recordsOn(disk.snapshot(), log)) {
    const isLost = position > before && position <= after;
    if (isLost && origin !== undefined && sideOf(origin) === "cloud") disk.lose(log, position);
  }
  scenario.cluster.scarred.add("cloud");
  cloudHost.start();
  await scenario.run(100);
  await scenario.desire("40");
  scenario.partition(false);
  await scenario.agrees();
  t.equal(scenario.edge.devices.get("default", "d1")?.properties["temp"]?.desired?.value, "40");
  await scenario.end();
});

t.test("what is missing of the cluster log is noticed here", async (t) => {
  const scenario = await Scenario.begin(t);
  const { disk } = scenario.cloudHost;
  const [record] = await recordsOn(disk.snapshot(), clusterLog);
  disk.lose(clusterLog, record?.position ?? 0);
  t.match(await violations(scenario.cluster), [{ checker: "log", reason: /cluster has a problem/ }]);
});
