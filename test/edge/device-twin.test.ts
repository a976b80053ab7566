import t from "tap";
import type { EventId } from "../../core/event.ts";
import { maxPayloadBytes } from "../../protocol/devices/payloads.ts";
import { brief, given, own, report, t1 } from "./device-twin-world.ts";
import { desired, device, model } from "./fake-replica.ts";

t.test("a report makes one event a property, all in one append, under the device's life", async (t) => {
  const { replica, life, send } = given();
  t.equal(await send(`${t1}/twin/update`, report({ temp: "23", mode: "eco" })), undefined);
  t.equal(replica.appends, 1);
  t.same(own(replica).map(brief), [
    { type: "twin.reported", slot: "reported/temp", body: ["23"], life },
    { type: "twin.reported", slot: "reported/mode", body: ["eco"], life },
  ]);
  t.match(own(replica)[0], { class: "twin", key: "devices/default/t1" });
});

t.test("it is done, and answered, only when durable", async (t) => {
  const { replica, published, start } = given();
  replica.hold();
  const message = start(`${t1}/twin/update`, report({ temp: "23" }));
  await new Promise(setImmediate);
  t.equal(message.done, false);
  t.same(published, []);
  replica.release();
  t.equal(message.done, true);
  t.same(
    published.map(({ topic }) => topic),
    [`${t1}/twin/update/result`, `${t1}/twin/update/document`],
  );
});

t.test("the result says what was told; the document what was before and is after", async (t) => {
  const { published, send, replica } = given();
  await send(`${t1}/twin/update`, report({ temp: "23" }));
  const before = own(replica)[0]?.time;
  published.length = 0;
  await send(`${t1}/twin/update`, {
    event_id: "e2",
    twin: {
      temp: {
        actual: { value: "24", metadata: { timestamp: 1_800_000_000_001 } },
        metadata: { type: "int" },
      },
    },
  });
  const actual = { value: "24", metadata: { timestamp: 1_800_000_000_001 } };
  const [result, document] = published;
  t.same(result?.json, {
    event_id: "e2",
    timestamp: 1_800_000_009_000,
    twin: { temp: { actual, optional: false, metadata: { type: "int" } } },
  });
  t.same(document?.json["twin"], {
    temp: {
      last: {
        actual: { value: "23", metadata: { timestamp: before } },
        optional: false,
        metadata: { type: "int" },
      },
      current: { actual, optional: false, metadata: { type: "int" } },
    },
  });
});

t.test("a document counts in what is staged: two messages in one commit follow each other", async (t) => {
  const { replica, published, start } = given({ filters: ["+/x", `${t1}/twin/update/document`] });
  replica.hold();
  start(`${t1}/twin/update`, report({ mode: "a" }));
  start(`${t1}/twin/update`, report({ mode: "b" }));
  replica.release();
  const [first, second] = published;
  t.match(first?.json["twin"], { mode: { last: null, current: { actual: { value: "a" } } } });
  t.match(second?.json["twin"], {
    mode: { last: { actual: { value: "a" } }, current: { actual: { value: "b" } } },
  });
});

t.test("with nobody listening nothing is built or published", async (t) => {
  const { published, send, replica } = given({ filters: [] });
  await send(`${t1}/twin/update`, report({ temp: "23" }));
  await send(`${t1}/twin/get`, "");
  await send(`${t1}/twin/update`, "nonsense");
  t.equal(own(replica).length, 1);
  t.same(published, []);
});

t.test("asked in one level, answered in one level", async (t) => {
  const { published, send, replica } = given();
  await send("$hw/events/device/t1/twin/update", report({ temp: "23" }));
  await send("$hw/events/device/t1/twin/get", "{}");
  t.equal(own(replica)[0]?.key, "devices/default/t1");
  t.same(
    published.map(({ topic }) => topic),
    [
      "$hw/events/device/t1/twin/update/result",
      "$hw/events/device/t1/twin/update/document",
      "$hw/events/device/t1/twin/get/result",
    ],
  );
});

t.test(
  "bad input is answered on the device's own result topic and done with; the log is not touched",
  async (t) => {
    const update = `${t1}/twin/update`;
    const expected = (name: string, value: string) => ({
      event_id: "e9",
      twin: { [name]: { expected: { value } } },
    });
    const cases: [string, unknown, number, RegExp][] = [
      [update, "{", 400, /not JSON/],
      [update, Buffer.from([0x22, 0xff, 0x22]), 400, /UTF-8/],
      [update, `"${"x".repeat(maxPayloadBytes)}"`, 400, /limit/],
      [update, { event_id: "e9" }, 400, /"twin"/],
      [update, report({ temp: "warm" }, "e9"), 400, /temp: the value is not a 64-bit integer/],
      [update, report({ "bad name": "1" }, "e9"), 400, /not a property name/],
      [
        update,
        { event_id: "e9", twin: { odd: { actual: { value: "x" }, metadata: { type: "colour" } } } },
        400,
        /colour/,
      ],
      [
        update,
        { event_id: "e9", twin: { odd: { actual: { value: "x" }, metadata: { type: "int" } } } },
        400,
        /integer/,
      ],
      [update, expected("odd", "1"), 400, /no such property is declared/],
      [update, expected("load", "1"), 400, /read-only/],
      [update, expected("temp", "101"), 400, /above the maximum 100/],
      [update, expected("temp", "warm"), 400, /integer/],
      [update, { event_id: "e9", twin: { temp: null } }, 400, /declared/],
      [`${t1}/state/update`, { event_id: "e9", state: "tired" }, 400, /"state"/],
      [`${t1}/twin/get`, "[]", 400, /JSON object/],
      ["$hw/events/device/plant/t9/twin/update", report({ temp: "1" }, "e9"), 404, /no device plant\/t9/],
      ["$hw/events/device/plant/t9/state/update", { event_id: "e9", state: "ok" }, 404, /no device/],
      ["$hw/events/device/plant/t9/twin/get", { event_id: "e9" }, 404, /no device/],
      ["$hw/events/node/edge-2/membership/get", { event_id: "e9" }, 404, /this node is edge-1/],
    ];
    for (const [topic, payload, code, reason] of cases) {
      const { published, send, replica, twin } = given();
      t.equal(await send(topic, payload), undefined, "acknowledged");
      t.match(published, [{ topic: `${topic}/result`, json: { code, reason } }]);
      const { event_id: eventId, timestamp } = published[0]?.json ?? {};
      t.ok(eventId === "e9" || code === 400, "the event id is echoed");
      t.equal(timestamp, 1_800_000_009_000);
      t.same(own(replica), []);
      t.match(twin.counts, { messages: 1, refused: 1 });
    }
  },
);

t.test("one refused property refuses the message", async (t) => {
  const { send, replica } = given();
  await send(`${t1}/twin/update`, report({ mode: "eco", temp: "warm" }));
  t.same(own(replica), []);
});

t.test("unknown devices are counted", async (t) => {
  const { send, twin } = given();
  await send("$hw/events/device/t9/twin/update", report({ temp: "1" }));
  t.match(twin.counts, { unknownDevice: 1, refused: 1, messages: 1 });
});

t.test("an undeclared property is kept with the type it says, and null deletes it", async (t) => {
  const { send, replica, life, published } = given();
  await send(`${t1}/twin/update`, { twin: { odd: { actual: { value: "7" }, metadata: { type: "int" } } } });
  await send(`${t1}/twin/update`, { twin: { odd: null } });
  t.same(own(replica).map(brief), [
    { type: "twin.reported", slot: "reported/odd", body: ["7", null, "int"], life },
    { type: "twin.reported", slot: "reported/odd", body: null, life },
  ]);
  t.same(
    published.map(({ json }) => json["twin"]),
    [
      {
        odd: {
          actual: { value: "7", metadata: { timestamp: own(replica)[0]?.time } },
          optional: true,
          metadata: { type: "int" },
        },
      },
      {
        odd: {
          last: null,
          current: {
            actual: { value: "7", metadata: { timestamp: own(replica)[0]?.time } },
            optional: true,
            metadata: { type: "int" },
          },
        },
      },
      { odd: null },
      {
        odd: {
          last: {
            actual: { value: "7", metadata: { timestamp: own(replica)[0]?.time } },
            optional: true,
            metadata: { type: "int" },
          },
          current: null,
        },
      },
    ],
  );
});

t.test("what is wanted may come from MQTT", async (t) => {
  const { send, replica, life } = given();
  await send(`${t1}/twin/update`, { twin: { temp: { expected: { value: "30" }, actual: { value: "20" } } } });
  t.same(own(replica).map(brief), [
    { type: "twin.reported", slot: "reported/temp", body: ["20"], life },
    { type: "twin.desired", slot: "desired/temp", body: ["30"], life },
  ]);
});

t.test("a message that says nothing is answered and makes no event", async (t) => {
  const { send, replica, published } = given();
  await send(`${t1}/twin/update`, { event_id: "e", twin: {} });
  t.equal(replica.appends, 0);
  t.match(published[0], { topic: `${t1}/twin/update/result`, json: { event_id: "e", twin: {} } });
});

t.test("twin/get answers from what is durable, never from what is staged", async (t) => {
  const { replica, send, start, published, life } = given();
  await send(`${t1}/twin/update`, report({ temp: "23" }));
  replica.fromCloud(desired("t1", "temp", "25", life));
  replica.hold();
  start(`${t1}/twin/update`, report({ temp: "24" }));
  published.length = 0;
  await send(`${t1}/twin/get`, { event_id: "g", timestamp: 1 });
  const times = replica.events.slice(-2).map(({ time }) => time);
  t.same(published, [
    {
      topic: `${t1}/twin/get/result`,
      json: {
        event_id: "g",
        timestamp: 1_800_000_009_000,
        twin: {
          temp: {
            expected: { value: "25", metadata: { timestamp: times[1] } },
            actual: { value: "23", metadata: { timestamp: times[0] } },
            optional: false,
            metadata: { type: "int" },
          },
        },
      },
    },
  ]);
  replica.release();
});

t.test("a state is an event; when the device was last there survives its going", async (t) => {
  const { replica, send, published, life } = given();
  await send(`${t1}/state/update`, { event_id: "s", state: "Online" });
  await send(`${t1}/state/update`, { event_id: "s2", state: "offline" });
  t.same(own(replica).map(brief), [
    { type: "device.state", slot: "state", body: ["online", 1_800_000_009_000], life },
    { type: "device.state", slot: "state", body: ["offline", 1_800_000_009_000], life },
  ]);
  t.same(published[0], {
    topic: `${t1}/state/update/result`,
    json: {
      event_id: "s",
      timestamp: 1_800_000_009_000,
      device: { name: "t1", state: "online", lastOnlineTime: "2027-01-15T08:00:09.000Z" },
    },
  });
});

t.test("a device that was never online has no last time", async (t) => {
  const { replica, send, published } = given();
  await send(`${t1}/state/update`, { state: "unhealthy" });
  t.same(own(replica)[0]?.body, ["unhealthy", null]);
  t.match(published[0]?.json, { device: { lastOnlineTime: "" } });
});

t.test("the node's devices are listed", async (t) => {
  const { send, published } = given();
  await send(`${t1}/state/update`, { state: "ok" });
  await send("$hw/events/node/edge-1/membership/get", { event_id: "m" });
  t.same(published.at(-1), {
    topic: "$hw/events/node/edge-1/membership/get/result",
    json: {
      event_id: "m",
      timestamp: 1_800_000_009_000,
      devices: [
        {
          id: "default/t1",
          name: "t1",
          description: "hall",
          state: "ok",
          last_online: "2027-01-15T08:00:09.000Z",
          attributes: {},
        },
      ],
    },
  });
});

t.test("a changed model, and a deleted device, count at once", async (t) => {
  const { send, replica, published, life } = given();
  await send(`${t1}/twin/update`, report({ temp: "23" }));
  const modelLife = "c0000000000001/1" as EventId;
  replica.fromCloud({ ...model("thermo", [{ name: "temp", type: "STRING" }]), life: modelLife });
  await send(`${t1}/twin/update`, report({ temp: "warm" }));
  t.equal(own(replica).length, 2);
  replica.fromCloud({
    type: "resource.deleted",
    class: "resource",
    key: "devices/default/t1",
    life,
    deletes: true,
  });
  await send(`${t1}/twin/update`, report({ temp: "cold" }));
  t.match(published.at(-1)?.json, { code: 404 });
  const [reborn] = replica.fromCloud(device("t1"));
  await send(`${t1}/twin/update`, report({ temp: "mild" }));
  t.equal(own(replica).at(-1)?.life, reborn, "under its new life");
});
