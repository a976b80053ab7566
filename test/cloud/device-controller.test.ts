import t from "tap";
import { setDesired } from "../../cloud/api/set-desired.ts";
import { type Held, type Wanted, reconcile } from "../../cloud/device-controller-plan.ts";
import { TidemarkError } from "../../core/errors.ts";
import type { EventId } from "../../core/event.ts";
import type { KubeObject } from "../../protocol/rest/objects.ts";
import { DeviceWorld } from "./device-world.ts";
import { clock, device, model, temp, turn } from "./fixtures.ts";

const key = "devices/default/thermo-1";
const cause = "c0000000000001/7" as EventId;
const life = "c0000000000001/3" as EventId;

function object(uid: string, spec: object = {}): KubeObject {
  return { apiVersion: "v", kind: "Device", metadata: { name: "thermo-1", uid }, spec } as KubeObject;
}

t.test("the difference of one object", async (t) => {
  const plan = (wanted: Wanted | undefined, held: Held | undefined): readonly string[] => {
    const { resources, desired } = reconcile(key, wanted, held);
    return [...resources, ...desired].map(
      ({ type, slot, life: under, body }) =>
        `${type} ${slot} ${under === undefined ? "new" : "old"}${type === "twin.desired" ? ` ${JSON.stringify(body)}` : ""}`,
    );
  };
  const wanted = (uid: string, desired: Record<string, string> = {}, spec: object = {}): Wanted => ({
    object: object(uid, spec),
    desired: new Map(Object.entries(desired).map(([name, value]) => [name, [value]])),
    causes: new Map(),
    cause,
  });
  const held = (uid: string, desired: Record<string, string | null> = {}): Held => ({
    life,
    object: object(uid),
    desired: new Map(Object.entries(desired).map(([name, value]) => [name, value === null ? null : [value]])),
  });

  t.strictSame(plan(undefined, undefined), []);
  t.strictSame(plan(wanted("a", { temp: "3" }), undefined), [
    "resource.applied spec new",
    'twin.desired desired/temp new ["3"]',
  ]);
  t.strictSame(plan(wanted("a", { temp: "3" }), held("a", { temp: "3" })), []);
  t.strictSame(plan(wanted("a", { temp: "4" }), held("a", { temp: "3" })), [
    'twin.desired desired/temp old ["4"]',
  ]);
  t.strictSame(plan(wanted("a"), held("a", { temp: "3", goal: null })), [
    "twin.desired desired/temp old null",
  ]);
  t.strictSame(plan(wanted("a", {}, { nodeName: "x" }), held("a")), ["resource.applied spec old"]);
  t.strictSame(plan(undefined, held("a", { temp: "3" })), ["resource.deleted spec old"]);
  t.strictSame(
    plan(wanted("b", { temp: "3" }), held("a", { temp: "3" })),
    ["resource.deleted spec old", "resource.applied spec new", 'twin.desired desired/temp new ["3"]'],
    "another uid is another life, which has been told nothing",
  );
});

t.test("a device and its model come to its node, and what is wanted of it", async (t) => {
  const world = new DeviceWorld("edge-1", "edge-2");
  world.start();
  await world.putModel(model());
  await world.putDevice(device({ node: "edge-1", desired: { temp: "30", humidity: "1" } }));
  await world.settle();
  t.strictSame(world.events("edge-1"), [
    "resource.applied thermo-model",
    "resource.applied thermo-1",
    "twin.desired thermo-1 temp=30",
  ]);
  t.strictSame(world.told("edge-1")[key]?.["spec"], {
    deviceModelRef: { name: "thermo-model" },
    nodeName: "edge-1",
    properties: [{ name: "temp" }, { name: "humidity" }],
  });
  t.strictSame(world.events("edge-2"), []);
  const [applied, desired] = world.nodes.get("edge-1")?.events.slice(1) ?? [];
  t.equal(desired?.life, `${applied?.origin}/${applied?.seq}`);
  t.equal(desired?.cause, "c0000000000001/2", "the event of the cluster log that said so");

  await t.test("a value alone changes nothing but the value", async (t) => {
    const before = world.position("edge-1");
    await setDesired(
      world.resources,
      clock,
      { namespace: "default", name: "thermo-1" },
      { property: "temp", value: "31" },
    );
    await world.settle();
    t.strictSame(world.events("edge-1", before), ["twin.desired thermo-1 temp=31"]);
  });

  await t.test(
    "a value said again is said to the node again, since the node may have set another",
    async (t) => {
      const before = world.position("edge-1");
      const later = { ...clock, now: () => clock.now() + 1 };
      await setDesired(
        world.resources,
        later,
        { namespace: "default", name: "thermo-1" },
        { property: "temp", value: "31" },
      );
      await world.settle();
      t.strictSame(world.events("edge-1", before), ["twin.desired thermo-1 temp=31"]);
    },
  );

  await t.test("what the node wants itself is not overwritten", async (t) => {
    const before = world.position("edge-1");
    const under = world.nodes.get("edge-1")?.stagedLife(key);
    world.nodes
      .get("edge-1")
      ?.receive(
        { type: "twin.desired", class: "twin", key, slot: "desired/temp", life: under, body: ["55"] },
        1,
      );
    world.controller?.nodeAppeared("edge-1");
    await world.settle();
    t.strictSame(world.events("edge-1", before + 1), []);
  });

  await t.test("a value withdrawn, or no longer valid, is null", async (t) => {
    let before = world.position("edge-1");
    await world.putModel(model([{ ...temp, maximum: "10" }]));
    await world.settle();
    t.strictSame(world.events("edge-1", before), [
      "resource.applied thermo-model",
      "twin.desired thermo-1 temp=null",
    ]);
    before = world.position("edge-1");
    await world.putDevice(device({ node: "edge-1" }));
    await world.settle();
    t.strictSame(world.events("edge-1", before), ["resource.applied thermo-1"]);
  });

  await t.test("moved, it ends on the one node and begins on the other, and so does its model", async (t) => {
    const before = world.position("edge-1");
    await world.putDevice(device({ node: "edge-2", desired: { temp: "5" } }));
    await world.settle();
    t.strictSame(world.events("edge-1", before), [
      "resource.deleted thermo-1",
      "resource.deleted thermo-model",
    ]);
    t.strictSame(world.told("edge-1"), {});
    t.strictSame(world.events("edge-2"), [
      "resource.applied thermo-model",
      "resource.applied thermo-1",
      "twin.desired thermo-1 temp=5",
    ]);
  });

  await t.test("deleted, it is gone from the node; a model that another device needs stays", async (t) => {
    await world.putDevice(device({ name: "thermo-2", node: "edge-2" }));
    await world.deleteDevice("thermo-1");
    await world.settle();
    t.strictSame(Object.keys(world.told("edge-2")), [
      "devicemodels/default/thermo-model",
      "devices/default/thermo-2",
    ]);
  });

  await t.test("without a node it is nowhere", async (t) => {
    await world.putDevice(device({ name: "thermo-2" }));
    await world.settle();
    t.strictSame(world.told("edge-2"), {});
  });
  await world.controller?.close();
});

t.test("a device that comes before its model is told what is wanted when the model is there", async (t) => {
  const world = new DeviceWorld("edge-1");
  world.start();
  await world.putDevice(device({ node: "edge-1", desired: { temp: "30" } }));
  await world.settle();
  t.strictSame(world.events("edge-1"), ["resource.applied thermo-1"]);
  await world.putModel(model());
  await world.settle();
  t.strictSame(world.events("edge-1", 1), ["resource.applied thermo-model", "twin.desired thermo-1 temp=30"]);
  await world.deleteModel("thermo-model");
  await world.settle();
  t.strictSame(world.events("edge-1", 3).toSorted(), [
    "resource.deleted thermo-model",
    "twin.desired thermo-1 temp=null",
  ]);
  await world.controller?.close();
});

t.test(
  "deleted and made anew between two looks, it is a new life, and is told everything again",
  async (t) => {
    const world = new DeviceWorld("edge-1");
    world.start();
    await world.putModel(model());
    await world.putDevice(device({ node: "edge-1", desired: { temp: "30" } }));
    await world.settle();
    world.cluster.automatic = false;
    const before = world.position("edge-1");
    const both = [
      world.deleteDevice("thermo-1"),
      world.putDevice(device({ node: "edge-1", desired: { temp: "30" } })),
    ];
    world.cluster.commit();
    await Promise.all(both);
    await world.settle();
    t.strictSame(world.events("edge-1", before), [
      "resource.deleted thermo-1",
      "resource.applied thermo-1",
      "twin.desired thermo-1 temp=30",
    ]);
    await world.controller?.close();
  },
);

t.test("after a restart the difference is found and sent, and nothing is sent twice", async (t) => {
  const world = new DeviceWorld("edge-1");
  world.start();
  await world.putModel(model());
  await world.putDevice(device({ node: "edge-1", desired: { temp: "30" } }));
  await world.putDevice(device({ name: "thermo-2", node: "edge-1" }));
  await world.settle();
  const before = world.position("edge-1");
  await world.crash(0);
  await world.settle();
  t.equal(world.position("edge-1"), before, "nothing was missing");
  await world.controller?.close();
  await world.deleteDevice("thermo-2");
  await world.putDevice(device({ node: "edge-1", desired: { temp: "31" } }));
  world.start();
  await world.settle();
  t.strictSame(world.events("edge-1", before).toSorted(), [
    "resource.deleted thermo-2",
    "twin.desired thermo-1 temp=31",
  ]);
  await world.controller?.close();
});

t.test("a crash between an object and what is wanted of it leaves nothing behind", async (t) => {
  const world = new DeviceWorld("edge-1");
  world.start();
  await world.putModel(model());
  await world.putDevice(device({ node: "edge-1", desired: { temp: "30" } }));
  await world.settle();
  const log = world.nodes.get("edge-1");
  if (log !== undefined) log.automatic = false;
  await world.putDevice(device({ node: "edge-1" }));
  await world.controller?.idle();
  t.equal(log?.waiting, 2, "the device without the property, and the value withdrawn");
  await world.crash(1);
  await world.settle();
  t.strictSame(world.events("edge-1", 3), ["resource.applied thermo-1", "twin.desired thermo-1 temp=null"]);
  await world.controller?.close();
});

t.test("a node that appears later is told then", async (t) => {
  const world = new DeviceWorld();
  world.start();
  await world.putModel(model());
  await world.putDevice(device({ node: "edge-9", desired: { temp: "30" } }));
  await world.settle();
  world.nodes.set("edge-9", new DeviceWorld("edge-9").nodes.get("edge-9") as never);
  world.controller?.nodeAppeared("edge-9");
  await world.settle();
  t.equal(world.events("edge-9").length, 3);
  await world.controller?.close();
});

t.test("a log that refuses is tried again, and the other nodes don't wait for it", async (t) => {
  const world = new DeviceWorld("edge-1", "edge-2");
  world.start();
  await world.putModel(model());
  const log = world.nodes.get("edge-1");
  log?.refuse(new TidemarkError("LOG_OVERLOADED", "too much waits for the disk"));
  await world.putDevice(device({ node: "edge-1", desired: { temp: "30" } }));
  await world.putDevice(device({ name: "thermo-2", node: "edge-2" }));
  await world.settle();
  t.equal(world.events("edge-1").length, 0);
  t.equal(world.events("edge-2").length, 2);
  log?.refuse(undefined);
  while (world.position("edge-1") < 3) await turn();
  t.equal(world.events("edge-1").length, 3);

  await t.test("and so is one whose disk failed after it had taken the events", async (t) => {
    if (log !== undefined) log.automatic = false;
    await world.putDevice(device({ node: "edge-1", desired: { temp: "31" } }));
    await world.controller?.idle();
    t.equal(log?.waiting, 1);
    log?.fail();
    await world.settle();
    t.strictSame(world.events("edge-1", 3), ["twin.desired thermo-1 temp=31"]);
  });
  await world.controller?.close();
});

t.test("many devices and many values", async (t) => {
  const world = new DeviceWorld("edge-1");
  const rows = Array.from({ length: 40 }, (_, index) => ({ ...temp, name: `p${index}` }));
  await world.putModel(model(rows));
  const desired = Object.fromEntries(rows.map(({ name }) => [name, "7"]));
  const puts = Array.from({ length: 600 }, (_, index) =>
    world.putDevice(device({ name: `d${index}`, node: "edge-1", desired: index === 5 ? desired : {} })),
  );
  await Promise.all(puts);
  world.start();
  await world.settle();
  t.equal(world.position("edge-1"), 1 + 600 + 40);
  await world.controller?.close();
});
