/** Covers on the link: they go like commits, and the peer's end goes across them. */
import t from "tap";
import { coverOf } from "../../core/compaction.ts";
import { type Segment, lastOf, zeroHash } from "../../core/segment.ts";
import { plainFrame } from "../../protocol/link/batch.ts";
import { maxFrameBytes } from "../../protocol/link/limits.ts";
import {
  type End,
  FakeLog,
  type Pair,
  brotli,
  connected,
  cut,
  digest,
  encodeFrame,
  pair,
  run,
  start,
} from "./link-pair.ts";

/** Puts one cover in the place of a log's segments from the one at `first` to the one at `last`, keeping every event. */
function compact(log: FakeLog, first: number, last: number): Segment {
  const chain = log.chain(log.live);
  const covered = chain.segments.slice(first, last + 1);
  const cover = coverOf(
    covered.map((segment) => ({ segment, position: segment.lo, arrived: 0 })),
    {
      reason: "compaction",
      hashBefore: chain.hashes[first - 1] ?? zeroHash,
      digest,
      keeps: () => true,
    },
  );
  chain.segments.splice(first, covered.length, cover);
  chain.hashes.splice(first, covered.length - 1);
  return cover;
}

/** A node whose three oldest segments became one, and a cloud that holds `shared` of the five. */
function half(shared: number, bytes = 100): { node: FakeLog; cloud: FakeLog; cover: Segment } {
  const node = new FakeLog("node");
  for (let count = 1; count <= 5; count += 1) node.append(count, bytes, { random: true });
  const cloud = new FakeLog("cloud");
  cloud.chain(node.live).generation = 1;
  for (const segment of node.chain(node.live).segments.slice(0, shared)) cloud.take(segment);
  return { node, cloud, cover: compact(node, 0, 2) };
}

function delivered(end: End): [lo: number, last: number][] {
  return end.deliveries.flatMap(({ segments }) =>
    segments.map((each): [number, number] => [each.lo, lastOf(each)]),
  );
}

t.test(
  "one is sent whole to a peer that has some of it or nothing, and not to one that has all",
  async (t) => {
    for (const shared of [0, 1, 2]) {
      const { node, cloud } = half(shared);
      const both = connected(node, cloud);
      t.strictSame(delivered(both.cloud), [
        [1, 6],
        [7, 10],
        [11, 15],
      ]);
      t.equal(both.node.acks.get(node.live), 15);
      t.equal(both.cloud.closed, undefined);
    }
    const { node, cloud } = half(3);
    t.strictSame(delivered(connected(node, cloud).cloud), [
      [7, 10],
      [11, 15],
    ]);
  },
);

t.test("a large one that was cut off goes on where it was, also from inside what is held", async (t) => {
  for (const shared of [0, 1]) {
    const { node, cloud, cover } = half(shared, 2 * maxFrameBytes);
    const first = pair(node, cloud, { compressor: brotli });
    start(first);
    run(first, 6);
    const kept = cut(first);
    const part = kept.cloud?.bytes.length ?? 0;
    t.ok(part > 0 && part < cover.bytes.length, "in the middle of it");
    const second: Pair = pair(node, cloud, { compressor: brotli }, kept);
    start(second);
    run(second);
    t.equal(second.node.partOffsets[0], part);
    t.strictSame(delivered(second.cloud).at(-1), [11, 15]);
    t.equal(second.node.acks.get(node.live), 15);
  }
});

t.test("one that was cut off for a peer that has all of it since is not asked for", async (t) => {
  const { node, cloud } = half(0, 2 * maxFrameBytes);
  const first = pair(node, cloud, { compressor: brotli });
  start(first);
  run(first, 6);
  const kept = cut(first);
  for (const segment of half(5, 2 * maxFrameBytes)
    .cloud.chain(node.live)
    .segments.slice(0, 3))
    cloud.take(segment);
  const second = pair(node, cloud, { compressor: brotli }, kept);
  start(second);
  run(second);
  t.strictSame(delivered(second.cloud), [
    [7, 10],
    [11, 15],
  ]);
});

t.test("nothing of a closed incarnation goes past its end in one", async (t) => {
  const { node, cloud } = half(1);
  cloud.chain(node.live).closedAt = 4;
  const both = connected(node, cloud);
  t.strictSame(delivered(both.cloud), []);
});

t.test(
  "what the disk lost of a live incarnation comes in one that reaches into what is still held",
  async (t) => {
    for (const [first, last, expected] of [
      [0, 2, [[1, 6]]],
      [1, 3, [[2, 10]]],
      [2, 3, []],
    ] as const) {
      const { cloud } = half(5);
      const { live } = half(5).node;
      const owner = new FakeLog("node");
      for (const segment of cloud.read(live, 1, 1e9).slice(0, 1)) owner.take(segment);
      const covering = cloud.copy();
      covering.live = live;
      compact(covering, first, last);
      covering.live = cloud.live;
      const both = pair(owner, covering);
      const statement = owner.statement();
      const holdings = statement.holdings.map((held) => Object.assign({}, held, { missingTo: 3 }));
      Object.assign(both.node.session.options, { log: { ...statement, holdings } });
      start(both);
      run(both);
      t.equal(both.node.closed, undefined);
      t.strictSame(delivered(both.node), expected.length === 0 ? [[2, 3]] : expected);
    }
  },
);

t.test("one after a gap closes the session", async (t) => {
  const late = compact(half(0).node, 1, 2);
  const both = connected(new FakeLog("node"), new FakeLog("cloud"));
  both.cloud.input({ kind: "frame", bytes: encodeFrame(plainFrame([late.bytes])) });
  t.match(both.cloud.closed, { code: "LOG_GAP", by: "self" });
});
