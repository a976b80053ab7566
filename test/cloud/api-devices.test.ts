import t from "tap";
import { deviceKind, deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { deviceConditions, judgeDesired } from "../../cloud/api/desired.ts";
import { Resources } from "../../cloud/api/resources.ts";
import { setDesired } from "../../cloud/api/set-desired.ts";
import type { EventId } from "../../core/event.ts";
import { type KubeObject } from "../../protocol/rest/objects.ts";
import { FakeReplica } from "./fake-replica.ts";
import { type PropertyRow, clock, countingRandom, device, model, temp } from "./fixtures.ts";

const at = { namespace: "default", name: "thermo-1" };

t.test("a device model is valid when its properties are", async (t) => {
  const fields = (...properties: readonly PropertyRow[]): readonly string[] =>
    deviceModelKind.validate(model(properties)).map(({ field, reason }) => `${field} ${reason}`);
  t.strictSame(fields(temp, { name: "mode", type: "STRING" }, { name: "a-b_c.d,e:f/g@h#i" }), []);
  t.strictSame(fields(temp, temp), ["spec.properties[1].name FieldValueDuplicate"]);
  t.strictSame(fields({ name: "two words" }), ["spec.properties[0].name FieldValueInvalid"]);
  t.strictSame(fields({ ...temp, minimum: "low" }), ["spec.properties[0].minimum FieldValueInvalid"]);
  t.strictSame(fields({ ...temp, minimum: "101" }), ["spec.properties[0].minimum FieldValueInvalid"]);
  t.strictSame(fields({ ...temp, type: "DOUBLE", minimum: "-1e3", maximum: "-0.5" }), []);
  t.strictSame(fields({ ...temp, minimum: "9007199254740993", maximum: "9007199254740992" }), [
    "spec.properties[0].minimum FieldValueInvalid",
  ]);
});

t.test("a device is valid with names that can be names", async (t) => {
  const fields = (object: KubeObject): readonly string[] =>
    deviceKind.validate(object).map(({ field, reason }) => `${field} ${reason}`);
  t.strictSame(fields(device()), []);
  t.strictSame(fields(device({ node: "edge-1", desired: { temp: "3" } })), []);
  t.strictSame(fields(device({ node: "Edge/1" })), ["spec.nodeName FieldValueInvalid"]);
  t.strictSame(fields(device({ model: "No Model" })), ["spec.deviceModelRef.name FieldValueInvalid"]);
  const twice = {
    ...device(),
    spec: { deviceModelRef: { name: "m" }, properties: [{ name: "a" }, { name: "a" }] },
  };
  t.strictSame(fields(twice), ["spec.properties[1].name FieldValueDuplicate"]);
});

t.test("what is said of conflicts is checked when it is declared", async (t) => {
  const causes = (object: KubeObject, policy: string): readonly string[] => {
    const annotations = { "tidemark.io/conflict-policy": policy };
    const said = { ...object, metadata: { ...object.metadata, annotations } };
    const { validate } = object.kind === "Device" ? deviceKind : deviceModelKind;
    return validate(said).map(({ field, message }) => `${field}: ${message}`);
  };
  t.strictSame(causes(device(), "edge temp=cloud later=latest"), [], "its model may come later");
  t.strictSame(causes(model([temp]), "edge temp=cloud"), []);
  const [wrong, ...more] = causes(device(), "mine");
  t.same(more, []);
  t.match(
    wrong,
    /^metadata.annotations\[tidemark.io\/conflict-policy\]: Invalid value: "mine": "mine" is no policy/,
  );
  t.match(causes(model([temp]), "edge mode=cloud"), [/the model declares no property mode/]);
});

t.test("a desired value may name the conflict that it ends", async (t) => {
  const log = new FakeReplica("cluster");
  const resources = new Resources({ log, clock, random: countingRandom() });
  await resources.put(deviceModelKind, { namespace: "default", name: "thermo" }, model([temp]));
  await resources.put(deviceKind, at, device({ model: "thermo" }));
  const conflict = "c0000000000001/7" as EventId;
  await setDesired(resources, clock, at, { property: "temp", value: "30", conflict });
  const declared = resources.get(deviceKind, at);
  t.ok(declared && judgeDesired(declared, model([temp])).causes.get("temp") === conflict);
  await setDesired(resources, clock, at, { property: "temp", value: "31" });
  const later = resources.get(deviceKind, at);
  t.equal(later && judgeDesired(later, model([temp])).causes.size, 0, "and the next one does not");
});

t.test("what is wanted is judged by the model", async (t) => {
  const rows = [
    temp,
    { name: "serial", type: "STRING", accessMode: "ReadOnly" },
    { name: "on", type: "BOOLEAN", accessMode: "ReadWrite" },
  ];
  const judged = (desired: Record<string, string>): unknown => {
    const { wanted, problems } = judgeDesired(device({ desired }), model(rows));
    return [Object.fromEntries(wanted), problems.map(({ property, reason }) => `${property} ${reason}`)];
  };
  t.strictSame(judged({ temp: "30", on: "true" }), [{ temp: ["30"], on: ["true"] }, []]);
  t.strictSame(judged({ temp: "101", serial: "x", on: "yes", humidity: "1" }), [
    {},
    ["temp Refused", "serial Refused", "on Refused", "humidity Undeclared"],
  ]);

  await t.test("and by nothing else: without it, nothing goes down", async (t) => {
    const { wanted, problems } = judgeDesired(device({ desired: { temp: "30" } }), undefined);
    t.equal(wanted.size, 0);
    t.match(problems, [{ property: "temp", reason: "ModelNotFound" }]);
  });

  await t.test("a time that came with the value goes with it", async (t) => {
    const timed = device();
    const properties = [{ name: "temp", desired: { value: "30", metadata: { timestamp: "1550732817000" } } }];
    const { wanted } = judgeDesired({ ...timed, spec: { ...timed.spec, properties } }, model());
    t.strictSame(wanted.get("temp"), ["30", 1550732817000]);
  });
});

t.test("conditions say what is wrong", async (t) => {
  t.match(deviceConditions(device({ desired: { temp: "30" } }), model()), [
    { type: "ModelFound", status: "True" },
    { type: "DesiredValid", status: "True" },
  ]);
  t.match(deviceConditions(device({ desired: { temp: "hot", humidity: "3" } }), model()), [
    { type: "ModelFound", status: "True" },
    {
      type: "DesiredValid",
      status: "False",
      reason: "Refused",
      message: /temp: the value is not a 64-bit integer; humidity: the device's model does not declare/,
    },
  ]);
  t.match(deviceConditions(device({ desired: { temp: "30" } }), undefined), [
    { type: "ModelFound", status: "False" },
    { type: "DesiredValid", status: "False", reason: "ModelNotFound" },
  ]);
  t.match(deviceConditions(device(), undefined), [
    { type: "ModelFound", status: "False" },
    { type: "DesiredValid", status: "True" },
  ]);
});

t.test("a device may come before its model; its status then changes by itself", async (t) => {
  const resources = new Resources({ log: new FakeReplica("cluster"), clock, random: countingRandom() });
  await resources.put(deviceKind, at, device({ desired: { temp: "30" } }));
  const status = (): unknown => resources.get(deviceKind, at)?.["status"];
  t.match(status(), { conditions: [{ status: "False" }, { status: "False" }] });
  await resources.put(deviceModelKind, { ...at, name: "thermo-model" }, model());
  t.match(status(), { conditions: [{ status: "True" }, { status: "True" }] });
});

t.test("setting what is wanted", async (t) => {
  const log = new FakeReplica("cluster");
  const resources = new Resources({ log, clock, random: countingRandom() });
  const set = (property: string, value: string | null, name = "thermo-1"): Promise<unknown> =>
    setDesired(resources, clock, { ...at, name }, { property, value });
  await resources.put(deviceKind, at, device());
  t.match(await set("temp", "30"), { code: 422, message: /temp.*the device's model does not exist/ });
  const readOnly = { name: "serial", type: "STRING", accessMode: "ReadOnly" };
  await resources.put(deviceModelKind, { ...at, name: "thermo-model" }, model([temp, readOnly]));

  t.match(await set("temp", "30", "nobody"), { code: 404 });
  t.match(await set("humidity", "30"), { code: 422, message: /does not declare this property/ });
  t.match(await set("serial", "x"), { code: 422, message: /the property is read-only/ });
  t.match(await set("temp", "101"), { code: 422, message: /above the maximum 100/ });
  t.match(await set("temp", "warm"), {
    code: 422,
    details: { causes: [{ field: "spec.properties[temp].desired.value" }] },
  });
  t.equal(log.position, 2, "nothing of that was written");

  await t.test("adds the property where the device does not list it, and keeps the rest", async (t) => {
    t.match(await set("temp", "30"), {
      object: {
        spec: {
          deviceModelRef: { name: "thermo-model" },
          properties: [
            { name: "temp", desired: { value: "30", metadata: { timestamp: String(clock.now()) } } },
          ],
        },
      },
    });
  });

  await t.test("changes one, and withdraws it again", async (t) => {
    t.match(await set("temp", "31"), { object: { spec: { properties: [{ desired: { value: "31" } }] } } });
    t.strictSame((await set("temp", null)) && resources.get(deviceKind, at)?.spec?.["properties"], [
      { name: "temp" },
    ]);
  });

  await t.test("two at once in one commit group both count", async (t) => {
    await resources.put(
      deviceModelKind,
      { ...at, name: "thermo-model" },
      model([temp, { ...temp, name: "goal" }]),
    );
    log.automatic = false;
    const both = [set("temp", "7"), set("goal", "8")];
    log.commit();
    await Promise.all(both);
    const { wanted } = judgeDesired(
      resources.get(deviceKind, at) as KubeObject,
      resources.get(deviceModelKind, { ...at, name: "thermo-model" }),
    );
    t.strictSame(
      [...wanted].map(([name, [value]]) => [name, value]),
      [
        ["temp", "7"],
        ["goal", "8"],
      ],
    );
  });
});
