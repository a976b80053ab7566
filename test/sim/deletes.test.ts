/** Devices that come and go while years pass, in a whole cloud and a whole node. */
import t, { type Test } from "tap";
import { deviceKind } from "../../cloud/api/device-kinds.ts";
import { livesEnded } from "../../core/ended.ts";
import { stateHash } from "../../core/projection.ts";
import { type Registers, registersProjection } from "../../core/registers.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { Scenario } from "./scenario.ts";

const dayMs = 86_400_000;

async function begin(t: Test): Promise<Scenario> {
  return Scenario.begin(t, { merging: { blockBytes: 500, idleMs: 500 } });
}

async function done(scenario: Scenario, work: Promise<unknown>): Promise<void> {
  let isDone = false;
  void work.then(() => (isDone = true));
  await scenario.until(() => isDone);
}

async function remove(scenario: Scenario): Promise<void> {
  await done(scenario, scenario.cloud.resources.delete(deviceKind, { namespace: "default", name: "d1" }));
  await scenario.agrees();
}

/** Both stop and start, for a snapshot; a hundred days go by; then both forget what they may. */
async function hundredDays(scenario: Scenario): Promise<void> {
  await scenario.report(6);
  for (const host of [scenario.cloudHost, scenario.nodeHost, scenario.cloudHost, scenario.nodeHost]) {
    void host.stop();
    await scenario.until(() => host.isDown);
    host.start();
    await scenario.run(2000);
  }
  for (const host of [scenario.cloudHost, scenario.nodeHost]) host.clock.skewMs += 100 * dayMs;
  await scenario.run(70_000);
  await done(scenario, scenario.cloud.forgetting.forgetAll());
  await done(scenario, scenario.edge.forgetting.forgetAll());
  await scenario.run(5000);
}

function livesIn({ objects }: Registers): number {
  return [...objects.values()].reduce((sum, lives) => sum + lives.size, 0);
}

function hashes({ above, below }: Scenario): string[] {
  return [above, below].map(({ registers }) => stateHash(registersProjection, registers, nodeDigest));
}

async function deletesInCloud(scenario: Scenario): Promise<number> {
  return (await scenario.inCloud()).filter((event) => event.deletes === true).length;
}

/** Five lives of one device that end, and one that goes on. */
async function sixLives(scenario: Scenario): Promise<void> {
  for (let nth = 0; nth < 5; nth += 1) {
    await scenario.report(2);
    await scenario.desire(`${nth}`);
    await scenario.agrees();
    await remove(scenario);
    await scenario.declare();
    await scenario.agrees();
  }
  await scenario.report(1);
}

t.test("of devices that came and went, nothing is left on either side after some years", async (t) => {
  const scenario = await begin(t);
  await sixLives(scenario);
  t.ok(livesIn(scenario.above.registers) > 6);
  for (let round = 0; round < 5; round += 1) {
    await hundredDays(scenario);
    await scenario.report(1);
    await scenario.until(() => new Set(hashes(scenario)).size === 1);
  }
  for (const { registers } of [scenario.above, scenario.below, scenario.cloud.cluster]) {
    t.equal(livesIn(registers), 2, "the device and its model");
  }
  t.equal(await deletesInCloud(scenario), 0);
  t.equal((await scenario.inCloud()).filter(({ type }) => type === livesEnded).length, 1);
  await scenario.desire("again");
  await scenario.until(
    () => scenario.edge.devices.get("default", "d1")?.properties["temp"]?.desired?.value === "again",
  );
  await scenario.end();
});

t.test("a node that is put back to before all that, finds its devices deleted", async (t) => {
  const scenario = await begin(t);
  await scenario.report(2);
  await scenario.agrees();
  const copy = scenario.nodeHost.disk.snapshot();
  await sixLives(scenario);
  for (let round = 0; round < 5; round += 1) {
    await hundredDays(scenario);
    await scenario.report(1);
  }
  t.equal(await deletesInCloud(scenario), 0);
  const { incarnation } = scenario.below;
  await scenario.rollBack(scenario.nodeHost, copy);
  await scenario.until(
    () => new Set(hashes(scenario)).size === 1 && scenario.below.incarnation !== incarnation,
  );
  t.equal(livesIn(scenario.below.registers), 2);
  const [value] = await scenario.report(1);
  await scenario.until(
    () => scenario.cloud.devices.get("default", "d1")?.properties["mode"]?.reported?.value === value,
  );
  await scenario.end();
});
