/** What is forgotten at some moment changes nothing of what is so, nor of what comes to be so after it. */
import t from "tap";
import { nodeLog, parseEventId } from "../../core/event.ts";
import { currentLife } from "../../core/registers.ts";
import { eventsOn } from "./disk.ts";
import type { CloudHost, NodeHost } from "./hosts.ts";
import { Scenario } from "./scenario.ts";

const merging = { blockBytes: 500, idleMs: 200 };

/** How many events of the node's log a machine holds. */
async function heldBy({ disk }: CloudHost | NodeHost): Promise<number> {
  return (await eventsOn(disk.snapshot(), nodeLog("node-1"))).length;
}

/** Everything that may go goes, on these machines. */
async function forget(scenario: Scenario, ...hosts: readonly (CloudHost | NodeHost)[]): Promise<void> {
  // Until all is merged, and outboxes have said how far they are.
  await scenario.run(3000);
  for (const host of hosts) {
    const before = await heldBy(host);
    let isDone = false;
    void scenario.cluster.forgetting.pass(host, true).then(() => (isDone = true));
    await scenario.until(() => isDone);
    const after = await heldBy(host);
    if (after >= before) throw new Error(`${host.name} still holds ${after} of ${before} events`);
  }
}

t.test("both sides forget, and agree; a new node takes what is left", async (t) => {
  const scenario = await Scenario.begin(t, { merging });
  let last: string | undefined;
  for (let round = 0; round < 10; round += 1) {
    last = (await scenario.report(3)).at(-1);
    await scenario.desire(`${round}`);
    await scenario.run(500);
  }
  await scenario.agrees();
  await forget(scenario, scenario.nodeHost, scenario.cloudHost);
  await scenario.agrees();
  await scenario.wipe(scenario.nodeHost);
  await scenario.agrees();
  for (const { devices } of [scenario.cloud, scenario.edge])
    t.equal(devices.get("default", "d1")?.properties["mode"]?.reported?.value, last);
  await scenario.end();
});

t.test("a node that has forgotten goes on under its name, when the link was down", async (t) => {
  const scenario = await Scenario.begin(t, { merging });
  // So many commits that a side does not know by heart where each of those ended that it has forgotten.
  const reports = async (count: number): Promise<void> => {
    for (let round = 0; round < count; round += 1) {
      await scenario.report(1);
      await scenario.run(50);
    }
  };
  await reports(40);
  await scenario.agrees();
  // The cloud names where that ends.
  await forget(scenario, scenario.cloudHost);
  await reports(40);
  await scenario.agrees();
  const { incarnation } = scenario.below;
  scenario.partition(true);
  await forget(scenario, scenario.nodeHost);
  await reports(80);
  scenario.partition(false);
  await scenario.agrees();
  t.equal(scenario.below.incarnation, incarnation);
  await scenario.end();
});

t.test(
  "an old conflict that both have forgotten all else of ends as a changed policy says, on both",
  async (t) => {
    const scenario = await Scenario.begin(t, { merging });
    scenario.partition(true);
    for (let round = 20; round < 30; round += 1) {
      await scenario.desire(`${round}`);
      await scenario.report(2);
      await scenario.run(300);
    }
    const wished = await scenario.wish();
    scenario.partition(false);
    await scenario.agrees();
    await forget(scenario, scenario.nodeHost, scenario.cloudHost);
    for (const [policy, value] of [
      ["cloud", "29"],
      ["edge", wished],
      ["edge temp=cloud", "29"],
    ] as const) {
      await scenario.decideBy(policy);
      await scenario.agrees();
      for (const { devices } of [scenario.cloud, scenario.edge])
        t.equal(devices.get("default", "d1")?.properties["temp"]?.desired?.value, value, policy);
    }
    await scenario.end();
  },
);

t.test("what an older version skipped, it does not forget for what it knows", async (t) => {
  const scenario = await Scenario.begin(t, { merging, versions: { early: "older", late: "present" } });
  await scenario.update(scenario.nodeHost);
  const wished = await scenario.wish();
  for (let round = 0; round < 10; round += 1) {
    await scenario.report(3);
    await scenario.run(300);
  }
  await forget(scenario, scenario.cloudHost, scenario.nodeHost);
  await scenario.update(scenario.cloudHost);
  await scenario.agrees();
  const life = currentLife(scenario.above.registers, "devices/default/d1");
  t.strictSame(life?.slots.get("desired/temp")?.node?.body, [wished]);
  await scenario.end();
});

t.test(
  "a node that is put back to before what the cloud has forgotten repeats nothing that was acked",
  async (t) => {
    const scenario = await Scenario.begin(t, { merging });
    for (let commit = 0; commit < 10; commit += 1) {
      await scenario.report(2);
      await scenario.run(500);
    }
    await scenario.agrees();
    const acked = scenario.below.histories.get(scenario.below.incarnation)?.end ?? 0;
    await scenario.run(2000);
    // What was acked is kept with this.
    await scenario.report(1);
    await scenario.agrees();
    await scenario.report(1);
    const copy = scenario.nodeHost.disk.snapshot();
    for (let commit = 0; commit < 10; commit += 1) {
      await scenario.report(2);
      await scenario.run(500);
    }
    await scenario.agrees();
    await forget(scenario, scenario.cloudHost);
    void scenario.above.readAgain("as if it were damaged");
    await scenario.until(() => scenario.above.isOpen);
    const { incarnation } = scenario.below;
    await scenario.rollBack(scenario.nodeHost, copy);
    await scenario.agrees();
    t.not(scenario.below.incarnation, incarnation);
    const again = (await scenario.inCloud()).map(({ cause }) => parseEventId(cause ?? ""));
    const repeated = again.filter((id) => id?.origin === incarnation).map((id) => id?.seq ?? 0);
    t.ok(
      repeated.every((seq) => seq > acked),
      "no more than what was not known to be there",
    );
    await scenario.end();
  },
);
