/** A side whose log is full asks the other one to wait, and hinders nothing else. */
import * as fc from "fast-check";
import t from "tap";
import { FakeLog, brotli, connected, pair, run, start } from "./link-pair.ts";

const kib = 1024;

t.test("a side that is full takes what it has granted, and no more until it has room", async (t) => {
  const both = connected(new FakeLog("node"), new FakeLog("cloud"), { windowBytes: 10 * kib });
  const { node, cloud } = both;
  cloud.input({ kind: "room", isFull: true });
  for (let count = 0; count < 100; count += 1) {
    node.append(1, kib);
    run(both);
  }
  const taken = cloud.log.end(node.log.live);
  t.ok(taken > 0 && taken < 10, `${taken} of 100 segments were taken`);
  t.equal(node.acks.get(node.log.live), taken, "what was taken is acked");
  cloud.input({ kind: "room", isFull: false });
  run(both);
  t.same(cloud.log.bytes(node.log.live), node.log.bytes(node.log.live));
  t.equal(node.acks.get(node.log.live), 100);
});

t.test("the other direction goes on", async (t) => {
  const both = connected(new FakeLog("node"), new FakeLog("cloud"), { windowBytes: 10 * kib });
  const { node, cloud } = both;
  node.input({ kind: "room", isFull: true });
  for (let count = 0; count < 100; count += 1) {
    node.append(1, kib);
    cloud.append(1, kib);
    run(both);
  }
  t.same(cloud.log.bytes(node.log.live), node.log.bytes(node.log.live));
  t.equal(node.acks.get(node.log.live), 100, "what is delivered can be forgotten");
  t.ok(node.log.end(cloud.log.live) < 10);
});

t.test("a side that is full when the session begins grants nothing", async (t) => {
  const log = new FakeLog("node");
  log.append(3, 300);
  const both = pair(log, new FakeLog("cloud"));
  const { node, cloud } = both;
  cloud.input({ kind: "room", isFull: true });
  start(both);
  run(both);
  t.ok(node.established && cloud.established);
  t.equal(cloud.log.end(log.live), 0);
  t.notOk(node.sentTypes.includes("segments"));
  cloud.input({ kind: "room", isFull: false });
  run(both);
  t.equal(cloud.log.end(log.live), 3);
});

t.test("whenever room comes and goes, everything arrives in the end", async () => {
  const sizes = fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 10, max: 90 * kib })), {
    maxLength: 12,
  });
  const turns = fc.array(fc.tuple(fc.boolean(), fc.boolean(), fc.integer({ min: 0, max: 5 })), {
    maxLength: 20,
  });
  fc.assert(
    fc.property(
      sizes,
      sizes,
      turns,
      fc.record({ windowBytes: fc.constantFrom(500, 5000, 60_000, 1_000_000), random: fc.boolean() }),
      (...[nodeSizes, cloudSizes, changes, { windowBytes, random }]) => {
        const logs = [new FakeLog("node"), new FakeLog("cloud")] as const;
        for (const [count, bytes] of nodeSizes) logs[0].append(count, bytes, { random });
        for (const [count, bytes] of cloudSizes) logs[1].append(count, bytes, { random });
        const both = pair(...logs, { windowBytes, compressor: brotli });
        const { node, cloud } = both;
        start(both);
        for (const [isNodeFull, isCloudFull, frames] of changes) {
          node.input({ kind: "room", isFull: isNodeFull });
          cloud.input({ kind: "room", isFull: isCloudFull });
          run(both, frames);
        }
        for (const end of [node, cloud]) end.input({ kind: "room", isFull: false });
        run(both);
        for (const [from, to] of [
          [node, cloud],
          [cloud, node],
        ] as const) {
          if (to.closed !== undefined) throw new Error(to.closed.message);
          if (to.log.end(from.log.live) !== from.log.end(from.log.live)) throw new Error("not all arrived");
        }
      },
    ),
    { numRuns: 200 },
  );
});
