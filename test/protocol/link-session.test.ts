import * as fc from "fast-check";
import t from "tap";
import { unpack } from "../../core/codec.ts";
import { maxSegmentBytes } from "../../core/segment.ts";
import { FakeLog, type Kept, brotli, connected, cut, incarnation, pair, run, start } from "./link-pair.ts";

const kib = 1024;

t.test("a session", async (t) => {
  t.test("brings each side what the other has, and tells it what became durable there", async (t) => {
    const node = new FakeLog("node");
    const cloud = new FakeLog("cloud");
    node.append(3, 300);
    node.append(1, 100);
    cloud.append(2, 200);
    const both = connected(node, cloud);
    t.ok(both.node.established && both.cloud.established);
    t.same(cloud.bytes(node.live), node.bytes(node.live));
    t.same(node.bytes(cloud.live), cloud.bytes(cloud.live));
    t.equal(both.node.acks.get(node.live), 4);
    t.equal(both.cloud.acks.get(cloud.live), 2);
    t.same(both.cloud.sentTypes.slice(0, 3), ["welcome", "ack", "segments"]);
  });

  t.test("goes on with what is appended later, handed over or read back", async (t) => {
    const both = connected(new FakeLog("node"), new FakeLog("cloud"));
    both.node.append(1, 100);
    both.node.append(1, 100, { handOver: true });
    both.cloud.append(5, 100, { handOver: true });
    run(both);
    const { node, cloud } = both;
    t.same(cloud.log.bytes(node.log.live), node.log.bytes(node.log.live));
    t.same(node.log.bytes(cloud.log.live), cloud.log.bytes(cloud.log.live));
  });

  t.test("sends what was appended between the hello and the welcome", async (t) => {
    const both = pair(new FakeLog("node"), new FakeLog("cloud"));
    start(both);
    both.node.append(1, 10, { handOver: true });
    run(both);
    t.equal(both.cloud.log.end(both.node.log.live), 1);
  });

  t.test("puts small segments together into one frame, and acks them with one", async (t) => {
    const node = new FakeLog("node");
    for (let index = 0; index < 100; index += 1) node.append(1, 50);
    const both = connected(node, new FakeLog("cloud"));
    t.equal(both.node.sentTypes.filter((type) => type === "segments").length, 1);
    t.equal(both.cloud.sentTypes.filter((type) => type === "ack").length, 2, "the first grant, and one ack");
  });

  t.test("compresses what gains by it, and only that", async (t) => {
    const frames = (random: boolean, settings = {}): number => {
      const node = new FakeLog("node");
      for (let index = 0; index < 64; index += 1) node.append(10, 8 * kib, { random });
      const both = connected(node, new FakeLog("cloud"), settings);
      t.same(both.cloud.log.bytes(node.live), node.bytes(node.live));
      t.notOk(both.node.sentTypes.includes("part"));
      return both.node.sentTypes.filter((type) => type === "segments").length;
    };
    const plain = frames(false);
    t.ok(frames(false, { compressor: brotli }) <= plain / 2, "fewer frames than uncompressed");
    t.equal(frames(true, { compressor: brotli }), plain, "noise goes as it is");
  });

  t.test("of a backlog of small segments sends nothing small while more comes from the disk", async (t) => {
    const node = new FakeLog("node");
    for (let index = 0; index < 6000; index += 1) node.append(1, 150);
    const both = pair(node, new FakeLog("cloud"), { compressor: brotli });
    both.node.holdReads = true;
    start(both);
    do run(both);
    while (both.node.answer());
    t.same(both.cloud.log.bytes(node.live), node.bytes(node.live));
    const { batchBytes } = both.node;
    t.ok(batchBytes.length > 3, "there were several reads");
    // How well it compresses is not known of the first, and the last is what is left.
    const small = batchBytes.slice(1, -1).filter((bytes) => bytes < 128 * kib);
    t.same(small, [], `all were ${batchBytes.join(", ")}`);
  });

  t.test("puts a segment of more than a frame into one when it compresses", async (t) => {
    const node = new FakeLog("node");
    node.append(100, 200 * kib);
    const both = connected(node, new FakeLog("cloud"), { compressor: brotli });
    t.same(both.cloud.log.bytes(node.live), node.bytes(node.live));
    t.same(both.node.partOffsets, []);
  });

  t.test("cuts one that compresses, but not into a frame", async (t) => {
    const node = new FakeLog("node");
    const halves = [node.append(1, 100 * kib, { random: true }), node.append(1, 100 * kib)];
    const noisy = halves.map(({ events }) => unpack(events) as unknown[]);
    const body = Buffer.concat(noisy.map((row) => row[7] as Uint8Array));
    const whole = new FakeLog("node");
    whole.append(1, 0, { body });
    const both = connected(whole, new FakeLog("cloud"), { compressor: brotli });
    t.same(both.cloud.log.bytes(whole.live), whole.bytes(whole.live));
    t.equal(both.node.partOffsets.length, 4);
  });

  t.test("does not go on trying to compress noise", async (t) => {
    let tries = 0;
    const compressor = {
      ...brotli,
      compress(bytes: Uint8Array): Uint8Array {
        tries += 1;
        return brotli.compress(bytes);
      },
    };
    const node = new FakeLog("node");
    for (let index = 0; index < 40; index += 1) node.append(1, 50 * kib, { random: true });
    connected(node, new FakeLog("cloud"), { compressor });
    t.equal(tries, 3, "of 40 frames");
  });

  t.test("cuts the largest segment there may be, and small ones pass it by", async (t) => {
    const node = new FakeLog("node");
    const lost = incarnation("cloud", 0);
    const cloud = new FakeLog("cloud");
    for (let index = 0; index < 100; index += 1) node.append(1, 30 * kib, { random: true, origin: lost });
    node.append(1, maxSegmentBytes - 8 * kib, { random: true });
    cloud.chain(lost).closedAt = 100;
    const both = connected(node, cloud);
    t.same(cloud.bytes(node.live), node.bytes(node.live));
    t.same(cloud.bytes(lost), node.bytes(lost));
    const types = both.node.sentTypes;
    t.ok(types.slice(types.indexOf("part"), types.lastIndexOf("part")).includes("segments"));
  });

  t.test("mixes no two segments that go in parts", async (t) => {
    for (const windowBytes of [10 * kib, 1000 * kib]) {
      const node = new FakeLog("node");
      const lost = incarnation("cloud", 0);
      const cloud = new FakeLog("cloud");
      for (let index = 0; index < 6; index += 1) {
        const size = (index % 2 === 0 ? 300 : 100) * kib;
        node.append(1, size, { random: true, origin: lost });
        node.append(1, size, { random: true });
      }
      cloud.chain(lost).closedAt = 6;
      connected(node, cloud, { windowBytes });
      t.same(cloud.bytes(node.live), node.bytes(node.live));
      t.same(cloud.bytes(lost), node.bytes(lost));
    }
  });

  t.test("never has more undurable at the receiver than it granted, large segments aside", async (t) => {
    const node = new FakeLog("node");
    const cloud = new FakeLog("cloud");
    for (let index = 0; index < 300; index += 1) node.append(1, kib, { random: true });
    const both = pair(node, cloud, { windowBytes: 20 * kib });
    both.cloud.holdSync = true;
    start(both);
    run(both);
    t.ok(both.cloud.undurable > 15 * kib && both.cloud.undurable <= 20 * kib, `${both.cloud.undurable}`);
    for (let round = 0; round < 100; round += 1) {
      both.cloud.sync();
      run(both);
    }
    both.cloud.sync();
    t.same(cloud.bytes(node.live), node.bytes(node.live));
    t.ok(both.cloud.undurableMax <= 20 * kib);
  });

  t.test("reads nothing from the log that the peer would not take", async (t) => {
    const both = connected(new FakeLog("node"), new FakeLog("cloud"), { windowBytes: 500 });
    both.cloud.holdSync = true;
    both.node.append(1, 450 - 62, { random: true });
    const segment = both.node.log.read(both.node.log.live, 1, 1)[0];
    both.node.log.append(1, 500 - (segment?.bytes.length ?? 0), { random: true });
    run(both);
    const more = { kind: "available", origin: both.node.log.live } as const;
    t.same(
      both.node.input({ ...more, end: 2 }).map(({ kind }) => kind),
      ["read"],
      "there is a little credit left",
    );
    t.same(both.node.input({ ...more, end: 3 }), []);
  });

  t.test("takes no second large segment while two wait for the disk", async (t) => {
    const node = new FakeLog("node");
    for (let index = 0; index < 5; index += 1) node.append(1, 500 * kib, { random: true });
    const both = pair(node, new FakeLog("cloud"), { windowBytes: 50 * kib });
    both.cloud.holdSync = true;
    start(both);
    run(both);
    t.equal(both.cloud.deliveries.length, 1);
    for (let round = 0; round < 5; round += 1) {
      both.cloud.sync();
      run(both);
    }
    t.equal(both.cloud.log.end(node.live), 5);
  });

  t.test("lets a backlog one way not keep the other way waiting", async (t) => {
    const node = new FakeLog("node");
    for (let index = 0; index < 100; index += 1) node.append(1, 50 * kib, { random: true });
    const both = pair(node, new FakeLog("cloud"));
    start(both);
    run(both, 12);
    both.cloud.append(1, 100);
    run(both, 4);
    t.equal(both.node.log.end(both.cloud.log.live), 1);
    t.ok(both.cloud.log.end(node.live) < 20, "while most of the backlog is still to come");
  });
});

t.test("what is sent to whom", async (t) => {
  t.test("a reinstalled node gets its old incarnations back, the oldest first", async (t) => {
    const cloud = new FakeLog("cloud");
    const [first, second] = [incarnation("node", 1), incarnation("node", 2)];
    for (const [origin, generation] of [
      [second, 2],
      [first, 1],
    ] as const) {
      for (let index = 0; index < 3; index += 1) cloud.append(1, 40 * kib, { random: true, origin });
      Object.assign(cloud.chain(origin), { closedAt: 3, generation });
    }
    const node = new FakeLog("node", 3);
    const both = connected(node, cloud);
    t.same(node.bytes(first), cloud.bytes(first));
    t.same(node.bytes(second), cloud.bytes(second));
    const order = both.node.deliveries.map(({ origin }) => origin);
    t.same(
      order,
      [...order].sort((a, b) => (a < b ? -1 : 1)),
    );
    t.ok(both.node.deliveries.every(({ returned }) => returned));
  });

  t.test("a cloud gets back the tail that it lost, flagged as returned", async (t) => {
    const node = new FakeLog("node");
    const lost = incarnation("cloud", 1);
    for (let index = 0; index < 4; index += 1) node.append(1, 100, { origin: lost });
    const cloud = new FakeLog("cloud", 2);
    for (const segment of node.read(lost, 1, 1).slice(0, 1)) cloud.take(segment);
    cloud.chain(lost).closedAt = 4;
    const both = connected(node, cloud);
    t.same(cloud.bytes(lost), node.bytes(lost));
    t.same(
      both.cloud.deliveries.map(({ returned, segments }) => [returned, segments.length]),
      [[true, 3]],
    );
  });

  t.test("nothing of an incarnation goes past where it was closed", async (t) => {
    const node = new FakeLog("node", 2);
    const old = incarnation("node", 1);
    for (let index = 0; index < 4; index += 1) node.append(1, 100, { origin: old });
    const cloud = new FakeLog("cloud");
    cloud.chain(old).closedAt = 2;
    connected(node, cloud);
    t.equal(cloud.end(old), 2);
  });

  t.test("nothing of a live incarnation goes before it has a generation", async (t) => {
    const node = new FakeLog("node");
    node.append(1, 100);
    const both = pair(node, new FakeLog("cloud"));
    both.cloud.verify = () => both.cloud.accept({ nodeGeneration: undefined });
    start(both);
    run(both);
    t.ok(both.node.established && both.cloud.established);
    t.equal(both.cloud.log.end(node.live), 0);
  });

  t.test("what the disk lost in the middle of a live incarnation is given back, and no more", async (t) => {
    const whole = new FakeLog("node");
    for (let index = 0; index < 6; index += 1) whole.append(1, 100);
    const cloud = new FakeLog("cloud");
    for (const segment of whole.read(whole.live, 1, 1e6)) cloud.take(segment);
    const damaged = whole.copy();
    const chain = damaged.chain(whole.live);
    chain.segments.length = 2;
    chain.hashes.length = 2;
    const both = pair(damaged, cloud);
    const statement = damaged.statement();
    Object.assign(both.node.session.options, {
      log: {
        ...statement,
        holdings: statement.holdings.map((held) => Object.assign({}, held, { missingTo: 4 })),
      },
    });
    start(both);
    run(both);
    t.notOk(both.node.closed);
    t.same(
      both.node.deliveries.map(({ returned, segments }) => [returned, segments.map(({ lo }) => lo)]),
      [[true, [3, 4]]],
    );
  });

  t.test(
    "a range that the sender can't read stops that origin, and asks again when there is more",
    async (t) => {
      const both = connected(new FakeLog("node"), new FakeLog("cloud"));
      const origin = both.node.log.live;
      const asked = both.node.input({ kind: "available", origin, end: 5 });
      t.same(
        asked.map(({ kind }) => kind),
        ["read"],
      );
      run(both);
      t.notOk(both.node.closed);
      both.node.append(1, 10);
      run(both);
      t.equal(both.cloud.log.end(origin), 1);
    },
  );
});

/** Connects, cuts after some frames, and again, until all is there. */
function converge(node: FakeLog, cloud: FakeLog, cuts: readonly number[], windowBytes: number): number {
  let kept: Kept = {};
  let sessions = 0;
  for (const frames of [...cuts, Number.POSITIVE_INFINITY]) {
    const both = pair(node, cloud, { windowBytes, compressor: brotli }, kept);
    sessions += 1;
    start(both);
    run(both, frames);
    if (both.node.closed !== undefined || both.cloud.closed !== undefined) throw new Error("it closed");
    if (frames !== Number.POSITIVE_INFINITY) kept = cut(both);
  }
  return sessions;
}

t.test("a session that only compares histories says the cloud's, and is over", async (t) => {
  const node = new FakeLog("node");
  node.append(1, 100);
  const both = pair(node, new FakeLog("cloud"));
  both.cloud.verify = () => both.cloud.accept({ compareOnly: true, nodeGeneration: undefined });
  start(both);
  run(both);
  t.same(both.cloud.sentTypes, ["welcome", "close"]);
  t.equal(both.node.peer?.type, "welcome");
  t.match(both.node.closed, { code: "LOG_FORKED", retryAfterMs: 0, by: "peer" });
});

t.test("a session that was cut is resumed", async (t) => {
  const sizes = fc.array(
    fc.tuple(fc.integer({ min: 1, max: 5 }), fc.constantFrom(20, 500, 9_000, 70_000, 150_000)),
    {
      maxLength: 12,
    },
  );
  const cuts = fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 6 });
  const windows = fc.constantFrom(1, 100, 5_000, 60_000, 1_000_000);

  t.test("cut anywhere, all segments arrive once and in order, both ways", async () => {
    fc.assert(
      fc.property(
        fc.record({ nodeSizes: sizes, cloudSizes: sizes, cuts, window: windows, random: fc.boolean() }),
        ({ nodeSizes, cloudSizes, cuts, window, random }) => {
          const node = new FakeLog("node");
          const cloud = new FakeLog("cloud");
          for (const [count, bytes] of nodeSizes) node.append(count, bytes, { random });
          for (const [count, bytes] of cloudSizes) cloud.append(count, bytes, { random });
          // With a window of one byte a segment goes a byte a frame.
          const tiny = window === 1 && [...nodeSizes, ...cloudSizes].some(([, bytes]) => bytes > 500);
          converge(node, cloud, cuts, tiny ? 300 : window);
          const same = (a: string[], b: string[]): boolean => a.join() === b.join();
          return (
            same(cloud.bytes(node.live), node.bytes(node.live)) &&
            same(node.bytes(cloud.live), cloud.bytes(cloud.live))
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  t.test("a large segment goes on where it was cut off", async (t) => {
    const node = new FakeLog("node");
    const cloud = new FakeLog("cloud");
    node.append(1, 500 * kib, { random: true });
    const first = pair(node, cloud);
    start(first);
    run(first, 8);
    const kept = cut(first);
    const received = kept.cloud?.bytes.length ?? 0;
    t.ok(received > 64 * kib && received < 500 * kib, `${received} bytes had come`);
    const second = pair(node, cloud, {}, kept);
    start(second);
    run(second);
    t.equal(second.node.partOffsets[0], received);
    t.same(cloud.bytes(node.live), node.bytes(node.live));
  });

  t.test("a large segment that is not the one that was cut off begins again", async (t) => {
    const node = new FakeLog("node");
    const total = node.append(1, 400_000, { random: true }).bytes.length;
    const bytes = new Uint8Array(100_000);
    for (const kept of [
      { origin: node.live, lo: 1, total, bytes },
      { origin: node.live, lo: 1, total: total - 1, bytes },
    ]) {
      const cloud = new FakeLog("cloud");
      const both = pair(node, cloud, {}, { cloud: kept });
      start(both);
      run(both);
      t.equal(both.node.partOffsets[0], 0);
      t.same(cloud.bytes(node.live), node.bytes(node.live));
    }
  });

  t.test("what was kept of a segment that has come since is forgotten", async (t) => {
    const node = new FakeLog("node");
    const cloud = new FakeLog("cloud");
    cloud.take(node.append(1, 100));
    const kept = { origin: node.live, lo: 1, total: 400_000, bytes: new Uint8Array(10) };
    const both = pair(node, cloud, {}, { cloud: kept });
    start(both);
    run(both);
    t.equal(cut(both).cloud, undefined);
  });

  t.test("what was kept of a segment that now comes whole is forgotten", async (t) => {
    const node = new FakeLog("node");
    const cloud = new FakeLog("cloud");
    const bytes = node.append(1, 100).bytes.subarray(0, 10);
    const both = pair(node, cloud, {}, { cloud: { origin: node.live, lo: 1, total: 400_000, bytes } });
    start(both);
    run(both);
    t.equal(cloud.end(node.live), 1);
    t.equal(cut(both).cloud, undefined);
  });
});
