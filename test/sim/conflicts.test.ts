import t from "tap";
import type { ConflictList, ConflictRow } from "../../protocol/rest/conflicts.ts";
import { Conflicts } from "../../protocol/rest/conflicts.ts";
import { type Event, type EventId, nodeLog, sideOf } from "../../core/event.ts";
import { recordsOn } from "./disk.ts";
import { Scenario } from "./scenario.ts";

function conflictsOf(scenario: Scenario, side: "cloud" | "node"): Conflicts {
  const { cloud, edge } = scenario;
  const now = (): number => 0;
  if (side === "cloud") {
    return new Conflicts({ logs: cloud, devices: cloud.devices, now, settled: () => cloud.settled() });
  }
  const logs = { logs: () => [edge.log], log: (id: string) => (id === edge.log.id ? edge.log : undefined) };
  return new Conflicts({ logs, devices: edge.devices, now });
}

/** The outcome of asking, once the simulated disks have brought it about. */
async function done<T>(scenario: Scenario, asked: Promise<T>): Promise<T> {
  let isDone = false;
  const note = (): void => void (isDone = true);
  asked.then(note, note);
  await scenario.until(() => isDone);
  return asked;
}

async function list(scenario: Scenario, side: "cloud" | "node"): Promise<readonly ConflictRow[]> {
  const { items }: ConflictList = await done(scenario, conflictsOf(scenario, side).list({ limit: 1000 }));
  return items;
}

/** What both sides say of the device's `temp`; they must say the same. */
function temp(t: { strictSame: (a: unknown, b: unknown) => unknown }, scenario: Scenario): unknown {
  const [above, below] = [scenario.cloud, scenario.edge].map(
    ({ devices }) => devices.get("default", "d1")?.properties["temp"],
  );
  t.strictSame(above, below);
  return above;
}

/** Both sides set a value while the line is down. @returns the node's */
async function apart(scenario: Scenario, value: string): Promise<string> {
  scenario.partition(true);
  await scenario.desire(value);
  await scenario.run(1000);
  const wished = await scenario.wish();
  scenario.partition(false);
  return wished;
}

t.test("what both sides set while apart is decided and recorded once, and told to the device", async (t) => {
  const scenario = await Scenario.begin(t);
  const wished = await apart(scenario, "20");
  await scenario.agrees();
  t.match(temp(t, scenario), {
    desired: { value: wished },
    conflict: { winner: "edge", policy: "latest", lost: { value: "20" } },
  });
  const [row, ...more] = await list(scenario, "cloud");
  t.same(more, []);
  t.match(row, { node: "node-1", property: "temp", cloud: { value: "20" }, edge: { value: wished } });
  t.match(row, { winner: "edge", outcome: { state: "standing", winner: "edge" } });
  t.strictSame(await list(scenario, "node"), [row], "the node lists the same");
  await scenario.end();
});

t.test("where the cloud is preferred, the device hears of its value when the line is up again", async (t) => {
  const scenario = await Scenario.begin(t);
  await scenario.declare("cloud");
  await scenario.agrees();
  const wished = await apart(scenario, "20");
  await scenario.agrees();
  t.match(temp(t, scenario), { desired: { value: "20" }, conflict: { lost: { value: wished } } });
  t.ok(scenario.nodeHost.bus.deltas.has("default/d1 temp 20"));
  await scenario.end();
});

t.test("a node's value that won stands: a cloud that starts anew does not say its own again", async (t) => {
  const scenario = await Scenario.begin(t);
  await scenario.declare("edge");
  await scenario.agrees();
  const wished = await apart(scenario, "20");
  await scenario.agrees();
  scenario.cloudHost.crash();
  scenario.cloudHost.start();
  await scenario.agrees();
  t.match(temp(t, scenario), { desired: { value: wished }, conflict: { winner: "edge" } });
  t.equal((await list(scenario, "cloud")).length, 1, "and it is still one conflict");
  await scenario.end();
});

t.test("a policy that is changed while apart is the one that both go by", async (t) => {
  const scenario = await Scenario.begin(t);
  await scenario.declare("cloud");
  await scenario.agrees();
  scenario.partition(true);
  const wished = await scenario.wish();
  await scenario.desire("20");
  await scenario.declare("temp=edge");
  await scenario.desire("30");
  scenario.partition(false);
  await scenario.agrees();
  t.match(temp(t, scenario), { desired: { value: wished }, conflict: { policy: "edge" } });
  await scenario.end();
});

t.test("a clock that is put right decides a conflict anew, and the device is told", async (t) => {
  const scenario = await Scenario.begin(t);
  scenario.nodeHost.clock.skewMs = 3_600_000;
  scenario.partition(true);
  const wished = await scenario.wish();
  await scenario.run(1000);
  await scenario.desire("20");
  scenario.partition(false);
  await scenario.agrees();
  t.match(temp(t, scenario), { desired: { value: wished } }, "the later one, as the clocks say");
  t.notOk(scenario.nodeHost.bus.deltas.has("default/d1 temp 20"));
  scenario.nodeHost.clock.skewMs = 0;
  // Says nothing of what is wanted; the log's correction comes before it.
  scenario.workload.sayState(scenario.nodeHost, "d1", "ok");
  await scenario.agrees();
  t.match(temp(t, scenario), { desired: { value: "20" }, conflict: { lost: { value: wished } } });
  t.ok(scenario.nodeHost.bus.deltas.has("default/d1 temp 20"));
  await scenario.end();
});

t.test("a cloud that is killed again and again while the two meet makes each record once", async (t) => {
  const scenario = await Scenario.begin(t);
  scenario.partition(true);
  await scenario.desire("20");
  const wishes: string[] = [];
  for (let round = 0; round < 12; round += 1) wishes.push(await scenario.wish());
  scenario.partition(false);
  for (let round = 0; round < 12; round += 1) {
    await scenario.run(200 + round * 7);
    scenario.cloudHost.crash();
    scenario.cloudHost.start();
  }
  await scenario.agrees();
  const rows = await list(scenario, "cloud");
  t.strictSame(
    rows.map(({ edge }) => edge.value),
    wishes,
    "each of the node's values was one against the cloud's",
  );
  await scenario.end();
});

t.test("an older generation's value is in no conflict with the new one", async (t) => {
  const scenario = await Scenario.begin(t);
  await scenario.wish();
  await scenario.agrees();
  await scenario.wipe(scenario.nodeHost);
  await scenario.agrees();
  const second = await scenario.wish();
  await scenario.agrees();
  t.match(temp(t, scenario), { desired: { value: second }, conflict: undefined });
  t.same(await list(scenario, "cloud"), []);
  await apart(scenario, "20");
  await scenario.agrees();
  t.equal((await list(scenario, "cloud")).length, 1, "the new one's own are recorded");
  await scenario.end();
});

for (const lost of ["the node's value", "the cloud's value", "both, and the record"] as const) {
  t.test(
    `a conflict is not recorded again when the cloud gets back what its disk lost: ${lost}`,
    async (t) => {
      const scenario = await Scenario.begin(t);
      await apart(scenario, "20");
      await scenario.agrees();
      // Comes after all that is lost.
      await scenario.declare("latest");
      await scenario.agrees();
      scenario.cloudHost.crash();
      const { disk } = scenario.cloudHost;
      const isLost = ({ type, origin }: Event): boolean => {
        if (type === "conflict.resolved") return lost === "both, and the record";
        return (
          type === "twin.desired" && lost !== `the ${sideOf(origin) === "cloud" ? "node" : "cloud"}'s value`
        );
      };
      const places = (await scenario.inCloud()).filter(isLost).map(({ position }) => position);
      for (const { position, count = 1 } of await recordsOn(disk.snapshot(), nodeLog("node-1"))) {
        const has = places.some((place) => place >= position && place < position + count);
        if (has) disk.lose(nodeLog("node-1"), position);
      }
      scenario.cluster.scarred.add("cloud");
      scenario.cloudHost.start();
      await scenario.agrees();
      const records = (await scenario.inCloud()).filter(({ type }) => type === "conflict.resolved");
      t.equal(records.length, 1);
      await apart(scenario, "30");
      await scenario.agrees();
      t.equal((await list(scenario, "cloud")).length, 2, "a new one is");
      await scenario.end();
    },
  );
}

t.test("a cloud that is put back lists each conflict once", async (t) => {
  const scenario = await Scenario.begin(t);
  const copy = scenario.cloudHost.disk.snapshot();
  const wished = await apart(scenario, "20");
  await scenario.agrees();
  await scenario.rollBack(scenario.cloudHost, copy);
  await scenario.agrees();
  const rows = await list(scenario, "cloud");
  const pairs = rows.map(({ cloud, edge }) => `${cloud.event} ${edge.event}`);
  t.equal(new Set(pairs).size, pairs.length);
  t.ok(rows.some(({ cloud, edge }) => cloud.value === "20" && edge.value === wished));
  await scenario.end();
});

for (const side of ["cloud", "node"] as const) {
  t.test(`an override at the ${side} is a new event that names the conflict, and is one once`, async (t) => {
    const scenario = await Scenario.begin(t);
    await apart(scenario, "20");
    await scenario.agrees();
    const [row] = (await list(scenario, side)) as readonly [ConflictRow];
    const override = (value: "cloud" | "edge"): Promise<{ value: string; event: EventId | null }> =>
      done(scenario, conflictsOf(scenario, side).override("node-1", row.id, { winner: value }));
    const { value, event } = await override("cloud");
    t.equal(value, "20");
    await scenario.agrees();
    t.match(temp(t, scenario), { desired: { value: "20", event }, conflict: undefined });
    const events = await scenario.inCloud();
    const chosen = events.find(({ cause, type }) => cause === row.id && type === "twin.desired");
    t.ok(chosen, "its cause is the conflict");
    t.match(await list(scenario, side === "cloud" ? "node" : "cloud"), [
      { outcome: { state: "overridden", event, value: "20" } },
    ]);
    await t.rejects(override("edge"), { code: "CONFLICT", message: /superseded by an override/ });
    await scenario.desire("40");
    await scenario.agrees();
    t.match(await list(scenario, "node"), [{ outcome: { state: "superseded", value: "40" } }]);
    await scenario.end();
  });
}
