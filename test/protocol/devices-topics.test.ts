import * as fc from "fast-check";
import t from "tap";
import { FilterSet, filterMatches } from "../../protocol/devices/filters.ts";
import { TopicReader, deltaTopics, parseDeviceKey, parseTopic } from "../../protocol/devices/topics.ts";

t.test("a device is named by two levels, and answered in two", async (t) => {
  t.match(parseTopic("$hw/events/device/plant/thermo-1/twin/update"), {
    action: "twin/update",
    namespace: "plant",
    name: "thermo-1",
    key: "devices/plant/thermo-1",
    result: "$hw/events/device/plant/thermo-1/twin/update/result",
    document: "$hw/events/device/plant/thermo-1/twin/update/document",
  });
});

t.test("one level means the namespace default, and is answered in one", async (t) => {
  for (const action of ["twin/get", "twin/update", "state/update"]) {
    t.match(parseTopic(`$hw/events/device/thermo-1/${action}`), {
      action,
      key: "devices/default/thermo-1",
      result: `$hw/events/device/thermo-1/${action}/result`,
    });
  }
});

t.test("names that look like actions are still names", async (t) => {
  t.match(parseTopic("$hw/events/device/twin/update/twin/update"), { key: "devices/twin/update" });
  t.match(parseTopic("$hw/events/device/twin/twin/get"), { key: "devices/default/twin" });
});

t.test("a node asks for its devices", async (t) => {
  t.same(parseTopic("$hw/events/node/edge-1/membership/get"), {
    action: "membership/get",
    node: "edge-1",
    result: "$hw/events/node/edge-1/membership/get/result",
  });
});

t.test("all other topics are ordinary MQTT: answers, half topics, other trees", async (t) => {
  const topics = [
    "plant/thermo-1",
    "",
    "$hw",
    "$hw/events/device/",
    "$hw/events/device//twin/update",
    "$hw/events/device/ns//twin/update",
    "$hw/events/device/twin/update",
    "$hw/events/device/ns/t1/twin/update/result",
    "$hw/events/device/t1/twin/update/result",
    "$hw/events/device/ns/t1/twin/update/delta",
    "$hw/events/device/t1/twin/update/document",
    "$hw/events/device/ns/t1/twin/cloud_updated",
    "$hw/events/device/a/b/c/twin/update",
    "$hw/events/node//membership/get",
    "$hw/events/node/a/b/membership/get",
    "$hw/events/node/membership/get",
    "$hw/events/upload/x",
    "x/$hw/events/device/ns/t1/twin/update",
  ];
  for (const topic of topics) t.equal(parseTopic(topic), undefined, topic);
});

t.test("a reader remembers, in bounds, and answers as without memory", async (t) => {
  const reader = new TopicReader(4);
  const first = reader.read("$hw/events/device/d0/twin/update");
  t.equal(reader.read("$hw/events/device/d0/twin/update"), first, "parsed once");
  for (let index = 0; index < 20; index += 1) {
    const topic = `$hw/events/device/d${index}/twin/update`;
    t.same(reader.read(topic), parseTopic(topic));
  }
  t.not(reader.read("$hw/events/device/d0/twin/update"), first, "forgotten in between");
  t.equal(reader.read("plain"), undefined);
});

t.test("deltas go out in two levels and, in default, in one", async (t) => {
  t.same(deltaTopics("default", "t1"), {
    full: "$hw/events/device/default/t1/twin/update/delta",
    short: "$hw/events/device/t1/twin/update/delta",
  });
  t.equal(deltaTopics("plant", "t1").short, undefined);
});

t.test("a device's key names it", async (t) => {
  t.same(parseDeviceKey("devices/plant/t1"), { namespace: "plant", name: "t1" });
  for (const key of ["devicemodels/plant/t1", "devices/plant", "devices/a/b/c"]) {
    t.equal(parseDeviceKey(key), undefined, key);
  }
});

t.test("filters match as MQTT says", async (t) => {
  const cases: [string, string, boolean][] = [
    ["a/b", "a/b", true],
    ["a/+", "a/b", true],
    ["a/+", "a", false],
    ["a/+", "a/b/c", false],
    ["a/#", "a", true],
    ["a/#", "a/b/c", true],
    ["a/+/c", "a//c", true],
    ["#", "a/b", true],
    ["#", "$hw/a", false],
    ["+/a", "$hw/a", false],
    ["$hw/#", "$hw/a", true],
  ];
  for (const [filter, topic, expected] of cases) {
    t.equal(filterMatches(filter, topic), expected, `${filter} takes ${topic}`);
  }
});

t.test("a set of filters finds what each of them by itself would take", async () => {
  const level = fc.constantFrom("a", "b", "");
  const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => `$hw/${levels.join("/")}`);
  const filter = fc
    .tuple(fc.array(fc.oneof(level, fc.constant("+")), { maxLength: 3 }), fc.boolean())
    .map(([levels, rest]) => ["$hw", ...levels, ...(rest || levels.length === 0 ? ["#"] : [])].join("/"));
  fc.assert(
    fc.property(fc.array(filter), fc.array(fc.nat()), topic, (filters, removals, topic) => {
      const set = new FilterSet("$hw");
      const counts = new Map<string, number>();
      for (const filter of filters) {
        set.add(filter);
        counts.set(filter, (counts.get(filter) ?? 0) + 1);
      }
      for (const index of removals) {
        const filter = filters[index % Math.max(filters.length, 1)];
        if (filter === undefined) continue;
        set.remove(filter);
        counts.set(filter, Math.max(0, (counts.get(filter) ?? 0) - 1));
      }
      const held = [...counts.keys()].filter((filter) => (counts.get(filter) ?? 0) > 0);
      const expected = held.filter((filter) => filterMatches(filter, topic));
      return set.size === held.length && set.matching(topic).sort().join(" ") === expected.sort().join(" ");
    }),
  );
});

t.test("filters of other trees are not kept", async (t) => {
  const set = new FilterSet("$hw");
  t.equal(set.add("#"), false);
  t.equal(set.add("plant/#"), false);
  t.equal(set.remove("plant/#"), false);
  t.equal(set.remove("$hw/never/added"), false);
  t.equal(set.size, 0);
  t.same(set.matching("$hw/a"), []);
});
