import t from "tap";
import { TidemarkError } from "../../core/errors.ts";
import { given, own, report, t1 } from "./device-twin-world.ts";
import { desired, device } from "./fake-replica.ts";

for (const code of ["LOG_OVERLOADED", "LOG_FULL"] as const) {
  t.test(
    `a log that has no room (${code}) slows publishers, keeps their order, and says so once`,
    async (t) => {
      const { replica, start, send, lines, twin } = given({ filters: [] });
      replica.refusal = new TidemarkError(code, "full");
      const messages = ["1", "2", "3"].map((value) => start(`${t1}/twin/update`, report({ temp: value })));
      await new Promise(setImmediate);
      t.same(
        messages.map(({ done }) => done),
        [false, false, false],
      );
      t.equal(twin.counts.waiting, 3);
      replica.refusal = undefined;
      const last = send(`${t1}/twin/update`, report({ temp: "4" }));
      t.equal(own(replica).length, 0, "a later message does not overtake them");
      replica.fromCloud(device("t2"));
      await last;
      t.same(
        own(replica).map(({ body }) => body),
        [["1"], ["2"], ["3"], ["4"]],
      );
      t.same(
        messages.map(({ done, error }) => [done, error]),
        [
          [true, undefined],
          [true, undefined],
          [true, undefined],
        ],
      );
      t.same(lines, [
        "warn: the log takes no more now, so publishers are slowed",
        "info: the log takes more again, and publishers go on",
      ]);
    },
  );
}

t.test("room is found again though no event says so", async (t) => {
  const { replica, send } = given();
  replica.refusal = new TidemarkError("LOG_OVERLOADED", "being put right");
  const waiting = send(`${t1}/twin/update`, report({ temp: "1" }));
  replica.refusal = undefined;
  t.equal(await waiting, undefined);
});

t.test("what waits for room when the edge shuts down is not acknowledged", async (t) => {
  const { replica, send, start, twin } = given();
  replica.refusal = new TidemarkError("LOG_OVERLOADED", "full");
  const waiting = start(`${t1}/twin/update`, report({ temp: "1" }));
  twin.close();
  twin.close();
  t.match(waiting, { done: true, error: { code: "SHUTTING_DOWN" } });
  t.match(await send(`${t1}/twin/update`, report({ temp: "1" })), { code: "SHUTTING_DOWN" });
});

t.test("only a failing log withholds the acknowledgement", async (t) => {
  const { replica, start, send, published } = given();
  replica.hold();
  const message = start(`${t1}/twin/update`, report({ temp: "1" }));
  replica.fail(new TidemarkError("LOG_COMMIT_FAILED", "the disk is gone"));
  t.match(message, { done: true, error: { code: "LOG_COMMIT_FAILED" } });
  t.match(await send(`${t1}/twin/update`, report({ temp: "1" })), { code: "LOG_COMMIT_FAILED" });
  t.match(published, [{ json: { code: 500, reason: /disk/ } }]);
});

t.test(
  "what is wanted comes out as a delta, once a device and batch, in the forms that are heard",
  async (t) => {
    const cases: [string[], string[]][] = [
      [["$hw/#"], [`${t1}/twin/update/delta`]],
      [["$hw/events/device/+/twin/update/delta"], ["$hw/events/device/t1/twin/update/delta"]],
      [
        ["$hw/events/device/t1/#", `${t1}/#`],
        [`${t1}/twin/update/delta`, "$hw/events/device/t1/twin/update/delta"],
      ],
      [["plant/#"], []],
    ];
    for (const [filters, topics] of cases) {
      const { replica, life, twin, published } = given({ filters });
      replica.fromCloud(desired("t1", "temp", "20", life), desired("t1", "temp", "25", life));
      twin.onEvents(replica.events.slice(-2));
      t.same(
        published.map(({ topic }) => topic),
        topics,
        filters.join(" "),
      );
      for (const { json } of published) {
        const last = replica.events.at(-1);
        t.same(json, {
          event_id: `${last?.origin}/${last?.seq}`,
          timestamp: 1_800_000_009_000,
          twin: {
            temp: {
              expected: { value: "25", metadata: { timestamp: last?.time } },
              optional: false,
              metadata: { type: "int" },
            },
          },
          delta: { temp: "25" },
        });
      }
    }
  },
);

t.test("deltas that slow subscribers can't take now are to be tried again", async (t) => {
  const world = given();
  world.replica.fromCloud(desired("t1", "temp", "25", world.life));
  world.isSlow = true;
  t.throws(() => world.twin.onEvents(world.replica.events), { code: "NOT_REACHABLE" });
});

t.test("whoever subscribes late finds the delta that stands", async (t) => {
  const { replica, life, twin } = given();
  const [id] = replica.fromCloud(desired("t1", "temp", "25", life), device("t2"));
  const short = "$hw/events/device/t1/twin/update/delta";
  const cases: [string, string[]][] = [
    [`${t1}/twin/update/delta`, [`${t1}/twin/update/delta`]],
    [short, [short]],
    ["$hw/events/device/+/twin/update/delta", [short]],
    ["$hw/#", [`${t1}/twin/update/delta`]],
    ["$hw/events/device/default/t1/twin/update/result", []],
    ["$hw/events/device/default/t2/twin/update/delta", []],
    ["$hw/events/device/default/+/twin/+", []],
    ["$hw/delta", []],
  ];
  for (const [filter, topics] of cases) {
    const messages = [...twin.pendingFor(filter)];
    t.same(
      messages.map(({ topic }) => topic),
      topics,
      filter,
    );
    for (const { payload } of messages) t.match(JSON.parse(payload), { event_id: id, delta: { temp: "25" } });
  }
  await replica.appended([
    {
      type: "twin.reported",
      class: "twin",
      key: "devices/default/t1",
      slot: "reported/temp",
      life,
      body: ["25"],
    },
  ]);
  t.same([...twin.pendingFor("$hw/#")], [], "until the device reports it");
});

t.test("devices that come and go are told", async (t) => {
  const { replica, life, twin, published } = given();
  replica.fromCloud(device("t2"), {
    type: "resource.deleted",
    class: "resource",
    key: "devices/default/t1",
    life,
    deletes: true,
  });
  twin.onEvents(replica.events.slice(-2));
  t.match(published, [
    {
      topic: "$hw/events/node/edge-1/membership/updated",
      json: {
        added_devices: [{ id: "default/t2", name: "t2", description: "hall", attributes: {} }],
        removed_devices: [{ id: "default/t1", name: "t1", description: "" }],
      },
    },
  ]);
  replica.fromCloud(device("t3"));
  twin.onEvents(replica.events.slice(-1));
  t.equal(published.at(-1)?.json["removed_devices"], null, "an empty list is null");
});
