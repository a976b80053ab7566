import * as fc from "fast-check";
import t from "tap";
import { encodeEvent } from "../../core/codec.ts";
import type { EventId } from "../../core/event.ts";
import { encodeSegment, hex, zeroHash } from "../../core/segment.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import type { Segment } from "../../core/segment.ts";
import { replay } from "../../core/replay.ts";
import { MemoryDisk, MemoryStore } from "../../core/store/memory.ts";
import type { ReadRecord } from "../../core/store-port.ts";
import { node as nodeOrigin, stored } from "./store-segments.ts";
import { Site, World, applied, meet, node1, reported, said, ship, texts } from "./log-site.ts";

const harms = ["damage", "lose", "forget"] as const;

/** A node that has shipped five segments of two events each, and a cloud that holds them from position 2 on. */
async function shipped(): Promise<{ cloud: Site; node: Site; life: EventId }> {
  const world = new World();
  const cloud = await Site.open(world, "cloud");
  const node = await Site.open(world, "node");
  const [life] = (await cloud.append(applied())) as [EventId];
  await meet(cloud, node);
  for (let value = 1; value <= 9; value += 2) {
    await node.append(reported(`${value}`, life, `p${value % 4}`), said(`${value + 1}`));
  }
  await meet(cloud, node);
  return { cloud, node, life };
}

function held(site: Site, of: Site): unknown {
  const { end, hash, hole, beyond } = site.log.histories.get(of.log.incarnation) ?? {};
  return { end, hash: hex(hash ?? zeroHash), hole, beyond };
}

function whole(site: Site): unknown {
  return { ...(held(site, site) as object), hole: undefined, beyond: [] };
}

async function numbers(site: Site, of: Site): Promise<number[]> {
  const events = (await site.events()).filter(({ origin }) => origin === of.log.incarnation);
  return events.map(({ seq }) => seq);
}

t.test("a record that is damaged, lost or forgotten in the middle", async (t) => {
  for (const harm of harms) {
    await t.test(harm, async (t) => {
      const { cloud, node } = await shipped();
      const { incarnation: origin } = node.log;
      // Sequences 5 and 6.
      cloud.disk[harm](node1, 6);
      await cloud.crash();
      const { log } = cloud;
      t.match(held(cloud, node), { end: 4, hole: { from: 5, to: 6 }, beyond: [{ from: 7, to: 10 }] });
      const gap = { code: "LOG_GAP", origin, from: 5, to: 6 };
      const found =
        harm === "forget"
          ? { code: "LOG_GAP", origin: undefined, from: 6, to: 7 }
          : { ...gap, code: "SEGMENT_CORRUPT" };
      t.strictSame(log.problems, [found, gap]);
      t.ok(cloud.world.lines.some(({ level, fields }) => level === "error" && fields["code"] === found.code));
      t.strictSame(await numbers(cloud, node), [1, 2, 3, 4, 7, 8, 9, 10], "everything else is served");
      t.equal((await log.eventAt(origin, 8))?.body, "8");
      t.equal(await log.eventAt(origin, 6), undefined);
      t.equal(cloud.hash, node.hash, "and is in the state: no slot was lost with it");
      t.strictSame(
        (await log.readOrigin(origin, 1, 1e9)).map(({ lo }) => lo),
        [1, 3],
        "never served as complete",
      );
      t.strictSame(await log.readOrigin(origin, 7, 1e9), []);
      t.equal(log.vector()[origin], 4);
      t.equal(await log.hashAt(origin, 10), undefined);

      await node.append(said("11"));
      await ship(node, cloud);
      t.strictSame(
        held(cloud, node),
        whole(node),
        "the peer's own fills it, and the chain is the original's",
      );
      t.strictSame(
        await numbers(cloud, node),
        [1, 2, 3, 4, 7, 8, 9, 10, 5, 6, 11],
        "nothing is stored twice",
      );
      t.equal(cloud.hash, node.hash);
      t.strictSame(
        (await log.readOrigin(origin, 1, 1e9)).map(({ lo }) => lo),
        [1, 3, 5, 7, 9, 11],
      );
      t.strictSame(await log.hashAt(origin, 10), await node.log.hashAt(origin, 10));
      t.strictSame(
        log.problems.filter((problem) => problem.origin !== undefined),
        [],
      );

      await cloud.crash();
      t.strictSame(held(cloud, node), whole(node), "also when it is read again");
      t.strictSame(
        cloud.log.problems.filter((problem) => problem.origin !== undefined),
        [],
      );
      t.equal(cloud.hash, node.hash);
      await node.append(said("12"));
      await ship(node, cloud);
      await cloud.restart();
      t.strictSame(held(cloud, node), whole(node));
      t.strictSame(cloud.log.problems, []);
    });
  }
});

t.test("a hole is still known after a checkpoint, and is filled then", async (t) => {
  const { cloud, node } = await shipped();
  cloud.disk.lose(node1, 6);
  await cloud.crash();
  await cloud.restart();
  const { origin } = { origin: node.log.incarnation };
  t.strictSame(cloud.log.problems, [{ code: "LOG_GAP", origin, from: 5, to: 6 }]);
  const [own] = await cloud.append(said("mine"));
  const last = (await cloud.events()).at(-1);
  t.equal(own, `${cloud.log.incarnation}/2`);
  t.strictSame(last?.seen, [{ origin, seq: 10 }], "what was seen stays seen");
  await ship(node, cloud);
  t.strictSame(held(cloud, node), whole(node));
  t.strictSame(await numbers(cloud, node), [1, 2, 3, 4, 7, 8, 9, 10, 5, 6]);
});

t.test("what is found damaged past a hole, once that is filled, is a hole too", async (t) => {
  for (const restarts of [false, true]) {
    const { cloud, node } = await shipped();
    cloud.disk.lose(node1, 6);
    await cloud.crash();
    await cloud.restart();
    // A checkpoint says that it is there.
    cloud.disk.damage(node1, 8);
    const [, , lost] = await node.log.readOrigin(node.log.incarnation, 1, 1e9);
    cloud.log.receive(lost as Segment, () => {});
    await cloud.world.pass(20);
    if (restarts) await cloud.crash();
    const next = { end: 6, hole: { from: 7, to: 8 }, beyond: [{ from: 9, to: 10 }] };
    t.match(held(cloud, node), next, `restarts: ${restarts}`);
    await ship(node, cloud);
    t.strictSame(held(cloud, node), whole(node));
    await cloud.crash();
    t.strictSame(held(cloud, node), whole(node));
  }
});

t.test("what is lost at the end is simply not there", async (t) => {
  for (const harm of harms) {
    const { cloud, node } = await shipped();
    cloud.disk[harm](node1, 10);
    await cloud.crash();
    t.match(held(cloud, node), { end: 8, hole: undefined, beyond: [] });
    await ship(node, cloud);
    t.strictSame(held(cloud, node), whole(node), harm);
    t.equal(cloud.hash, node.hash);
    await cloud.crash();
    t.strictSame(held(cloud, node), whole(node), harm);
  }
});

t.test("a side that lost some of its own goes on, and gets it back", async (t) => {
  for (const harm of harms) {
    await t.test(harm, async (t) => {
      const { cloud, node, life } = await shipped();
      const { incarnation: origin } = node.log;
      const hash = hex((await cloud.log.hashAt(origin, 10)) ?? zeroHash);
      node.disk[harm](node1, 4);
      await node.crash();
      t.equal(node.log.incarnation, origin);
      t.match(held(node, node), { end: 2, hole: { from: 3, to: 4 } });
      t.strictSame(await node.append(reported("new", life), said("12")), [`${origin}/11`, `${origin}/12`]);
      t.match(held(node, node), { end: 2, hole: { from: 3, to: 4 }, beyond: [{ from: 5, to: 12 }] });
      t.strictSame(await node.log.readOrigin(origin, 11, 1e9), [], "nobody is sent what lies past the hole");
      await node.crash();
      await node.append(said("13"));
      t.match(held(node, node), { end: 2, hole: { from: 3, to: 4 }, beyond: [{ from: 5, to: 13 }] });

      const [, lost] = await cloud.log.readOrigin(origin, 1, 1e9);
      let isDone = false;
      node.log.append([said("14")]);
      node.log.receive(lost as Segment, () => {
        isDone = true;
      });
      node.log.append([said("15")]);
      await node.world.pass(3);
      node.log.append([said("16")]);
      await node.world.pass(20);
      t.ok(isDone);
      t.match(held(node, node), { end: 16, hole: undefined, beyond: [] });
      t.equal(hex((await node.log.hashAt(origin, 10)) ?? zeroHash), hash);
      await node.append(said("17"));
      await ship(node, cloud);
      t.strictSame(held(cloud, node), whole(node));
      t.equal(cloud.hash, node.hash);
      await node.crash();
      t.strictSame(held(cloud, node), whole(node));
      t.strictSame(texts(await node.events()).filter((text) => text === "4").length, 1);
    });
  }
});

t.test("what a cloud wrote past its own hole, it takes back like the rest", async (t) => {
  const macKey = Uint8Array.from({ length: 32 }, () => 5);
  const world = new World();
  const cloud = await Site.open(world, "cloud", { macKey });
  const node = await Site.open(world, "node");
  for (const text of ["1", "2", "3"]) await cloud.append(said(text));
  await meet(cloud, node);
  const { incarnation: origin } = cloud.log;
  cloud.disk.lose(node1, 2);
  await cloud.crash();
  await cloud.append(said("4"));
  const [lost] = await node.log.readOrigin(origin, 2, 1);
  cloud.log.receive(lost as Segment, () => undefined);
  await world.pass(20);
  await cloud.append(said("5"));
  await meet(cloud, node);
  t.strictSame(held(node, cloud), whole(cloud));
  const bare = await Site.open(world, "cloud", { macKey });
  await ship(node, bare);
  t.strictSame(texts(await bare.events()), ["1", "2", "3", "4", "5"]);
});

t.test("what fills a hole and what is new come in one go", async (t) => {
  const { cloud, node } = await shipped();
  cloud.disk.lose(node1, 4);
  await cloud.crash();
  for (const text of ["11", "12"]) await node.append(said(text));
  const segments = await node.log.readOrigin(node.log.incarnation, 3, 1e9);
  const done: number[] = [];
  for (const [index, segment] of segments.entries()) {
    cloud.log.receive(segment, () => done.push(segment.lo));
    if (index === 2) await cloud.world.pass(6);
    if (index === 3) await cloud.world.pass(1);
  }
  await cloud.world.pass(20);
  t.strictSame(
    done.toSorted((a, b) => a - b),
    segments.map(({ lo }) => lo),
  );
  t.strictSame(held(cloud, node), whole(node));
  t.strictSame(await numbers(cloud, node), [1, 2, 5, 6, 7, 8, 9, 10, 3, 4, 11, 12]);
});

t.test("a record with a good seal and bad events is damage like any other", async (t) => {
  const { cloud, node } = await shipped();
  const draft = {
    origin: node.log.incarnation,
    lo: 5,
    seen: [],
    events: [encodeEvent(said("x"), 5, 1), encodeEvent(said("y"), 7, 1)],
  };
  const { segment } = encodeSegment(draft, zeroHash, nodeDigest);
  const place = { log: node1, origin: node.log.incarnation, lo: 5, count: 2, position: 6, arrived: 0 };
  await cloud.world.run(cloud.store.commit({ segments: [{ ...place, segment: segment.bytes }] }));
  await cloud.crash();
  t.match(held(cloud, node), { end: 4, hole: { from: 5, to: 6 } });
  t.ok(cloud.log.problems.some(({ code }) => code === "EVENT_INVALID"));
  t.strictSame(await numbers(cloud, node), [1, 2, 3, 4, 7, 8, 9, 10]);
  await ship(node, cloud);
  t.strictSame(held(cloud, node), whole(node));
});

t.test("a read that meets only damage goes on to what comes after it", async (t) => {
  const { cloud, node } = await shipped();
  for (const position of [2, 4, 6]) cloud.disk.damage(node1, position);
  await cloud.crash();
  t.strictSame(
    (await cloud.log.read(2, 1)).map(({ seq }) => seq),
    [7, 8],
  );
  t.ok(node);
});

t.test("whatever is lost of the peer's, it comes back, once, and the chains agree", async () => {
  const anyHarm = fc.tuple(fc.constantFrom(...harms), fc.integer({ min: 1, max: 5 }));
  const moments = fc.array(fc.constantFrom("crash", "restart", "append"), { maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(fc.array(anyHarm, { minLength: 1, maxLength: 4 }), moments, async (harmed, moments) => {
      const { cloud, node, life } = await shipped();
      const places = new Set<number>();
      for (const [harm, place] of harmed) {
        if (!places.has(place)) cloud.disk[harm](node1, place * 2);
        places.add(place);
      }
      await cloud.crash();
      for (const moment of moments) {
        if (moment === "crash") await cloud.crash();
        else if (moment === "restart") await cloud.restart();
        else await node.append(reported("more", life));
      }
      await meet(cloud, node);
      for (const again of [false, true]) {
        if (again) await cloud.crash();
        if (JSON.stringify(held(cloud, node)) !== JSON.stringify(whole(node)))
          throw new Error("the chains differ");
        if (cloud.hash !== node.hash) throw new Error("the states differ");
        const all = (await numbers(cloud, node)).toSorted((a, b) => a - b);
        if (!all.every((seq, index) => seq === index + 1)) throw new Error(`it holds ${all.join()}`);
        if (cloud.log.problems.some(({ origin }) => origin !== undefined))
          throw new Error("problems are left");
      }
    }),
    { numRuns: 100 },
  );
});

/** Its index by origin is lost. */
class HalfIndexed extends MemoryStore {
  override readOrigin(): Promise<ReadRecord[]> {
    return Promise.resolve([]);
  }
}

t.test("what is there by position, and not by sequence, is missing", async (t) => {
  const world = new World();
  const store = new HalfIndexed(new MemoryDisk(), { timers: world, digest: nodeDigest });
  await store.open();
  // The second one filled a hole.
  for (const [at, lo] of [1, 3, 2, 4].entries())
    await world.run(store.commit({ segments: [stored({ lo, position: at + 1 })] }));
  const options = { store, log: node1, digest: nodeDigest, from: 1, removed: [] };
  const { problems } = await world.run(replay({ ...options, histories: new Map(), take: () => {} }));
  t.match(problems, [{ code: "LOG_GAP", origin: nodeOrigin, from: 3, to: 4 }]);
});
