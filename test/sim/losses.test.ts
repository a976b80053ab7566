import t from "tap";
import { clockCorrected } from "../../core/clock.ts";
import { nodeLog, sideOf } from "../../core/event.ts";
import { originOpened, originReset } from "../../core/generations.ts";
import { recordsOn } from "./disk.ts";
import { Scenario } from "./scenario.ts";
import { epochMs } from "./world.ts";

t.test("a node that is put back to an earlier copy gets back what it had lost", async (t) => {
  const scenario = await Scenario.begin(t);
  const first = await scenario.report(5);
  const copy = scenario.nodeHost.disk.snapshot();
  const lost = await scenario.report(5);
  await scenario.agrees();
  const before = scenario.below.incarnation;
  await scenario.rollBack(scenario.nodeHost, copy);
  await scenario.agrees();
  t.not(scenario.below.incarnation, before, "it goes on under a new incarnation");
  const after = await scenario.report(5);
  await scenario.agrees();
  t.strictSame(await scenario.valuesInCloud(), [...first, ...lost, ...after]);
  t.equal(scenario.below.histories.get(before)?.end, scenario.above.histories.get(before)?.end);
  await scenario.end();
});

t.test(
  "what a node appends after it was put back, and before anybody could tell, is kept beside what it had lost",
  async (t) => {
    const scenario = await Scenario.begin(t);
    const copy = scenario.nodeHost.disk.snapshot();
    const lost = await scenario.report(5);
    await scenario.agrees();
    scenario.partition(true);
    await scenario.rollBack(scenario.nodeHost, copy);
    const before = scenario.below.incarnation;
    const divergent = await scenario.report(5);
    scenario.partition(false);
    await scenario.agrees();
    t.strictSame(await scenario.valuesInCloud(), [...lost, ...divergent]);
    const again = (await scenario.inCloud()).filter(({ cause }) => cause?.startsWith(before) === true);
    t.equal(again.length, divergent.length, "each names what it was before");
    await scenario.end();
  },
);

t.test("where two histories part is found while one of them grows", async (t) => {
  const scenario = await Scenario.begin(t);
  const lost: string[] = [];
  const divergent: string[] = [];
  for (let commit = 0; commit < 20; commit += 1) lost.push(...(await scenario.report(2)));
  const copy = scenario.nodeHost.disk.snapshot();
  for (let commit = 0; commit < 10; commit += 1) lost.push(...(await scenario.report(3)));
  await scenario.agrees();
  // The hello is on its way for so long that much is appended before the answer comes.
  scenario.cluster.network.line("node-1").delayMs = 1500;
  await scenario.rollBack(scenario.nodeHost, copy);
  for (let commit = 0; commit < 40; commit += 1) {
    divergent.push(...(await scenario.report(commit === 0 ? 22 : 1)));
    await scenario.run(200);
  }
  await scenario.agrees();
  t.strictSame(await scenario.valuesInCloud(), [...lost, ...divergent]);
  await scenario.end();
});

t.test("a cloud that is put back to an earlier copy gets its own events back from the node", async (t) => {
  const scenario = await Scenario.begin(t);
  const copy = scenario.cloudHost.disk.snapshot();
  await scenario.desire("20");
  const reports = await scenario.report(5);
  await scenario.agrees();
  const before = scenario.above.incarnation;
  const end = scenario.above.histories.get(before)?.end;
  await scenario.rollBack(scenario.cloudHost, copy);
  await scenario.agrees();
  t.not(scenario.above.incarnation, before);
  t.equal(scenario.above.histories.get(before)?.end, end, "all of its lost tail is back");
  t.strictSame(await scenario.valuesInCloud(), reports);
  t.equal(
    scenario.cloud.devices.get("default", "d1")?.properties["temp"]?.desired,
    null,
    "the cluster log has forgotten the wish",
  );
  t.equal(
    scenario.edge.devices.get("default", "d1")?.properties["temp"]?.desired,
    null,
    "and so it is withdrawn",
  );
  await scenario.end();
});

t.test("what a cloud says after it was put back, and before anybody could tell, is said again", async (t) => {
  const scenario = await Scenario.begin(t);
  const copy = scenario.cloudHost.disk.snapshot();
  await scenario.desire("20");
  await scenario.agrees();
  scenario.partition(true);
  await scenario.rollBack(scenario.cloudHost, copy);
  const before = scenario.above.incarnation;
  await scenario.desire("30");
  await scenario.run(1000);
  scenario.partition(false);
  await scenario.agrees();
  t.not(scenario.above.incarnation, before);
  t.ok(scenario.nodeHost.bus.deltas.has("default/d1 temp 30"), "the device is told the later wish");
  t.equal(scenario.edge.devices.get("default", "d1")?.properties["temp"]?.desired?.value, "30");
  const again = (await scenario.inCloud()).filter((event) => event.cause?.startsWith(before) === true);
  t.ok(again.length > 0, "under a new incarnation, naming what it was before");
  await scenario.end();
});

t.test("two living machines with one disk are both refused, until a person stops one", async (t) => {
  const scenario = await Scenario.begin(t);
  const first = await scenario.report(3);
  const copy = scenario.cluster.clone(scenario.nodeHost);
  copy.start();
  await scenario.until(() => scenario.cloud.hub.link("node-1")?.state === "Forked", 600_000);
  t.match(scenario.cloud.hub.link("node-1")?.reason, /two living processes hold the log of node-1/);
  await scenario.until(
    () => [scenario.nodeHost, copy].some((host) => host.product?.hub.link.state === "Forked"),
    600_000,
  );
  await scenario.cluster.removeClone(copy);
  await scenario.restartNode();
  const after = await scenario.report(3);
  await scenario.agrees();
  t.strictSame(await scenario.valuesInCloud(), [...first, ...after]);
  await scenario.end();
});

t.test("a node that is installed anew is a new generation, and gets everything", async (t) => {
  const scenario = await Scenario.begin(t);
  const before = await scenario.report(3);
  await scenario.desire("20");
  await scenario.agrees();
  const old = scenario.below.incarnation;
  await scenario.wipe(scenario.nodeHost);
  await scenario.agrees();
  const { generations } = scenario.above.registers;
  t.equal(generations.get(old), 1);
  t.equal(generations.get(scenario.below.incarnation), 2);
  const shown = (): string | undefined =>
    scenario.edge.devices.get("default", "d1")?.properties["mode"]?.reported?.value;
  t.equal(shown(), before.at(-1), "the older generation's value stands");
  const after = await scenario.report(1);
  await scenario.agrees();
  t.equal(shown(), after[0], "until it is written again");
  await scenario.end();
});

t.test("a cloud that lost its disk and kept its key gets its log back", async (t) => {
  const scenario = await Scenario.begin(t);
  const reports = await scenario.report(3);
  await scenario.agrees();
  const old = scenario.above.incarnation;
  const end = scenario.above.histories.get(old)?.end;
  await scenario.wipe(scenario.cloudHost);
  await scenario.agrees();
  t.equal(scenario.above.histories.get(old)?.end, end);
  t.strictSame(await scenario.valuesInCloud(), reports);
  t.equal(
    scenario.edge.devices.get("default", "d1"),
    undefined,
    "the cluster log is gone: nothing is declared",
  );
  await scenario.declare();
  await scenario.agrees();
  await scenario.end();
});

t.test(
  "a cloud that was ahead, and got its older log back, says so when its clock is put right",
  async (t) => {
    const scenario = await Scenario.begin(t);
    // The second time nothing is left to be deleted: what comes back is the last of the log.
    await scenario.wipe(scenario.cloudHost);
    await scenario.agrees();
    scenario.cloudHost.clock.set(epochMs + scenario.world.nowMs + 3_600_000);
    await scenario.wipe(scenario.cloudHost);
    await scenario.agrees();
    scenario.cloudHost.crash();
    scenario.cloudHost.clock.skewMs = 0;
    scenario.cloudHost.start();
    await scenario.run(100);
    await scenario.declare();
    await scenario.agrees();
    const origin = scenario.above.incarnation;
    t.ok(
      (await scenario.inCloud()).some((event) => event.origin === origin && event.type === clockCorrected),
    );
    await scenario.end();
  },
);

t.test(
  "a cloud that lost its disk and its key begins with a reset, and the whole wanted state",
  async (t) => {
    const scenario = await Scenario.begin(t);
    const reports = await scenario.report(3);
    await scenario.desire("20");
    await scenario.agrees();
    const old = scenario.above.incarnation;
    scenario.cloudHost.macKey = new Uint8Array(32).fill(7);
    await scenario.wipe(scenario.cloudHost);
    await scenario.declare();
    await scenario.agrees();
    const types = (await scenario.inCloud()).map(({ type }) => type);
    t.ok(types.includes(originReset));
    t.equal(
      scenario.above.vector()[old],
      undefined,
      "what it can't prove to have written it does not take back",
    );
    t.strictSame(await scenario.valuesInCloud(), reports, "all that the node said is there");
    t.equal(
      scenario.edge.devices.get("default", "d1")?.properties["temp"]?.desired,
      null,
      "the older lives are over",
    );
    const after = await scenario.report(1);
    await scenario.agrees();
    t.equal(scenario.cloud.devices.get("default", "d1")?.properties["mode"]?.reported?.value, after[0]);
    await scenario.end();
  },
);

t.test("a node that boots in 1970 says so once it knows better", async (t) => {
  const scenario = await Scenario.begin(t);
  scenario.nodeHost.crash();
  scenario.nodeHost.clock.set(2000);
  scenario.nodeHost.start();
  await scenario.run(50);
  const wrong = await scenario.report(2);
  await scenario.run(30_000);
  scenario.nodeHost.clock.skewMs = 0;
  const right = await scenario.report(2);
  await scenario.agrees();
  t.strictSame(await scenario.valuesInCloud(), [...wrong, ...right]);
  await scenario.end();
});

t.test("a first boot in 1970 is corrected when the clock is set", async (t) => {
  const scenario = await Scenario.begin(t);
  scenario.nodeHost.clock.set(2000);
  await scenario.wipe(scenario.nodeHost);
  await scenario.agrees();
  await scenario.report(2);
  scenario.nodeHost.clock.skewMs = 0;
  await scenario.report(2);
  await scenario.agrees();
  const events = (await scenario.inCloud()).filter(({ origin }) => sideOf(origin) === "node");
  t.ok(events.some(({ type }) => type === clockCorrected));
  await scenario.end();
});

t.test("a node in 2100 pulls nobody along, and comes back", async (t) => {
  const scenario = await Scenario.begin(t);
  scenario.nodeHost.clock.set(Date.UTC(2100, 0));
  await scenario.report(2);
  await scenario.agrees();
  await scenario.desire("20");
  await scenario.agrees();
  const ahead = (await scenario.inCloud()).filter(({ origin, time }) => {
    return sideOf(origin) === "cloud" && time > epochMs + scenario.world.nowMs + 61_000;
  });
  t.strictSame(ahead, [], "no event of the cloud is more than a minute ahead");
  scenario.nodeHost.clock.skewMs = 0;
  await scenario.report(2);
  await scenario.agrees();
  const events = (await scenario.inCloud()).filter(({ origin }) => sideOf(origin) === "node");
  t.ok(events.some(({ type }) => type === clockCorrected));
  const last = events.at(-1);
  t.ok(
    (last?.time ?? 0) < epochMs + scenario.world.nowMs + 61_000,
    "the node's later events have the right time",
  );
  await scenario.end();
});

t.test("a clock that was put right while nothing was said is corrected after the restart", async (t) => {
  const scenario = await Scenario.begin(t);
  scenario.nodeHost.clock.set(Date.UTC(2100, 0));
  await scenario.report(2);
  scenario.nodeHost.clock.skewMs = 0;
  await scenario.restartNode();
  await scenario.report(1);
  await scenario.agrees();
  const types = (await scenario.inCloud()).filter(({ origin }) => sideOf(origin) === "node");
  t.strictSame(
    types.slice(-2).map(({ type }) => type),
    [clockCorrected, "twin.reported"],
    "the correction comes before what the right clock says",
  );
  await scenario.end();
});

for (const side of ["node", "cloud"] as const) {
  t.test(
    `a full disk on the ${side}'s machine stops it, loses nothing, and harms nothing else`,
    async (t) => {
      const scenario = await Scenario.begin(t);
      const before = await scenario.report(3);
      await scenario.agrees();
      const host = side === "node" ? scenario.nodeHost : scenario.cloudHost;
      host.disk.full = true;
      const refused = scenario.workload.report(scenario.nodeHost, "d1", "mode");
      await scenario.run(20_000);
      t.equal(
        scenario.cluster.ledger.published.get(refused)?.acked,
        side === "cloud",
        "only what is durable is acknowledged",
      );
      t.ok(host.starts > 1, "it is started again and again");
      host.disk.full = false;
      await scenario.until(() => scenario.cluster.isInStep);
      const after = await scenario.report(3);
      await scenario.agrees();
      const expected = side === "cloud" ? [...before, refused, ...after] : [...before, ...after];
      t.strictSame(await scenario.valuesInCloud(), expected);
      await scenario.end();
    },
  );

  for (const damage of ["damage", "lose"] as const) {
    t.test(`a record that the ${side}'s disk lost (${damage}) is fetched from the other side`, async (t) => {
      const scenario = await Scenario.begin(t);
      const reports: string[] = [];
      for (let round = 0; round < 4; round += 1) reports.push(...(await scenario.report(3)));
      await scenario.agrees();
      const host = side === "node" ? scenario.nodeHost : scenario.cloudHost;
      scenario.partition(true);
      host.crash();
      const records = await recordsOn(host.disk.snapshot(), nodeLog("node-1"));
      const record = records.find(({ origin, lo }) => origin?.startsWith("n") === true && (lo ?? 0) > 3);
      host.disk[damage](nodeLog("node-1"), record?.position ?? 0);
      host.start();
      await scenario.run(100);
      const log = side === "node" ? scenario.below : scenario.above;
      t.ok(log.problems.length > 0, "it is reported until then");
      scenario.partition(false);
      await scenario.agrees();
      t.strictSame(log.problems, []);
      t.strictSame((await scenario.valuesInCloud()).toSorted(), reports.toSorted());
      await scenario.end();
    });
  }
}

t.test("what a snapshot hides of a damaged disk is found when it is to be sent", async (t) => {
  const scenario = await Scenario.begin(t);
  scenario.partition(true);
  const reports: string[] = [];
  for (let round = 0; round < 4; round += 1) reports.push(...(await scenario.report(2)));
  // A clean stop takes a snapshot.
  await scenario.restartNode(async () => {
    const records = await recordsOn(scenario.nodeHost.disk.snapshot(), nodeLog("node-1"));
    const record = records.find(({ origin, lo }) => origin?.startsWith("n") === true && (lo ?? 0) > 2);
    scenario.nodeHost.disk.damage(nodeLog("node-1"), record?.position ?? 0);
    scenario.cluster.scarred.add("node-1");
    await scenario.cluster.recount();
  });
  t.strictSame(scenario.below.problems, []);
  scenario.partition(false);
  await scenario.agrees();
  const values = await scenario.valuesInCloud();
  t.strictSame(values, [...reports.slice(0, 2), ...reports.slice(4)], "the rest gets there, in order");
  await scenario.end();
});

t.test("every incarnation is opened in the log", async (t) => {
  const scenario = await Scenario.begin(t);
  await scenario.wipe(scenario.nodeHost);
  await scenario.agrees();
  const opened = (await scenario.inCloud()).filter(({ type }) => type === originOpened);
  const origins = new Set(opened.map(({ body }) => (body as { incarnation: string }).incarnation));
  const known = new Set<string>([...scenario.above.histories.keys(), scenario.below.incarnation]);
  t.strictSame([...origins].toSorted(), [...known].toSorted());
  await scenario.end();
});

t.test("a cloud that loses power while it merges has all that it had acked", async (t) => {
  const scenario = await Scenario.begin(t, { merging: { idleMs: 60_000 } });
  const { cloudHost } = scenario;
  const { disk } = cloudHost;
  const values = await scenario.report(20);
  await scenario.agrees();
  // What a snapshot says is there, the next process does not read.
  void cloudHost.stop();
  await scenario.until(() => cloudHost.isDown);
  scenario.partition(true);
  cloudHost.start();
  await scenario.run(100);
  // Nothing comes: its own log is merged first, then the node's.
  await scenario.until(() => disk.unsynced > 0);
  await scenario.until(() => disk.unsynced === 0);
  await scenario.until(() => disk.unsynced > 0);
  cloudHost.crash({ torn: "damaged" });
  cloudHost.start();
  await scenario.run(100);
  t.strictSame(await scenario.valuesInCloud(), values, "before the node can tell it anything");
  scenario.partition(false);
  await scenario.agrees();
  await scenario.end();
});
