/** Machines of different versions beside one another, and one version after another on one disk. */
import t from "tap";
import { type Event, nodeLog, sideOf } from "../../core/event.ts";
import { currentLife } from "../../core/registers.ts";
import type { CloudHost, NodeHost } from "./hosts.ts";
import { recordsOn } from "./disk.ts";
import { NewerWorkload, say } from "./newer-workload.ts";
import { Scenario } from "./scenario.ts";
import { tagged, taggedSlot } from "./versions.ts";

/** What a side's registers hold of the device, in a slot that the node writes. */
function heldIn({ registers }: Scenario["above"], slot: string, side: "cloud" | "node" = "node"): unknown {
  const event: Event | undefined = currentLife(registers, "devices/default/d1")?.slots.get(slot)?.[side];
  return Array.isArray(event?.body) ? event.body[0] : undefined;
}

t.test("what an older cloud does not take of nodes counts once it is updated", async (t) => {
  const scenario = await Scenario.begin(t, { versions: { early: "older", late: "present" } });
  await scenario.update(scenario.nodeHost);
  await scenario.desire("20");
  await scenario.run(1000);
  const wished = await scenario.wish();
  await scenario.run(2000);
  t.ok(scenario.cluster.isInStep, "it is kept, and both hold the same");
  t.equal(scenario.above.unauthorised, 1);
  t.equal(heldIn(scenario.above, "desired/temp"), undefined);
  t.equal(heldIn(scenario.below, "desired/temp"), wished);
  await scenario.update(scenario.cloudHost);
  await scenario.agrees();
  t.equal(heldIn(scenario.above, "desired/temp"), wished);
  t.equal(scenario.cloud.devices.get("default", "d1")?.properties["temp"]?.desired?.value, wished);
  await scenario.end();
});

t.test("a conflict that an older cloud could not see is recorded once it is updated", async (t) => {
  const scenario = await Scenario.begin(t, { versions: { early: "older", late: "present" } });
  await scenario.update(scenario.nodeHost);
  scenario.partition(true);
  await scenario.desire("20");
  await scenario.wish();
  scenario.partition(false);
  await scenario.run(40_000);
  t.ok(scenario.cluster.isInStep);
  const records = async (): Promise<number> =>
    (await scenario.inCloud()).filter(({ type }) => type === "conflict.resolved").length;
  t.equal(await records(), 0);
  await scenario.update(scenario.cloudHost);
  await scenario.agrees();
  t.equal(await records(), 1);
  await scenario.end();
});

t.test("a device is told what an older version of its node had not taken for a wish", async (t) => {
  const scenario = await Scenario.begin(t, { versions: { early: "older", late: "present" } });
  const wished = await scenario.wish();
  await scenario.run(5000);
  t.notOk(scenario.nodeHost.bus.deltas.has(`default/d1 temp ${wished}`));
  await scenario.update(scenario.nodeHost);
  await scenario.update(scenario.cloudHost);
  await scenario.agrees();
  t.ok(scenario.nodeHost.bus.deltas.has(`default/d1 temp ${wished}`));
  await scenario.end();
});

t.test(
  "what only a newer version knows goes by an older one as it is, and counts after the update",
  async (t) => {
    const scenario = await Scenario.begin(t, { versions: { early: "present", late: "newer" } });
    const newer = new NewerWorkload(scenario.cluster, 1);
    await scenario.update(scenario.nodeHost);
    const note = newer.note(scenario.nodeHost, "d1");
    await scenario.report(3);
    await scenario.run(2000);
    t.ok(scenario.cluster.isInStep);
    t.equal(heldIn(scenario.above, "noted"), undefined);
    t.equal(scenario.above.unauthorised, 1, "of a class that nodes write nothing of");
    const [above, below] = await Promise.all(
      [scenario.cloudHost, scenario.nodeHost].map((host) => nodesSegments(host)),
    );
    t.strictSame(above, below, "byte by byte, with fields that the cloud does not know");
    await scenario.update(scenario.cloudHost);
    await scenario.agrees();
    t.equal(heldIn(scenario.above, "noted"), note);
    await scenario.end();
  },
);

t.test(
  "a fold that reads more goes on from no snapshot of one that read less, nor the other way",
  async (t) => {
    const scenario = await Scenario.begin(t, { versions: { early: "present", late: "folding" } });
    await scenario.update(scenario.cloudHost);
    say(scenario.above, "d1", tagged("a"));
    await scenario.run(2000);
    t.equal(heldIn(scenario.above, taggedSlot, "cloud"), "a");
    t.equal(heldIn(scenario.below, taggedSlot, "cloud"), undefined);
    await scenario.update(scenario.cloudHost, scenario.cluster.releases.early);
    await scenario.run(1000);
    t.equal(heldIn(scenario.above, taggedSlot, "cloud"), undefined, "it is as that version reads it");
    await scenario.update(scenario.cloudHost);
    await scenario.update(scenario.nodeHost);
    t.equal(heldIn(scenario.above, taggedSlot, "cloud"), "a");
    t.equal(heldIn(scenario.below, taggedSlot, "cloud"), "a");
    await scenario.agrees();
    await scenario.end();
  },
);

t.test("a node that speaks another protocol says so, and goes on by itself", async (t) => {
  const scenario = await Scenario.begin(t, { versions: { early: "present", late: "breaking" } });
  await scenario.update(scenario.nodeHost);
  const values = await scenario.report(5);
  await scenario.run(5000);
  const { state, code, reason } = scenario.edge.hub.link;
  t.equal(state, "Disconnected");
  t.equal(code, "PROTOCOL_VERSION");
  t.match(reason, /peer speaks version [12] .* this side [12]; update the older one/);
  t.strictSame(await scenario.valuesInCloud(), []);
  await scenario.update(scenario.cloudHost);
  await scenario.agrees();
  t.strictSame(await scenario.valuesInCloud(), values);
  await scenario.end();
});

for (const name of ["nodeHost", "cloudHost"] as const) {
  t.test(`an older version changes nothing on a disk that a newer one wrote to (${name})`, async (t) => {
    const scenario = await Scenario.begin(t, { versions: { early: "present", late: "breaking" } });
    for (const host of scenario.cluster.hosts) await scenario.update(host);
    await scenario.report(5);
    await scenario.desire("20");
    await scenario.agrees();
    const host = scenario[name];
    const { early, late } = scenario.cluster.releases;
    for (const ends of ["cleanly", "by a crash"] as const) {
      if (ends === "by a crash") host.crash();
      else void host.stop();
      await scenario.until(() => host.isDown);
      const before = host.disk.snapshot();
      host.release = early;
      host.start();
      await scenario.until(() => host.release === late);
      t.strictSame(host.disk.snapshot(), before, `after it ended ${ends}`);
      await scenario.until(() => host.product !== undefined);
      await scenario.agrees();
    }
    await scenario.end();
  });
}

/** The bytes of what the node has written, as a machine keeps it. */
async function nodesSegments(host: CloudHost | NodeHost): Promise<unknown[]> {
  const records = await recordsOn(host.disk.snapshot(), nodeLog("node-1"));
  const ofNode = records.filter(({ origin }) => origin !== undefined && sideOf(origin) === "node");
  return ofNode.map(({ segment }) => segment && Buffer.from(segment).toString("hex"));
}
