/** What every store does with blocks: they read as their members do. */
import type { Test } from "tap";
import type { Incarnation } from "../../core/event.ts";
import { type ReadRecord, type Store, type StoredSegment, maxBlockBytes } from "../../core/store-port.ts";
import { type MakeMedium, opened } from "./store-medium.ts";
import { blockOf, bytes, cloud, manyBytes, node, node1, plain, plainAll, stored } from "./store-segments.ts";

/** Ten segments of both sides, taking turns by twos: positions 1 to 30. */
function turns(): StoredSegment[] {
  const next = new Map<Incarnation, number>();
  return Array.from({ length: 10 }, (_, nth) => {
    const origin = nth % 4 < 2 ? node : cloud;
    const lo = next.get(origin) ?? 1;
    next.set(origin, lo + 3);
    return stored({ origin, lo, count: 3, position: nth * 3 + 1 });
  });
}

/** All ways of reading give these segments, whichever are asked for first. */
async function readsAs(t: Test, store: Store, segments: readonly StoredSegment[]): Promise<void> {
  t.strictSame(plain(await store.last(node1)), plain(segments.at(-1)));
  t.strictSame(plainAll(await store.read(node1, 1, manyBytes)), plainAll(segments));
  for (let position = 1; position <= 31; position += 1) {
    const from = segments.filter((each) => each.position + each.count > position);
    t.strictSame(plainAll(await store.read(node1, position, manyBytes)), plainAll(from), `from ${position}`);
    const one = await store.read(node1, position, 1);
    t.strictSame(plainAll(one), plainAll(from.slice(0, 1)), `one from ${position}`);
  }
  for (const origin of [node, cloud]) {
    const own = segments.filter((each) => each.origin === origin);
    for (let seq = 1; seq <= 16; seq += 1) {
      const from = own.filter((each) => each.lo + each.count > seq);
      const found = await store.readOrigin(node1, origin, seq, manyBytes);
      t.strictSame(plainAll(found), plainAll(from), `${origin} from ${seq}`);
      const two = await store.readOrigin(node1, origin, seq, (from[0]?.segment.length ?? 0) * 2);
      t.strictSame(plainAll(two), plainAll(from.slice(0, 2)), `two of ${origin} from ${seq}`);
    }
  }
}

export async function blocks(t: Test, makeMedium: MakeMedium): Promise<void> {
  t.test("a block reads as the segments whose place it took, also after opening again", async (t) => {
    for (const [from, to] of [
      [0, 10],
      [0, 4],
      [3, 7],
      [5, 10],
      [6, 7],
    ] as const) {
      const medium = makeMedium(t);
      const store = await opened(t, medium);
      const segments = turns();
      for (const segment of segments) await store.commit({ segments: [segment] });
      await store.commit({ segments: [], blocks: [blockOf(segments.slice(from, to))] });
      await readsAs(t, store, segments);
      const shape = await store.shape(node1);
      t.match(shape, { segments: 10 - (to - from), blocks: 1, blockEvents: (to - from) * 3 });
      const places = (await store.read(node1, 1, manyBytes)).map(
        (record) => "block" in record && record.block,
      );
      const place = { from: from * 3 + 1, to: to * 3, bytes: Number };
      t.match(
        places.slice(from, to),
        places.slice(from, to).map(() => place),
        "its members say which block they are of",
      );
      t.notOk([...places.slice(0, from), ...places.slice(to)].some(Boolean));
      await store.close();
      await store.open();
      await readsAs(t, store, segments);
      t.same(await store.shape(node1), shape);
    }
  });

  t.test("it takes less room, and nothing of what it replaced is left", async (t) => {
    const store = await opened(t, makeMedium(t));
    const segments = Array.from({ length: 500 }, (_, nth) => stored({ lo: nth + 1 }));
    await store.commit({ segments });
    const { segmentBytes } = await store.shape(node1);
    await store.commit({ segments: [], blocks: [blockOf(segments)] });
    const shape = await store.shape(node1);
    t.match(shape, { segments: 0, segmentBytes: 0, blocks: 1, blockSegmentBytes: segmentBytes });
    t.ok(shape.blockBytes < segmentBytes / 5, `${shape.blockBytes} of ${segmentBytes}`);
    t.equal(
      segments.reduce((total, { segment }) => total + segment.length, 0),
      segmentBytes,
    );
  });

  t.test("what was packed before is what is committed", async (t) => {
    const store = await opened(t, makeMedium(t));
    const segments = turns();
    await store.commit({ segments });
    const packed = await store.pack(segments);
    await store.commit({ segments: [], blocks: [{ ...blockOf(segments), packed }] });
    await readsAs(t, store, segments);
  });

  t.test("a block takes the place of smaller ones, and a smaller one the place of its part", async (t) => {
    const store = await opened(t, makeMedium(t));
    const segments = turns();
    await store.commit({ segments });
    const merge = (from: number, to: number): Promise<void> =>
      store.commit({ segments: [], blocks: [blockOf(segments.slice(from, to))] });
    await store.commit({
      segments: [],
      blocks: [blockOf(segments.slice(0, 3)), blockOf(segments.slice(3, 6))],
    });
    t.match(await store.shape(node1), { segments: 4, blocks: 2 });
    await merge(0, 8);
    t.match(await store.shape(node1), { segments: 2, blocks: 1 });
    await readsAs(t, store, segments);
    await merge(2, 5);
    t.match(await store.shape(node1), { segments: 2, blocks: 3 }, "what is left of it on both sides stands");
    await readsAs(t, store, segments);
    await merge(4, 10);
    await readsAs(t, store, segments);
  });

  t.test("a member that is taken out is gone, and what is left of its block stands", async (t) => {
    for (const gone of [[0], [4], [9], [0, 1, 5, 9], [2, 3, 4]]) {
      const store = await opened(t, makeMedium(t));
      const segments = turns();
      await store.commit({ segments });
      await store.commit({ segments: [], blocks: [blockOf(segments)] });
      const remove = gone.map((nth) => ({ log: node1, position: nth * 3 + 1 }));
      await store.commit({ segments: [], remove });
      await readsAs(
        t,
        store,
        segments.filter((_, nth) => !gone.includes(nth)),
      );
    }
    const store = await opened(t, makeMedium(t));
    const segments = turns();
    await store.commit({ segments, blocks: [] });
    await store.commit({ segments: [], blocks: [blockOf(segments)] });
    await store.commit({ segments: [], remove: [{ log: node1, position: 2 }] });
    await readsAs(t, store, segments);
    await store.commit({ segments: [], remove: segments });
    t.same(await store.logs(), [], "taken out whole, nothing of it is left");
  });

  t.test("in one batch with named values, and with a segment that comes", async (t) => {
    const store = await opened(t, makeMedium(t));
    const segments = turns();
    await store.commit({ segments: segments.slice(0, 9) });
    await store.commit({
      segments: segments.slice(9),
      blocks: [blockOf(segments.slice(0, 9))],
      values: new Map([["index", bytes("1")]]),
    });
    await readsAs(t, store, segments);
    t.same(await store.get("index"), bytes("1"));
  });

  t.test("what is in a block twice is had by origin once, with all that is beside it", async (t) => {
    const store = await opened(t, makeMedium(t));
    const segments = [1, 2, 3, 4].map((lo) => stored({ lo }));
    const [first] = segments as [StoredSegment];
    const again = [...segments, { ...first, position: 5 }, stored({ lo: 5, position: 6 })];
    await store.commit({ segments: [], blocks: [blockOf(again)] });
    t.strictSame(plainAll(await store.read(node1, 1, manyBytes)), plainAll(again));
    const once = [...segments, ...again.slice(5)];
    for (let seq = 1; seq <= 5; seq += 1) {
      const found = await store.readOrigin(node1, node, seq, manyBytes);
      t.strictSame(plainAll(found), plainAll(once.slice(seq - 1)));
    }
  });

  t.test("what is no plain commit is kept as it is", async (t) => {
    const store = await opened(t, makeMedium(t));
    const [first, second, third] = turns() as [StoredSegment, StoredSegment, StoredSegment];
    const covering = second.segment.slice();
    covering[1] = 3;
    const members = [first, { ...second, segment: covering }, { ...third, segment: bytes("no segment") }];
    await store.commit({ segments: [], blocks: [blockOf(members)] });
    t.strictSame(plainAll(await store.read(node1, 1, manyBytes)), plainAll(members));
    t.strictSame(plainAll(await store.readOrigin(node1, node, 4, 1)), plainAll(members.slice(1, 2)));
  });

  t.test("what is no block, or too large for one, is refused, and the store goes on", async (t) => {
    const store = await opened(t, makeMedium(t));
    const segments = turns();
    const block = blockOf(segments);
    await t.rejects(store.commit({ segments: [], blocks: [{ ...block, members: [] }] }));
    await t.rejects(store.commit({ segments: [], blocks: [{ ...block, to: block.to + 1 }] }));
    const gap = segments.filter((_, nth) => nth !== 4);
    await t.rejects(store.commit({ segments: [], blocks: [{ ...block, members: gap }] }));
    const large = { ...stored({ lo: 1 }), segment: new Uint8Array(maxBlockBytes + 1) };
    await t.rejects(store.pack([large]), { code: "INVALID" });
    await t.rejects(store.commit({ segments: [], blocks: [blockOf([large])] }), { code: "INVALID" });
    await store.commit({ segments });
    await readsAs(t, store, segments);
  });

  for (const harm of ["damage", "lose"] as const) t.test(harm, (t) => harmed(t, makeMedium, harm));

  t.test("floor: the greatest name that is not after the one asked for", async (t) => {
    const store = await opened(t, makeMedium(t));
    const names = ["a", "h!1!05", "h!1!09", "h!10!07", "h!2!01", "z"];
    await store.commit({ segments: [], values: new Map(names.map((name) => [name, bytes(name)])) });
    const floor = async (prefix: string, name: string): Promise<string | undefined> => {
      const found = await store.floor(prefix, name);
      if (found !== undefined) t.same(found.value, bytes(found.name));
      return found?.name;
    };
    t.equal(await floor("h!1!", "h!1!04"), undefined);
    t.equal(await floor("h!1!", "h!1!05"), "h!1!05");
    t.equal(await floor("h!1!", "h!1!08"), "h!1!05");
    t.equal(await floor("h!1!", "h!1!99"), "h!1!09");
    t.equal(await floor("h!2!", "h!2!00"), undefined, "one before it has another prefix");
    t.equal(await floor("", "zz"), "z");
    t.equal(await floor("b", "c"), undefined);
    await store.commit({ segments: [], values: new Map([["h!1!09", undefined]]) });
    t.equal(await floor("h!1!", "h!1!99"), "h!1!05");
  });
}

async function harmed(t: Test, makeMedium: MakeMedium, harm: "damage" | "lose"): Promise<void> {
  const lost = (origin: Incarnation, lo: number, count: number, position: number): ReadRecord => {
    return { log: node1, origin, lo, count, position, segment: undefined };
  };
  const medium = makeMedium(t);
  const store = await opened(t, medium);
  const segments = turns();
  await store.commit({ segments });
  await store.commit({ segments: [], blocks: [blockOf(segments.slice(1, 8))] });
  await store.close();
  await medium[harm](node1, 4);
  await store.open();
  const [first] = segments as [StoredSegment];
  const rest = segments.slice(8);
  const runs = [lost(node, 4, 3, 4), lost(cloud, 1, 6, 7), lost(node, 7, 6, 13), lost(cloud, 7, 6, 19)];

  t.test("what was in it is named, run by run, and what is beside it can be had", async (t) => {
    t.strictSame(plainAll(await store.read(node1, 1, manyBytes)), plainAll([first, ...runs, ...rest]));
    const ofNode = [first, runs[0], runs[2], ...rest] as ReadRecord[];
    t.strictSame(plainAll(await store.readOrigin(node1, node, 1, manyBytes)), plainAll(ofNode));
    t.strictSame(plainAll(await store.readOrigin(node1, cloud, 1, manyBytes)), [runs[1], runs[3]]);
  });

  t.test("from inside, a run is named from there on", async (t) => {
    const inside = [lost(cloud, 3, 4, 9), runs[2], runs[3]] as ReadRecord[];
    t.strictSame(plainAll(await store.read(node1, 9, manyBytes)), plainAll([...inside, ...rest]));
    t.strictSame(await store.readOrigin(node1, cloud, 8, manyBytes), [lost(cloud, 8, 5, 20)]);
  });

  t.test("a copy that comes again stands in for it by origin", async (t) => {
    const copies = segments.slice(2, 4).map((each, nth) => ({ ...each, position: 31 + nth * 3 }));
    await store.commit({ segments: copies });
    const found = await store.readOrigin(node1, cloud, 1, manyBytes);
    t.strictSame(plainAll(found.slice(0, 2)), plainAll(copies));
    await store.commit({ segments: [], remove: copies });
  });

  t.test("it can be taken out in part and whole, and merged over", async (t) => {
    await store.commit({ segments: [], remove: [{ log: node1, position: 9 }] });
    const left = [runs[0], lost(cloud, 1, 2, 7), runs[2], runs[3]] as ReadRecord[];
    t.strictSame(plainAll(await store.read(node1, 1, manyBytes)), plainAll([first, ...left, ...rest]));
    await store.commit({ segments: [], remove: [{ log: node1, position: 13 }] });
    const less = [runs[0], lost(cloud, 1, 2, 7), runs[3]] as ReadRecord[];
    t.strictSame(plainAll(await store.read(node1, 1, manyBytes)), plainAll([first, ...less, ...rest]));
    await store.commit({ segments: [], blocks: [blockOf(segments)] });
    await readsAs(t, store, segments);
  });
}
