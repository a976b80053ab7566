/** Rules that a random run seldom puts to the test, each put to it on purpose. */
import t from "tap";
import { deviceKind } from "../../cloud/api/device-kinds.ts";
import { type LogId, nodeLog, sideOf } from "../../core/event.ts";
import { defaultWindowBytes } from "../../protocol/link/limits.ts";
import { recordsOn } from "./disk.ts";
import type { CloudHost, NodeHost } from "./hosts.ts";
import { Scenario } from "./scenario.ts";

const log: LogId = nodeLog("node-1");

/** Positions of the records of one side's events, in order. */
async function positionsOf(host: CloudHost | NodeHost, side: "cloud" | "node"): Promise<number[]> {
  const records = await recordsOn(host.disk.snapshot(), log);
  return records
    .filter(({ origin }) => origin !== undefined && sideOf(origin) === side)
    .map(({ position }) => position);
}

t.test(
  "credit is given back as fast as the disk takes what comes: a session outlasts its window",
  async (t) => {
    const scenario = await Scenario.begin(t);
    const long = 60_000;
    scenario.cluster.network.line("node-1").bytesPerMs = 100;
    for (let sent = 0; sent < 3 * defaultWindowBytes; sent += long) {
      scenario.workload.reportLong(scenario.nodeHost, "d1", "mode", long);
      await scenario.run(50);
    }
    const session = scenario.edge.hub.link.since;
    await scenario.agrees();
    t.equal(scenario.edge.hub.link.since, session, "in one session");
    await scenario.end();
  },
);

t.test("a large segment that a cut interrupts is gone on with, and arrives as it was", async (t) => {
  const scenario = await Scenario.begin(t);
  scenario.cluster.network.line("node-1").bytesPerMs = 20;
  // Said in one turn: one commit, one segment.
  const values = Array.from({ length: 6 }, () =>
    scenario.workload.reportLong(scenario.nodeHost, "d1", "mode", 60_000),
  );
  for (let cut = 0; cut < 3; cut += 1) {
    await scenario.run(6000);
    scenario.cluster.network.cut("node-1", () => 10);
  }
  await scenario.agrees();
  t.strictSame(await scenario.valuesInCloud(), values);
  await scenario.end();
});

t.test("a delta that subscribers are too slow for is told once they are not", async (t) => {
  const scenario = await Scenario.begin(t);
  scenario.nodeHost.bus.slowness = 1;
  await scenario.desire("20");
  await scenario.run(3000);
  t.notOk(scenario.nodeHost.bus.deltas.has("default/d1 temp 20"));
  scenario.nodeHost.bus.slowness = 0;
  await scenario.agrees();
  await scenario.end();
});

t.test("a cursor that is past the end of what a disk has left misses nothing that comes after", async (t) => {
  const scenario = await Scenario.begin(t);
  await scenario.agrees();
  scenario.partition(true);
  for (let round = 0; round < 6; round += 1) {
    await scenario.report(2);
    // A cursor is stored with the first commit after a second.
    await scenario.run(1500);
  }
  scenario.nodeHost.crash();
  const { disk } = scenario.nodeHost;
  for (const position of (await positionsOf(scenario.nodeHost, "node")).slice(-6)) disk.forget(log, position);
  scenario.cluster.scarred.add("node-1");
  await scenario.cluster.recount();
  scenario.nodeHost.start();
  await scenario.run(100);
  scenario.partition(false);
  await scenario.desire("20");
  await scenario.agrees();
  t.ok(scenario.nodeHost.bus.deltas.has("default/d1 temp 20"));
  await scenario.end();
});

t.test(
  "a node put back, with a hole in an incarnation that was closed, is given back what it lost, once",
  async (t) => {
    const scenario = await Scenario.begin(t);
    for (let round = 0; round < 6; round += 1) await scenario.report(2);
    await scenario.agrees();
    const copy = scenario.nodeHost.disk.snapshot();
    await scenario.report(2);
    await scenario.agrees();
    await scenario.rollBack(scenario.nodeHost, copy);
    await scenario.agrees();
    scenario.nodeHost.crash();
    scenario.nodeHost.disk.restore(copy);
    const positions = await positionsOf(scenario.nodeHost, "node");
    scenario.nodeHost.disk.damage(log, positions[2] ?? 0);
    await scenario.cluster.recount();
    scenario.nodeHost.start();
    await scenario.agrees();
    const causes = (await scenario.inCloud()).filter(
      ({ origin, cause }) => sideOf(origin) === "node" && cause !== undefined,
    );
    t.strictSame(causes, [], "nothing is appended again that the cloud has");
    await scenario.end();
  },
);

t.test("nothing of a newer incarnation is seen before all of the older ones is there", async (t) => {
  const scenario = await Scenario.begin(t);
  const copy = scenario.nodeHost.disk.snapshot();
  for (let round = 0; round < 20; round += 1) {
    scenario.workload.reportLong(scenario.nodeHost, "d1", "mode", 20_000);
    await scenario.run(20);
  }
  await scenario.agrees();
  await scenario.rollBack(scenario.nodeHost, copy);
  await scenario.agrees();
  for (let round = 0; round < 20; round += 1) {
    scenario.workload.reportLong(scenario.nodeHost, "d1", "mode", 20_000);
    await scenario.run(20);
  }
  await scenario.agrees();
  scenario.cluster.network.line("node-1").bytesPerMs = 20;
  await scenario.wipe(scenario.cloudHost);
  for (let round = 0; round < 20; round += 1) {
    await scenario.declare();
    await scenario.desire(`${round}`);
    await scenario.run(1500);
  }
  await scenario.agrees();
  await scenario.end();
});

for (const way of ["lose", "forget", "damage"] as const) {
  t.test(
    `a device stays deleted though the cloud's disk lost the record that says so (${way})`,
    async (t) => {
      const scenario = await Scenario.begin(t);
      await scenario.desire("20");
      await scenario.agrees();
      const { resources } = scenario.cloud;
      void resources.delete(deviceKind, { namespace: "default", name: "d1" });
      await scenario.agrees();
      await scenario.declare();
      await scenario.agrees();
      scenario.cloudHost.crash();
      const positions = await positionsOf(scenario.cloudHost, "cloud");
      for (const position of positions.slice(-4, -1)) scenario.cloudHost.disk[way](log, position);
      scenario.cluster.scarred.add("cloud");
      await scenario.cluster.recount();
      scenario.cloudHost.start();
      await scenario.agrees();
      void scenario.cloud.resources.delete(deviceKind, { namespace: "default", name: "d1" });
      await scenario.agrees();
      t.equal(scenario.edge.devices.get("default", "d1"), undefined);
      await scenario.end();
    },
  );
}

t.test("what a damaged disk hid of the wanted state is said again, where nobody else has it", async (t) => {
  const scenario = await Scenario.begin(t);
  scenario.partition(true);
  await scenario.desire("20");
  await scenario.run(100);
  await scenario.desire("21");
  await scenario.run(100);
  void scenario.cloudHost.stop();
  await scenario.until(() => scenario.cloudHost.isDown);
  const positions = await positionsOf(scenario.cloudHost, "cloud");
  scenario.cloudHost.disk.damage(log, positions.at(-1) ?? 0);
  scenario.cluster.scarred.add("cloud");
  scenario.cloudHost.start();
  await scenario.run(100);
  scenario.partition(false);
  await scenario.agrees();
  t.equal(scenario.edge.devices.get("default", "d1")?.properties["temp"]?.desired?.value, "21");
  await scenario.end();
});

for (const crashAfterMs of [1, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100]) {
  t.test(
    `a node that dies ${crashAfterMs} ms into putting a rollback right goes on where it stopped`,
    async (t) => {
      const scenario = await Scenario.begin(t, { seed: crashAfterMs });
      const copy = scenario.nodeHost.disk.snapshot();
      const lost = await scenario.report(5);
      await scenario.agrees();
      scenario.partition(true);
      await scenario.rollBack(scenario.nodeHost, copy);
      const divergent: string[] = [];
      for (let round = 0; round < 4; round += 1) divergent.push(...(await scenario.report(2)));
      // A clean stop leaves a snapshot with what is to be taken out.
      await scenario.restartNode();
      divergent.push(...(await scenario.report(1)));
      const before = scenario.below.incarnation;
      // Several syncs, with time between them to die in.
      scenario.nodeHost.syncMs = 40;
      scenario.partition(false);
      await scenario.until(() => scenario.edge.log.incarnation !== before);
      // What is published meanwhile waits, in order; what was not acknowledged is gone with the process.
      for (let ms = 0; ms < crashAfterMs; ms += 1) {
        scenario.workload.report(scenario.nodeHost, "d1", "mode");
        await scenario.run(1);
      }
      scenario.nodeHost.crash();
      scenario.nodeHost.start();
      await scenario.run(100);
      await scenario.agrees();
      const values = await scenario.valuesInCloud();
      t.strictSame(values.slice(0, lost.length + divergent.length), [...lost, ...divergent]);
      await scenario.end();
    },
  );
}

t.test("messages that come while a rollback is put right keep their order", async (t) => {
  const scenario = await Scenario.begin(t);
  const copy = scenario.nodeHost.disk.snapshot();
  await scenario.report(5);
  await scenario.agrees();
  scenario.partition(true);
  await scenario.rollBack(scenario.nodeHost, copy);
  await scenario.report(5);
  const before = scenario.below.incarnation;
  scenario.partition(false);
  await scenario.until(() => scenario.edge.log.incarnation !== before);
  const values: string[] = [];
  for (let ms = 0; ms < 200; ms += 1) {
    values.push(scenario.workload.report(scenario.nodeHost, "d1", "mode"));
    await scenario.run(1);
  }
  t.ok(scenario.edge.twin.counts.waiting === 0, "all have found room");
  await scenario.agrees();
  t.strictSame((await scenario.valuesInCloud()).slice(-values.length), values);
  await scenario.end();
});
