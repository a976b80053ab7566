import t from "tap";
import { TidemarkError } from "../../core/errors.ts";
import { deviceKind, deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { Resources, type Written, objectBytesMax } from "../../cloud/api/resources.ts";
import type { KubeObject } from "../../protocol/rest/objects.ts";
import { type Failure, isFailure } from "../../protocol/rest/status.ts";
import { FakeReplica } from "./fake-replica.ts";
import { clock, countingRandom, device, model, turn } from "./fixtures.ts";

const at = { namespace: "default", name: "thermo-1" };

function world(log: FakeReplica = new FakeReplica("cluster")): { log: FakeReplica; resources: Resources } {
  return { log, resources: new Resources({ log, clock, random: countingRandom() }) };
}

function written(outcome: Written | Failure): KubeObject {
  if (isFailure(outcome)) throw new Error(outcome.message);
  return outcome.object;
}

function withVersion(object: KubeObject, resourceVersion: string | undefined): KubeObject {
  return {
    ...object,
    metadata: { ...object.metadata, ...(resourceVersion !== undefined && { resourceVersion }) },
  };
}

t.test("given nothing, when an object is put, then it has what the server sets", async (t) => {
  const { resources } = world();
  const outcome = await resources.put(deviceKind, at, device({ node: "edge-1" }));
  t.match(outcome, {
    created: true,
    object: {
      metadata: {
        name: "thermo-1",
        namespace: "default",
        uid: /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
        creationTimestamp: "2026-11-20T10:00:00Z",
        generation: 1,
        resourceVersion: "1",
      },
      spec: { nodeName: "edge-1" },
    },
  });
  t.strictSame(resources.get(deviceKind, at), written(outcome));
});

t.test("the version is not in the body, but the event's own sequence", async (t) => {
  const { log } = world();
  const resources = new Resources({ log, clock, random: countingRandom(), versionBase: 1000 });
  await resources.put(deviceModelKind, { ...at, name: "m" }, model());
  const object = written(await resources.put(deviceKind, at, device()));
  t.equal(object.metadata.resourceVersion, "1002");
  t.equal(resources.version, 1002);
  t.notHas(log.events[1]?.body, { metadata: { resourceVersion: "1002" } });
  t.equal(resources.positionAfter(1001), 2);
});

t.test("an answer waits until the event is durable, and readers don't see it before", async (t) => {
  const { log, resources } = world(new FakeReplica("cluster", { automatic: false }));
  let answered = false;
  const outcome = resources.put(deviceKind, at, device()).then(() => (answered = true));
  await turn();
  t.equal(answered, false);
  t.equal(resources.get(deviceKind, at), undefined);
  t.equal(resources.list(deviceKind, undefined).length, 0);
  log.commit();
  await outcome;
  t.ok(resources.get(deviceKind, at));
});

t.test("given two writes with one version in one commit group, then one of them is a conflict", async (t) => {
  const { log, resources } = world();
  const { resourceVersion } = written(await resources.put(deviceKind, at, device())).metadata;
  log.automatic = false;
  const both = ["a", "b"].map((node) =>
    resources.put(deviceKind, at, withVersion(device({ node }), resourceVersion)),
  );
  t.equal(log.waiting, 1, "only the first was staged");
  log.commit();
  const [first, second] = await Promise.all(both);
  t.match(first, { object: { spec: { nodeName: "a" }, metadata: { resourceVersion: "2" } } });
  t.match(second, { code: 409, reason: "Conflict" });
  t.match(resources.get(deviceKind, at), { spec: { nodeName: "a" } });
});

t.test("two objects of one name can't both be created in one commit group", async (t) => {
  const { log, resources } = world(new FakeReplica("cluster", { automatic: false }));
  const both = [1, 2].map(() => resources.create(deviceKind, "default", device()));
  log.commit();
  const [first, second] = await Promise.all(both);
  t.match(first, { created: true });
  t.match(second, { code: 409, reason: "AlreadyExists" });
});

t.test("generation rises with the spec, and with nothing else", async (t) => {
  const { resources } = world();
  const first = written(await resources.put(deviceKind, at, device()));
  const labelled = written(
    await resources.put(deviceKind, at, { ...device(), metadata: { name: "thermo-1", labels: { a: "b" } } }),
  );
  t.match(labelled.metadata, { generation: 1, resourceVersion: "2", uid: first.metadata.uid });
  const moved = written(await resources.put(deviceKind, at, device({ node: "edge-1" })));
  t.match(moved.metadata, { generation: 2, resourceVersion: "3", uid: first.metadata.uid });
});

t.test("a put that changes nothing appends nothing", async (t) => {
  const { log, resources } = world();
  const first = written(await resources.put(deviceKind, at, device()));
  const again = { ...first, status: { conditions: [] } } as KubeObject;
  t.strictSame(written(await resources.put(deviceKind, at, again)), first);
  t.equal(log.position, 1);

  await t.test("and is answered only when what it equals is durable", async (t) => {
    log.automatic = false;
    const answered: string[] = [];
    const puts = ["first", "second"].map((name) =>
      resources.put(deviceKind, at, device({ node: "edge-1" })).then(() => answered.push(name)),
    );
    await turn();
    t.strictSame(answered, []);
    t.equal(log.waiting, 1);
    log.commit();
    await Promise.all(puts);
    t.strictSame(answered.sort(), ["first", "second"]);
  });
});

t.test("a delete with preconditions is for that very object", async (t) => {
  const { log, resources } = world();
  const { uid = "", resourceVersion } = written(await resources.put(deviceKind, at, device())).metadata;
  t.match(await resources.delete(deviceKind, at, { uid: "other" }), {
    code: 409,
    message: /UID in precondition: other/,
  });
  t.match(await resources.delete(deviceKind, at, { resourceVersion: "77" }), { code: 409 });
  t.match(await resources.delete(deviceKind, at, { dryRun: true }), { status: "Success" });
  t.equal(log.position, 1, "nothing was deleted so far");
  t.match(await resources.delete(deviceKind, at, { uid, resourceVersion }), {
    kind: "Status",
    status: "Success",
    details: { name: "thermo-1", group: "devices.kubeedge.io", kind: "devices", uid },
  });
  t.equal(resources.get(deviceKind, at), undefined);
  t.match(await resources.delete(deviceKind, at), { code: 404 });
});

t.test("an object made anew is another: uid, generation and life", async (t) => {
  const { log, resources } = world();
  const first = written(await resources.put(deviceKind, at, device()));
  log.automatic = false;
  const gone = resources.delete(deviceKind, at);
  const stale = await resources.put(deviceKind, at, withVersion(device(), first.metadata.resourceVersion));
  t.match(stale, { code: 404 }, "the old version no longer names anything");
  t.match(await resources.put(deviceKind, at, first), { code: 409 }, "nor does the old uid");
  const anew = resources.put(deviceKind, at, device({ node: "edge-1" }));
  log.commit();
  await gone;
  const second = written(await anew);
  t.not(second.metadata.uid, first.metadata.uid);
  t.equal(second.metadata.generation, 1);
  t.equal(log.events.at(-1)?.life, undefined);
});

t.test("modify decides on staged state, so that no change is lost", async (t) => {
  const { log, resources } = world();
  await resources.put(deviceKind, at, device({ desired: {} }));
  log.automatic = false;
  const labelled = ["a", "b", "c"].map((key) =>
    resources.modify(deviceKind, at, (current) => ({
      ...current,
      metadata: { ...current.metadata, labels: { ...current.metadata.labels, [key]: "x" } },
    })),
  );
  log.commit();
  await Promise.all(labelled);
  t.strictSame(resources.get(deviceKind, at)?.metadata.labels, { a: "x", b: "x", c: "x" });
  t.match(await resources.modify(deviceKind, { ...at, name: "none" }, (same) => same), { code: 404 });
});

t.test("generateName", async (t) => {
  const { resources } = world();
  const unnamed = { ...device(), metadata: { generateName: "probe-" } } as unknown as KubeObject;
  const names = [];
  for (let count = 0; count < 3; count += 1) {
    names.push(written(await resources.create(deviceKind, "default", unnamed)).metadata.name);
  }
  t.equal(new Set(names).size, 3);
  for (const name of names) t.match(name, /^probe-[a-z0-9]{5}$/);
});

t.test("what can't be stored is refused, and says why", async (t) => {
  const { log, resources } = world();
  const large = { ...device(), metadata: { name: "thermo-1", annotations: { a: "x" } } };
  const huge = {
    ...large,
    spec: { ...large.spec, protocol: { configData: { x: "x".repeat(objectBytesMax) } } },
  };
  t.match(await resources.put(deviceKind, at, huge), { code: 413 });
  t.match(await resources.put(deviceKind, { ...at, name: "Bad_Name" }, device()), {
    code: 422,
    details: { causes: [{ field: "metadata.name" }] },
  });
  t.match(await resources.create(deviceKind, "default", withVersion(device(), "1")), { code: 400 });
  t.equal(log.position, 0);
});

t.test("the largest object can also be deleted", async (t) => {
  const { log, resources } = world();
  const room = objectBytesMax - 400;
  const large = {
    ...device(),
    spec: { ...device().spec, protocol: { configData: { x: "x".repeat(room) } } },
  };
  t.match(await resources.put(deviceKind, at, large), { created: true });
  t.match(await resources.delete(deviceKind, at), { status: "Success" });
  t.equal(log.position, 2);
});

t.test("a log that takes nothing makes the write fail, and leaves no trace", async (t) => {
  const { log, resources } = world();
  const overloaded = new TidemarkError("LOG_OVERLOADED", "too much waits for the disk");
  log.refuse(overloaded);
  await t.rejects(resources.put(deviceKind, at, device()), overloaded);
  log.refuse(undefined);
  log.automatic = false;
  const failing = resources.put(deviceKind, at, device());
  const equal = resources.put(deviceKind, at, device());
  log.fail();
  await t.rejects(failing, { code: "LOG_COMMIT_FAILED" });
  await t.rejects(equal, { code: "LOG_COMMIT_FAILED" }, "nor is the equal one answered as if it were there");
  t.equal(resources.get(deviceKind, at), undefined);
});

t.test("dry runs answer, and write nothing", async (t) => {
  const { log, resources } = world();
  t.match(await resources.put(deviceKind, at, device(), { dryRun: true }), { created: true });
  t.equal(log.position, 0);
});

t.test("lists are in order, by namespace or of all", async (t) => {
  const { resources } = world();
  for (const [namespace, name] of [
    ["b", "x"],
    ["a", "z"],
    ["a", "y"],
  ] as const) {
    await resources.put(deviceKind, { namespace, name }, device({ name }));
  }
  await resources.delete(deviceKind, { namespace: "a", name: "z" });
  const names = (namespace?: string): readonly string[] =>
    resources.list(deviceKind, namespace).map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
  t.strictSame(names(), ["a/y", "b/x"]);
  t.strictSame(names("b"), ["b/x"]);
  t.equal(resources.version, 4);
});
