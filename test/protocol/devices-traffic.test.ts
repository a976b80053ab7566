/** What devices published, read back from events. */
import * as fc from "fast-check";
import t from "tap";
import type { Draft, Event, EventId, Incarnation } from "../../core/event.ts";
import { eventOf } from "../../core/codec.ts";
import { parseStateUpdate, parseTwinUpdate } from "../../protocol/devices/payloads.ts";
import { parseTopic } from "../../protocol/devices/topics.ts";
import { type Published, Traffic } from "../../protocol/devices/traffic.ts";
import { desired, reported, said, startMs } from "../core/log-site.ts";

const node = "n0000000000001" as Incarnation;
const cloud = "c0000000000001" as Incarnation;
const life = `${cloud}/1` as EventId;

function eventsOf(drafts: readonly (readonly [Draft, number])[], origin: Incarnation = node): Event[] {
  return drafts.map(([draft, time], index) => eventOf(draft, { origin, seq: index + 1, time, seen: [] }));
}

function published(events: readonly Event[]): Published[] {
  const traffic = new Traffic();
  return [...events.flatMap((event) => traffic.take(event)), ...traffic.flush()];
}

t.test("values of one device at one moment are one message, in its order", async (t) => {
  const events = eventsOf([
    [reported("1", life, "a"), startMs],
    [{ ...reported("2", life, "b"), body: ["2", 5, "float"] }, startMs],
    [desired("3", life, "b"), startMs],
    [reported("4", life, "a"), startMs],
    [{ ...reported("", life, "c"), body: null }, startMs + 1],
    [{ ...desired("", life, "c"), body: null }, startMs + 1],
  ]);
  const messages = published(events);
  t.same(
    messages.map(({ topic, payload, events }) => [topic, JSON.parse(payload), events]),
    [
      {
        a: { actual: { value: "1" } },
        b: {
          actual: { value: "2", metadata: { timestamp: 5 } },
          metadata: { type: "float" },
          expected: { value: "3" },
        },
      },
      { a: { actual: { value: "4" } } },
      { c: null },
    ].map((twin, index) => [
      "$hw/events/device/default/thermo-1/twin/update",
      { event_id: "", timestamp: startMs + (index === 2 ? 1 : 0), twin },
      [3, 1, 2][index],
    ]),
  );
});

t.test("a state is a message of its own; what the cloud or no device said is none", async (t) => {
  const state: Draft = {
    ...reported("", life),
    type: "device.state",
    slot: "state",
    body: ["online", startMs],
  };
  const messages = published(
    eventsOf([
      [reported("1", life), startMs],
      [state, startMs],
      [said("x"), startMs],
    ]),
  );
  t.same(
    messages.map(({ topic }) => topic),
    ["$hw/events/device/default/thermo-1/twin/update", "$hw/events/device/default/thermo-1/state/update"],
  );
  t.same(parseStateUpdate(messages[1]?.payload ?? ""), { eventId: "", content: "online" });
  t.same(published(eventsOf([[desired("1", life), startMs]], cloud)), []);
});

t.test("a node reads from the messages what the events say, in order, and none is lost", async (t) => {
  const value = fc.record({
    property: fc.constantFrom("a", "b", "c"),
    device: fc.constantFrom("devices/default/one", "devices/other/two"),
    wanted: fc.boolean(),
    text: fc.string(),
    time: fc.option(fc.integer({ min: 1, max: startMs }), { nil: undefined }),
    later: fc.integer({ min: 0, max: 1 }),
  });
  fc.assert(
    fc.property(fc.array(value, { maxLength: 30 }), (values) => {
      let time = startMs;
      const events = eventsOf(
        values.map(({ property, device, wanted, text, time: said, later }) => {
          const draft = (wanted ? desired : reported)(text, life, property, device);
          return [{ ...draft, body: said === undefined ? [text] : [text, said] }, (time += later)] as const;
        }),
      );
      const messages = published(events);
      const read = messages.flatMap(({ topic, payload }) => {
        const command = parseTopic(topic);
        const request = parseTwinUpdate(payload);
        if (command?.action !== "twin/update" || request.refusal !== undefined) throw new Error(payload);
        return [...request.content].flatMap(([property, told]) =>
          (["actual", "expected"] as const).flatMap((half) => {
            const said = told?.[half];
            return said === undefined ? [] : [{ key: command.key, property, half, ...said }];
          }),
        );
      });
      const wanted = values.map(({ property, device, wanted, text, time }) => {
        return { key: device, property, half: wanted ? "expected" : "actual", value: text, time };
      });
      const slotOf = ({ key, property, half }: (typeof wanted)[number]): string =>
        `${key} ${property} ${half}`;
      const bySlot = (all: typeof wanted): unknown =>
        [...new Set(all.map(slotOf))].sort().map((slot) => all.filter((each) => slotOf(each) === slot));
      t.same(bySlot(read as typeof wanted), bySlot(wanted), "each slot's values, in order");
      t.equal(
        messages.reduce((sum, { events }) => sum + events, 0),
        events.length,
      );
    }),
  );
});
