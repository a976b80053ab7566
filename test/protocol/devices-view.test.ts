import * as fc from "fast-check";
import t from "tap";
import type { Body, EventId } from "../../core/event.ts";
import { currentLife } from "../../core/registers.ts";
import { deltaEffects, membershipEffect, pendingDelta } from "../../protocol/devices/changes.ts";
import { readDeclaration } from "../../protocol/devices/declaration.ts";
import { deviceList, deviceView } from "../../protocol/devices/twin-view.ts";
import { FakeReplica, desired, device, replicaWithDevice, thermo } from "../edge/fake-replica.ts";

function report(life: EventId, property: string, body: Body) {
  return {
    type: "twin.reported",
    class: "twin",
    key: "devices/default/t1",
    slot: `reported/${property}`,
    life,
    body,
  } as const;
}

t.test("a device shows what its model declares, what is reported and what is wanted", async (t) => {
  const { replica, life } = replicaWithDevice();
  const [reportId] = await replica.appended([report(life, "temp", ["23", 1_800_000_000_000])]);
  const [desiredId] = replica.fromCloud(desired("t1", "temp", "25", life));
  await replica.appended([
    report(life, "odd", ["x", null, "string"]),
    {
      type: "device.state",
      class: "twin",
      key: "devices/default/t1",
      slot: "state",
      life,
      body: ["online", 1_800_000_000_500],
    },
  ]);
  const view = deviceView(replica.registers, "default", "t1", "edge-1");
  const temp = view?.properties["temp"];
  t.match(view, {
    namespace: "default",
    name: "t1",
    node: "edge-1",
    model: "thermo",
    state: "online",
    lastOnlineTime: "2027-01-15T08:00:00.500Z",
  });
  t.same(Object.keys(view?.properties ?? {}), ["temp", "load", "mode", "odd"], "declared ones first");
  t.same(temp?.reported, { value: "23", time: "2027-01-15T08:00:00.000Z", event: reportId });
  t.match(temp?.desired, { value: "25", event: desiredId });
  t.match(temp, { type: "INT", inSync: false });
  t.notOk(Object.hasOwn(temp ?? {}, "undeclared"));
  t.same(view?.properties["load"], { type: "FLOAT", reported: null, desired: null, inSync: true });
  t.match(view?.properties["odd"], {
    type: "string",
    undeclared: true,
    reported: { value: "x" },
    desired: null,
  });
});

t.test("a device that never was, or is gone, has no view", async (t) => {
  const { replica, life } = replicaWithDevice();
  t.equal(deviceView(replica.registers, "default", "t2", null), undefined);
  t.equal(deviceView(replica.registers, "default", "thermo", null), undefined, "a model is no device");
  replica.fromCloud({
    type: "resource.deleted",
    class: "resource",
    key: "devices/default/t1",
    life,
    deletes: true,
  });
  t.equal(deviceView(replica.registers, "default", "t1", null), undefined);
  t.same(deviceList(replica.registers, null), []);
});

t.test("a device that comes before its model declares nothing", async (t) => {
  const replica = new FakeReplica();
  replica.fromCloud(device("t1"));
  t.same(deviceView(replica.registers, "default", "t1", null)?.properties, {});
  replica.fromCloud(thermo);
  t.match(deviceView(replica.registers, "default", "t1", null)?.properties, { temp: { type: "INT" } });
});

t.test("a withdrawn wish and a deleted value are absent", async (t) => {
  const { replica, life } = replicaWithDevice();
  replica.fromCloud(desired("t1", "temp", "25", life), desired("t1", "temp", null, life));
  await replica.appended([report(life, "odd", ["x"])]);
  await replica.appended([report(life, "odd", null)]);
  const view = deviceView(replica.registers, "default", "t1", null);
  t.match(view?.properties["temp"], { desired: null, inSync: true });
  t.notOk(Object.hasOwn(view?.properties ?? {}, "odd"));
});

t.test("devices are listed by namespace and name", async (t) => {
  const replica = new FakeReplica();
  replica.fromCloud(device("b"), device("a"), device("z", { namespace: "another" }));
  t.same(
    deviceList(replica.registers, "edge-1").map(({ namespace, name }) => `${namespace}/${name}`),
    ["another/z", "default/a", "default/b"],
  );
});

t.test("a property called __proto__ is one like any other", async (t) => {
  const { replica, life } = replicaWithDevice();
  await replica.appended([report(life, "__proto__", ["1"])]);
  const view = deviceView(replica.registers, "default", "t1", null);
  t.ok(JSON.stringify(view).includes('"__proto__":{'));
});

t.test("no body of an event or an object makes a view throw", async () => {
  const anything = fc.jsonValue() as fc.Arbitrary<Body>;
  fc.assert(
    fc.property(anything, anything, anything, (spec, model, body) => {
      const replica = new FakeReplica();
      const [life] = replica.fromCloud({ ...device("t1"), body: spec }, { ...thermo, body: model });
      replica.fromCloud({ ...desired("t1", "temp", "1", life as EventId), body });
      deviceView(replica.registers, "default", "t1", null);
      pendingDelta(replica.registers, "default", "t1");
    }),
  );
});

t.test("a batch leads to one delta a device, by its newest event, with the state of now", async (t) => {
  const { replica, life } = replicaWithDevice();
  const from = replica.position;
  const ids = replica.fromCloud(desired("t1", "temp", "20", life), desired("t1", "temp", "25", life));
  await replica.appended([report(life, "mode", ["eco"])]);
  const batch = replica.events.slice(from);
  const [delta, ...more] = deltaEffects(batch.slice(0, 2), replica.registers);
  t.same(more, []);
  t.match(delta, { namespace: "default", name: "t1", event: ids[1] });
  t.same(
    delta?.pending.map(({ name, desired }) => [name, desired?.value]),
    [["temp", "25"]],
  );
  t.equal(deltaEffects(batch, replica.registers)[0]?.event, "n0000000000001/1", "a report led to it");
  t.same(
    deltaEffects(batch, replica.registers),
    deltaEffects(batch, replica.registers),
    "same input, same effects",
  );
  t.same(
    deltaEffects(batch, replica.registers, () => false),
    [],
    "nobody asked",
  );
});

t.test("no delta once the device reports what is wanted, or for an empty wish", async (t) => {
  const { replica, life } = replicaWithDevice();
  replica.fromCloud(desired("t1", "temp", "25", life), desired("t1", "mode", "", life));
  await replica.appended([report(life, "temp", ["+25"])]);
  t.same(deltaEffects(replica.events, replica.registers), []);
});

t.test("what a model says anew of conflicts is told to the devices that are in one", async (t) => {
  const { replica, life } = replicaWithDevice();
  const { body } = thermo;
  const said = (policy: string) =>
    ({
      ...thermo,
      life: currentLife(replica.registers, thermo.key)?.id,
      body: {
        ...(body as object),
        metadata: { annotations: { "tidemark.io/conflict-policy": policy } },
      } as Body,
    }) as const;
  replica.fromCloud(desired("t1", "temp", "25", life));
  replica.concurrent(desired("t1", "temp", "30", life));
  t.equal(pendingDelta(replica.registers, "default", "t1")?.pending[0]?.desired?.value, "30");
  const from = replica.position;
  replica.fromCloud(said("cloud"));
  const [delta] = deltaEffects(replica.events.slice(from), replica.registers);
  t.match(delta?.pending, [{ name: "temp", desired: { value: "25" }, conflict: { policy: "cloud" } }]);
  replica.fromCloud(desired("t1", "temp", "26", life));
  const after = replica.position;
  replica.fromCloud(said("edge"));
  t.same(deltaEffects(replica.events.slice(after), replica.registers), [], "and to no others");
});

t.test("a value that lost is shown beside the one that won", async (t) => {
  const { replica, life } = replicaWithDevice();
  replica.fromCloud(desired("t1", "temp", "25", life));
  replica.concurrent(desired("t1", "temp", null, life));
  const temp = (): unknown => deviceView(replica.registers, "default", "t1", null)?.properties["temp"];
  t.match(temp(), { desired: null, conflict: { winner: "edge", policy: "latest", lost: { value: "25" } } });
  replica.fromCloud(desired("t1", "temp", "26", life));
  t.notOk(Object.hasOwn(temp() as object, "conflict"), "until it is set again");
});

t.test("no delta for a life that is over", async (t) => {
  const { replica, life } = replicaWithDevice();
  replica.fromCloud(desired("t1", "temp", "25", life));
  replica.fromCloud({
    type: "resource.deleted",
    class: "resource",
    key: "devices/default/t1",
    life,
    deletes: true,
  });
  t.same(deltaEffects(replica.events, replica.registers), []);
  const old = replica.position;
  const [next] = replica.fromCloud(device("t1"));
  t.same(deltaEffects(replica.events, replica.registers), [], "nor for the next life, which wants nothing");
  replica.fromCloud(desired("t1", "temp", "30", next as EventId));
  t.same(
    deltaEffects(replica.events.slice(0, old), replica.registers),
    [],
    "nor when that wants something else",
  );
  t.equal(deltaEffects(replica.events, replica.registers).length, 1);
});

t.test("a device's own object leads to a delta too", async (t) => {
  const { replica, life } = replicaWithDevice();
  replica.fromCloud(desired("t1", "temp", "25", life));
  const from = replica.position;
  const [id] = replica.fromCloud(device("t1", { life }));
  t.equal(deltaEffects(replica.events.slice(from), replica.registers)[0]?.event, id);
});

t.test("memberships change with births and deletes, by what is so in the end", async (t) => {
  const { replica, life } = replicaWithDevice();
  const effect = () => membershipEffect(replica.events, replica.registers);
  t.match(effect(), { added: [{ name: "t1" }], removed: [] });
  const gone = {
    type: "resource.deleted",
    class: "resource",
    key: "devices/default/t1",
    life,
    deletes: true,
  } as const;
  replica.fromCloud(gone);
  t.match(effect(), { added: [], removed: [{ name: "t1", declaration: undefined }] });
  replica.fromCloud(device("t1"));
  t.match(effect(), { added: [{ name: "t1" }], removed: [] });
  const applied = replica.fromCloud(device("t1", { life: "c0000000000001/4" as EventId }));
  t.equal(
    membershipEffect(replica.events.slice(-1), replica.registers),
    undefined,
    `${applied.join()} only changed it`,
  );
});

t.test("the description is the device's label", async (t) => {
  const { replica } = replicaWithDevice();
  t.equal(readDeclaration(replica.registers, "default", "t1")?.description, "hall");
});
