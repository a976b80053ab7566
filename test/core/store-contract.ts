/** What every store does, whatever it is made of. */
import * as fc from "fast-check";
import type { Test } from "tap";
import type { Incarnation, LogId } from "../../core/event.ts";
import type { StoredBlock, StoredSegment } from "../../core/store-port.ts";
import { blocks } from "./store-contract-blocks.ts";
import { erasing } from "./store-contract-erasing.ts";
import { type MakeMedium, opened } from "./store-medium.ts";
import {
  blockOf,
  bytes,
  cloud,
  cluster,
  damaged,
  manyBytes,
  node,
  node1,
  node10,
  plain,
  plainAll,
  stored,
} from "./store-segments.ts";

export function storeContract(t: Test, name: string, makeMedium: MakeMedium): void {
  t.test(`${name}: reading`, (t) => reading(t, makeMedium));
  t.test(`${name}: committing`, (t) => committing(t, makeMedium));
  t.test(`${name}: taking out`, (t) => takingOut(t, makeMedium));
  t.test(`${name}: erasing`, (t) => erasing(t, makeMedium));
  t.test(`${name}: opening and closing`, (t) => lifetime(t, makeMedium));
  t.test(`${name}: damage`, (t) => damage(t, makeMedium));
  t.test(`${name}: blocks`, (t) => blocks(t, makeMedium));
  t.test(`${name}: any sequence of commits reads back as a plain list does`, (t) => asModel(t, makeMedium));
}

async function reading(t: Test, makeMedium: MakeMedium): Promise<void> {
  t.test("an empty store holds nothing", async (t) => {
    const store = await opened(t, makeMedium(t));
    t.same(await store.logs(), []);
    t.same(await store.names(""), []);
    t.equal(await store.last(node1), undefined);
    t.equal(await store.get("anything"), undefined);
    t.same(await store.read(node1, 1, manyBytes), []);
    t.same(await store.readOrigin(node1, node, 1, manyBytes), []);
  });

  t.test("a segment comes back as it was committed", async (t) => {
    const store = await opened(t, makeMedium(t));
    const segment = stored({ lo: 7, count: 3, position: 20 });
    await store.commit({ segments: [segment] });
    t.strictSame(plainAll(await store.read(node1, 20, manyBytes)), [plain(segment)]);
    t.strictSame(plainAll(await store.readOrigin(node1, node, 7, manyBytes)), [plain(segment)]);
    t.strictSame(plain(await store.last(node1)), plain(segment));
    t.ok((await store.sizeBytes()) >= segment.segment.length);
  });

  t.test("a read starts at the segment that holds the position, or at the next one", async (t) => {
    const store = await opened(t, makeMedium(t));
    const first = stored({ lo: 1, count: 10 });
    const second = stored({ lo: 11, count: 5, position: 21 });
    await store.commit({ segments: [first, second] });
    const startOf = async (position: number): Promise<number | undefined> =>
      (await store.read(node1, position, 1))[0]?.position;
    const startOfOrigin = async (seq: number): Promise<number | undefined> =>
      (await store.readOrigin(node1, node, seq, 1))[0]?.lo;
    for (const inside of [0, 1, 2, 10]) t.equal(await startOf(inside), 1, `${inside}`);
    for (const between of [11, 20, 21, 25]) t.equal(await startOf(between), 21, `${between}`);
    t.equal(await startOf(26), undefined);
    for (const seq of [1, 10]) t.equal(await startOfOrigin(seq), 1);
    for (const seq of [11, 15]) t.equal(await startOfOrigin(seq), 11);
    t.equal(await startOfOrigin(16), undefined);
  });

  t.test("a read returns one segment at least, and stops at its bytes", async (t) => {
    const store = await opened(t, makeMedium(t));
    // Sequences of one width: segments of one size.
    const segments = Array.from({ length: 200 }, (_, index) => stored({ lo: 1000 + index }));
    await store.commit({ segments });
    const size = segments[0]?.segment.length ?? 0;
    const readOf = async (maxBytes: number): Promise<number> =>
      (await store.read(node1, 1000, maxBytes)).length;
    t.equal(await readOf(0), 1);
    t.equal(await readOf(size * 2), 2);
    t.equal(await readOf(size * 3 - 1), 2);
    t.equal(await readOf(size * 150), 150);
    t.equal(await readOf(manyBytes), 200);
    t.equal((await store.readOrigin(node1, node, 1100, size * 7)).length, 7);
  });

  t.test("logs and origins are kept apart", async (t) => {
    const store = await opened(t, makeMedium(t));
    const ofNode = stored({ lo: 1, count: 2 });
    const ofCloud = stored({ origin: cloud, lo: 1, count: 2, position: 3 });
    const later = stored({ lo: 3, position: 5 });
    const other = stored({ log: node10, lo: 1, count: 9 });
    const objects = stored({ log: cluster, origin: cloud, lo: 1, count: 4 });
    await store.commit({ segments: [ofNode, other] });
    await store.commit({ segments: [ofCloud, objects, later] });
    t.same((await store.logs()).sort(), [cluster, node1, node10]);
    t.same(plainAll(await store.read(node1, 1, manyBytes)), plainAll([ofNode, ofCloud, later]));
    t.same(plainAll(await store.read(node10, 1, manyBytes)), plainAll([other]));
    t.same(plainAll(await store.readOrigin(node1, node, 1, manyBytes)), plainAll([ofNode, later]));
    t.same(plainAll(await store.readOrigin(node1, cloud, 1, manyBytes)), plainAll([ofCloud]));
    t.same(plainAll(await store.readOrigin(cluster, cloud, 4, manyBytes)), plainAll([objects]));
    t.same(plain(await store.last(node1)), plain(later));
    t.same(plain(await store.last(cluster)), plain(objects));
  });
}

async function committing(t: Test, makeMedium: MakeMedium): Promise<void> {
  t.test("named values are set, replaced and removed, and listed in order", async (t) => {
    const store = await opened(t, makeMedium(t));
    const empty = new Uint8Array();
    await store.commit({
      segments: [],
      values: new Map([
        ["cursor/b", bytes("1")],
        ["cursor/a", bytes("2")],
        ["cursor", empty],
        ["other", bytes("4")],
      ]),
    });
    await store.commit({
      segments: [],
      values: new Map([
        ["cursor/b", bytes("5")],
        ["other", undefined],
      ]),
    });
    t.same(await store.names(""), ["cursor", "cursor/a", "cursor/b"]);
    t.same(await store.names("cursor/"), ["cursor/a", "cursor/b"]);
    t.same(await store.names("cursor", { after: "", max: 2 }), ["cursor", "cursor/a"]);
    t.same(await store.names("cursor", { after: "cursor/a", max: 2 }), ["cursor/b"]);
    t.same(await store.names("cursor/", { after: "cursor", max: 1 }), ["cursor/a"]);
    t.same(await store.names("nothing"), []);
    t.same([...((await store.get("cursor/b")) ?? [])], [...bytes("5")]);
    t.equal((await store.get("cursor"))?.length, 0);
    t.equal(await store.get("other"), undefined);
  });

  t.test("commits are done in the order of the calls", async (t) => {
    const store = await opened(t, makeMedium(t));
    const done: number[] = [];
    const commits = Array.from({ length: 20 }, (_, index) =>
      store
        .commit({ segments: [stored({ lo: index + 1 })], values: new Map([["n", Uint8Array.of(index)]]) })
        .then(() => done.push(index)),
    );
    await Promise.all(commits);
    t.same(done, [...done.keys()]);
    t.equal(done.length, 20);
    t.same([...((await store.get("n")) ?? [])], [19]);
    const records = await store.read(node1, 1, manyBytes);
    t.same(
      records.map(({ lo }) => lo),
      done.map((index) => index + 1),
    );
  });

  t.test("what the caller does with its bytes afterwards is nothing to the store", async (t) => {
    const store = await opened(t, makeMedium(t));
    const segment = stored({ lo: 1 });
    const value = bytes("before");
    const before = plain(segment);
    await store.commit({ segments: [segment], values: new Map([["v", value]]) });
    segment.segment.fill(0);
    value.fill(0);
    const [read] = await store.read(node1, 1, 1);
    t.same(plain(read), before);
    t.same(await store.get("v"), bytes("before"));
    read?.segment?.fill(0);
    t.same(plain(await store.last(node1)), before);
  });
}

async function takingOut(t: Test, makeMedium: MakeMedium): Promise<void> {
  t.test("a segment that is taken out is gone from every reading", async (t) => {
    const store = await opened(t, makeMedium(t));
    const kept = stored({ lo: 1, count: 2 });
    const gone = stored({ lo: 3, count: 2 });
    const only = stored({ log: node10, lo: 1 });
    await store.commit({ segments: [kept, gone, only] });
    await store.commit({
      segments: [],
      remove: [
        { log: node1, position: 3 },
        { log: node10, position: 1 },
        { log: node10, position: 9 },
      ],
    });
    t.same(plainAll(await store.read(node1, 1, manyBytes)), plainAll([kept]));
    t.same(plainAll(await store.readOrigin(node1, node, 1, manyBytes)), plainAll([kept]));
    t.same(plain(await store.last(node1)), plain(kept));
    t.same(await store.logs(), [node1]);
  });

  t.test("a removal sees the commits called before it", async (t) => {
    const store = await opened(t, makeMedium(t));
    const first = store.commit({ segments: [stored({ lo: 1 }), stored({ lo: 2 })] });
    const second = store.commit({ segments: [], remove: [{ log: node1, position: 1 }] });
    await Promise.all([first, second]);
    t.same(
      (await store.read(node1, 1, manyBytes)).map(({ lo }) => lo),
      [2],
    );
  });

  t.test("one batch takes a segment out and puts another in its place", async (t) => {
    const store = await opened(t, makeMedium(t));
    const other = stored({ lo: 1, padding: 20 });
    await store.commit({ segments: [stored({ lo: 1 })] });
    await store.commit({ segments: [other], remove: [{ log: node1, position: 1 }] });
    t.same(plainAll(await store.read(node1, 1, manyBytes)), plainAll([other]));
    t.same(plainAll(await store.readOrigin(node1, node, 1, manyBytes)), plainAll([other]));
  });
}

async function lifetime(t: Test, makeMedium: MakeMedium): Promise<void> {
  t.test("what was committed is there after closing and opening again", async (t) => {
    const medium = makeMedium(t);
    const store = medium.store();
    await store.open();
    const segments = [stored({ lo: 1, count: 3 }), stored({ lo: 4 })];
    for (const segment of segments) await store.commit({ segments: [segment] });
    await store.commit({ segments: [], values: new Map([["name", bytes("value")]]) });
    await store.close();
    for (const again of [store, medium.store()]) {
      await again.open();
      t.same(plainAll(await again.read(node1, 1, manyBytes)), plainAll(segments));
      t.same(await again.get("name"), bytes("value"));
      const next = stored({ lo: segments.length + 3 });
      await again.commit({ segments: [next] });
      segments.push(next);
      await again.close();
    }
    const last = await opened(t, medium);
    t.same(plainAll(await last.read(node1, 1, manyBytes)), plainAll(segments));
  });

  t.test("opening twice and closing twice is opening and closing once", async (t) => {
    const store = makeMedium(t).store();
    await store.close();
    await Promise.all([store.open(), store.open()]);
    await store.open();
    await store.commit({ segments: [stored({ lo: 1 })] });
    await Promise.all([store.close(), store.close()]);
    await store.close();
  });

  t.test("closing waits for the commits under way", async (t) => {
    const medium = makeMedium(t);
    const store = medium.store();
    await store.open();
    const commits = [1, 2, 3].map((lo) => store.commit({ segments: [stored({ lo })] }));
    await store.close();
    await Promise.all(commits);
    const again = await opened(t, medium);
    t.equal((await again.read(node1, 1, manyBytes)).length, 3);
  });

  t.test("a closed store refuses everything with LOG_CLOSED", async (t) => {
    const store = makeMedium(t).store();
    await t.rejects(store.get("name"), { code: "LOG_CLOSED" }, "before it is opened");
    await store.open();
    const closing = store.close();
    await t.rejects(store.commit({ segments: [] }), { code: "LOG_CLOSED" }, "while closing");
    await closing;
    await t.rejects(store.commit({ segments: [] }), { code: "LOG_CLOSED" });
    await t.rejects(store.read(node1, 1, 1), { code: "LOG_CLOSED" });
    await t.rejects(store.readOrigin(node1, node, 1, 1), { code: "LOG_CLOSED" });
    await t.rejects(store.last(node1), { code: "LOG_CLOSED" });
    await t.rejects(store.logs(), { code: "LOG_CLOSED" });
    await t.rejects(store.names(""), { code: "LOG_CLOSED" });
  });

  t.test("a second store on the same medium is refused until the first one closes", async (t) => {
    const medium = makeMedium(t);
    const first = await opened(t, medium);
    const second = medium.store();
    await t.rejects(second.open(), { code: "LOG_LOCKED" });
    await first.commit({ segments: [stored({ lo: 1 })] });
    await first.close();
    await second.open();
    t.equal((await second.read(node1, 1, 1)).length, 1);
    await second.close();
  });
}

async function damage(t: Test, makeMedium: MakeMedium): Promise<void> {
  for (const harm of ["damage", "lose"] as const) {
    t.test(`${harm}: the record is named, and what follows it can still be had`, async (t) => {
      const medium = makeMedium(t);
      const store = medium.store();
      await store.open();
      const segments = [1, 4, 7].map((lo) => stored({ lo, count: 3 }));
      const [first, second, third] = segments as [StoredSegment, StoredSegment, StoredSegment];
      await store.commit({ segments });
      await store.close();
      await medium[harm](node1, 4);
      await store.open();
      t.teardown(() => store.close());
      const expected = plainAll([first, damaged(second), third]);
      t.strictSame(plainAll(await store.read(node1, 1, manyBytes)), expected);
      t.strictSame(plainAll(await store.readOrigin(node1, node, 1, manyBytes)), expected);
      t.strictSame(plainAll(await store.read(node1, 5, 1)), [damaged(second)]);

      // The peer's copy arrives at the end, and stands in for the damaged one by origin.
      const copy = { ...second, position: 10 };
      await store.commit({ segments: [copy] });
      t.same(plainAll(await store.readOrigin(node1, node, 1, manyBytes)), plainAll([first, copy, third]));
      t.same(plainAll(await store.read(node1, 4, manyBytes)), plainAll([damaged(second), third, copy]));
      await store.commit({ segments: [], remove: [{ log: node1, position: 4 }] });
      t.same(plainAll(await store.read(node1, 1, manyBytes)), plainAll([first, third, copy]));
      t.same(plainAll(await store.readOrigin(node1, node, 1, manyBytes)), plainAll([first, copy, third]));
    });
  }
}

/** One log of the model, and what comes next in it. */
interface ModelLog {
  segments: StoredSegment[];
  position: number;
  seq: Map<Incarnation, number>;
}

async function asModel(t: Test, makeMedium: MakeMedium): Promise<void> {
  const append = fc.record({
    log: fc.constantFrom(node1, node10),
    origin: fc.constantFrom(cloud, node),
    count: fc.integer({ min: 1, max: 5 }),
    gap: fc.integer({ min: 0, max: 2 }),
  });
  const commit = fc.record({
    appends: fc.array(append, { maxLength: 4 }),
    remove: fc.option(fc.record({ log: fc.constantFrom(node1, node10), nth: fc.nat(20) })),
    merge: fc.option(
      fc.record({
        log: fc.constantFrom(node1, node10),
        nth: fc.nat(20),
        length: fc.integer({ min: 1, max: 9 }),
      }),
    ),
    reopen: fc.integer({ min: 0, max: 9 }).map((die) => die === 0),
  });
  const look = fc.record({ at: fc.nat(60), maxBytes: fc.nat(2000) });
  const scenario = fc.record({
    commits: fc.array(commit, { maxLength: 15 }),
    looks: fc.array(look, { minLength: 5, maxLength: 20 }),
  });
  await fc.assert(
    fc.asyncProperty(scenario, async ({ commits, looks }) => {
      const store = makeMedium(t).store();
      await store.open();
      const model = new Map<LogId, ModelLog>();
      for (const log of [node1, node10]) model.set(log, { segments: [], position: 1, seq: new Map() });
      for (const { appends, remove, merge, reopen } of commits) {
        const removed = remove === null ? undefined : model.get(remove.log)?.segments[remove.nth];
        const segments = appends.map((append) => appendTo(model.get(append.log) as ModelLog, append));
        if (removed !== undefined) {
          const ofLog = model.get(removed.log) as ModelLog;
          ofLog.segments = ofLog.segments.filter((segment) => segment !== removed);
        }
        await store.commit({ segments, remove: removed === undefined ? [] : [removed] });
        const block = merge === null ? undefined : blockIn(model.get(merge.log) as ModelLog, merge);
        if (block !== undefined) await store.commit({ segments: [], blocks: [block] });
        if (!reopen) continue;
        await store.close();
        await store.open();
      }
      for (const [log, { segments }] of model) {
        t.same(plain(await store.last(log)), plain(segments.at(-1)));
        for (const { at, maxBytes } of looks) {
          t.same(plainAll(await store.read(log, at, maxBytes)), expected(segments, "position", at, maxBytes));
          for (const origin of [cloud, node]) {
            const own = segments.filter((segment) => segment.origin === origin);
            const found = await store.readOrigin(log, origin, at, maxBytes);
            t.same(plainAll(found), expected(own, "lo", at, maxBytes));
          }
        }
      }
      await store.close();
      if (!t.passing()) throw new Error("the store and the list differ");
    }),
    { numRuns: 25 },
  );
}

function appendTo(
  model: ModelLog,
  { log, origin, count, gap }: { log: LogId; origin: Incarnation; count: number; gap: number },
): StoredSegment {
  const lo = (model.seq.get(origin) ?? 1) + gap;
  const position = model.position + gap;
  const segment = stored({ log, origin, lo, count, position });
  model.seq.set(origin, lo + count);
  model.position = position + count;
  model.segments.push(segment);
  return segment;
}

/** Neighbours from the `nth` segment on, as far as there is no gap. */
function blockIn(
  { segments }: ModelLog,
  { nth, length }: { nth: number; length: number },
): StoredBlock | undefined {
  const members: StoredSegment[] = [];
  for (const segment of segments.slice(nth, nth + length)) {
    const last = members.at(-1);
    if (last !== undefined && last.position + last.count !== segment.position) break;
    members.push(segment);
  }
  return members.length === 0 ? undefined : blockOf(members);
}

function expected(
  segments: readonly StoredSegment[],
  order: "position" | "lo",
  at: number,
  maxBytes: number,
): unknown[] {
  const from = segments.filter((segment) => segment[order] + segment.count > at);
  let total = 0;
  const within = from.findIndex((segment, index) => {
    total += segment.segment.length;
    return index > 0 && total > maxBytes;
  });
  return plainAll(within < 0 ? from : from.slice(0, within));
}
