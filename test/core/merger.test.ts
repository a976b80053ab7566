/** Merging in the background: nothing that is read changes, whenever it is cut short, and it keeps out of the way. */
import * as fc from "fast-check";
import t, { type Test } from "tap";
import type { EventId } from "../../core/event.ts";
import { verifyLog } from "../../core/log-verify.ts";
import { Merging, type MergingOptions } from "../../core/merging.ts";
import { hex } from "../../core/segment.ts";
import type { LogShape } from "../../core/store-port.ts";
import {
  Site,
  World,
  applied,
  folded,
  meet,
  node1,
  reported,
  said,
  ship,
  texts,
  thermo,
} from "./log-site.ts";

/** About twenty reports. */
const blockBytes = 2000;
const idleMs = 60_000;

function mergingOf(site: Site, options: Partial<MergingOptions> = {}): Merging {
  const { committer, world } = site;
  const merging = new Merging({ committer, environment: world.environment, blockBytes, idleMs, ...options });
  merging.add(site.log);
  return merging;
}

async function mergeAll(site: Site): Promise<void> {
  const merging = mergingOf(site);
  await site.world.run(merging.mergeAll());
  await site.world.run(merging.close());
}

function shapeOf(site: Site): Promise<LogShape> {
  return site.store.shape(node1);
}

async function report(site: Site, life: EventId, count: number): Promise<void> {
  for (let nth = 0; nth < count; nth += 1) await site.append(reported(`${nth}`, life));
}

/** All that can be asked of a log, but for where it lies. */
async function everything(site: Site): Promise<unknown> {
  const { log, world } = site;
  const chains: unknown[] = [];
  for (const { origin, end } of log.histories.values()) {
    const segments = await log.readOrigin(origin, 1, Number.MAX_SAFE_INTEGER);
    const hashes: (string | undefined)[] = [];
    for (let seq = 1; seq <= end; seq += 1) {
      const hash = await log.hashAt(origin, seq);
      hashes.push(hash && hex(hash));
    }
    const boundaries = await log.boundaries(origin, 1, end, 7);
    const events = await Promise.all(hashes.map((_, index) => log.eventAt(origin, index + 1)));
    chains.push({
      origin,
      hashes,
      events,
      segments: segments.map(({ bytes }) => hex(bytes)),
      boundaries: boundaries.map(({ seq, hash }) => [seq, hex(hash)]),
    });
  }
  const { result, origins } = await world.run(verifyLog(log));
  return { chains, origins, problems: result.problems, events: await site.events(), hash: site.hash };
}

async function living(options: { readonly macKey?: Uint8Array } = {}): Promise<{
  readonly cloud: Site;
  readonly node: Site;
  readonly life: EventId;
}> {
  const world = new World();
  const cloud = await Site.open(world, "cloud", options);
  const node = await Site.open(world, "node");
  const [life] = (await cloud.append(applied())) as [EventId];
  await meet(cloud, node);
  return { cloud, node, life };
}

t.test("small segments become blocks, and nothing that is read changes", async (t) => {
  const { cloud, node, life } = await living({ macKey: new Uint8Array(32) });
  for (let round = 0; round < 10; round += 1) {
    await report(node, life, 8);
    await cloud.append(applied({ spec: round }, life), said("a word"));
    await meet(cloud, node);
  }
  for (const site of [cloud, node]) {
    const before = await everything(site);
    await mergeAll(site);
    const { segments, blocks, blockEvents } = await shapeOf(site);
    t.match({ segments, blockEvents }, { segments: 0, blockEvents: site.log.position });
    t.ok(blocks > 2 && blocks < 10, `${blocks} blocks`);
    t.same(await everything(site), before);
    await site.restart();
    t.same(await everything(site), before, "nor after a restart");
    await site.crash();
    t.same(await everything(site), before, "nor after a crash");
  }
});

t.test("a block is made as soon as there is enough for one, oldest first", async (t) => {
  const { node, life } = await living();
  const merging = mergingOf(node);
  await node.world.settle();
  await report(node, life, 10);
  t.match(await shapeOf(node), { blocks: 0, segments: 11 });
  await report(node, life, 30);
  const { blocks, blockEvents, segments } = await shapeOf(node);
  t.ok(blocks > 0 && blocks < 4 && segments > 0, `${blocks} blocks, and ${segments} segments`);
  const [first] = await node.store.read(node1, 1, 1);
  t.equal(first?.position, 1);
  t.equal(blockEvents + segments, 41);
  await node.world.run(merging.close());
});

t.test(
  "what is left is merged when nothing more has come for long, and again with what comes then",
  async (t) => {
    const { node, life } = await living();
    const merging = mergingOf(node);
    await report(node, life, 5);
    await node.world.pass(idleMs + 100);
    t.match(await shapeOf(node), { blocks: 1, blockEvents: 6, segments: 0 });
    await report(node, life, 2);
    await node.world.pass(idleMs + 100);
    t.match(await shapeOf(node), { blocks: 2, segments: 0 }, "not for so little");
    await report(node, life, 6);
    await node.world.pass(idleMs + 100);
    t.match(await shapeOf(node), { blocks: 1, blockEvents: 14, segments: 0 });
    await report(node, life, 1);
    await node.world.pass(idleMs * 3);
    t.match(await shapeOf(node), { blocks: 1, segments: 1 }, "one by itself gains nothing");
    t.equal(node.world.pending, 0, "and nobody goes on looking");
    await node.world.run(merging.close());
    t.equal(node.world.pending, 0);
  },
);

t.test("what is written again is bounded: with each time, its block at least doubles", async (t) => {
  const { node, life } = await living();
  const merging = mergingOf(node, { blockBytes: 64 * 1024 });
  const events = 256;
  for (let nth = 0; nth < events; nth += 2) {
    await report(node, life, 2);
    await node.world.pass(idleMs + 100);
  }
  let written = 0;
  for (const { blocks = [] } of node.store.batches)
    for (const { members } of blocks) written += members.length;
  t.ok(written <= events * (Math.log2(events) + 1), `${written} segments were written for ${events}`);
  t.ok((await shapeOf(node)).blocks <= Math.log2(events) + 1);
  await node.world.run(merging.close());
});

t.test("a restart goes on where merging was", async (t) => {
  const { node, life } = await living();
  await report(node, life, 60);
  await mergeAll(node);
  await node.restart();
  await report(node, life, 60);
  const before = await everything(node);
  node.store.reads.length = 0;
  await mergeAll(node);
  t.notOk(node.store.reads.includes(1), "what is merged is not read again");
  t.match(await shapeOf(node), { segments: 0 });
  t.same(await everything(node), before);
});

t.test("a value that says how far it was, and is lost, costs time and nothing else", async (t) => {
  const { node, life } = await living();
  await report(node, life, 60);
  await mergeAll(node);
  const before = await everything(node);
  for (const value of [undefined, Uint8Array.of(0xc1), Uint8Array.of(0x91, 9)]) {
    await node.world.run(node.store.commit({ segments: [], values: new Map([[`merged!${node1}`, value]]) }));
    await mergeAll(node);
    t.same(await everything(node), before);
  }
});

t.test("damage is merged around, and what was lost comes again", async (t) => {
  const { cloud, node, life } = await living();
  await report(node, life, 30);
  await meet(cloud, node);
  const [record] = await cloud.store.read(node1, 15, 1);
  cloud.disk.crash();
  cloud.disk.damage(node1, record?.position ?? 0);
  await cloud.open();
  await mergeAll(cloud);
  t.match(await shapeOf(cloud), { segments: 1 }, "the damaged one");
  await meet(cloud, node);
  t.same(cloud.log.problems, []);
  await mergeAll(cloud);
  t.same(texts(await cloud.events()).length, 31);
  await cloud.restart();
  t.same(cloud.log.problems, []);
  t.equal(cloud.hash, node.hash);
});

t.test("a block that is damaged comes again from the peer", async (t) => {
  const { cloud, node, life } = await living();
  await report(node, life, 30);
  await meet(cloud, node);
  await mergeAll(cloud);
  cloud.disk.crash();
  cloud.disk.damage(node1, 10);
  const log = await cloud.open();
  t.not(log.problems.length, 0);
  await meet(cloud, node);
  t.same(
    log.problems.filter(({ origin }) => origin === node.log.incarnation),
    [],
  );
  await mergeAll(cloud);
  await cloud.restart();
  const origin = node.log.incarnation;
  t.equal(cloud.log.histories.get(origin)?.end, 30);
  t.same(await cloud.log.hashAt(origin, 30), await node.log.hashAt(origin, 30));
});

t.test("it keeps out of the way: while appends come, it rests for longer than it works", async (t) => {
  const { node, life } = await living();
  const merging = mergingOf(node);
  const { store, world } = node;
  const pack = store.pack.bind(store);
  // Packing takes 10 ms.
  store.pack = async (members): Promise<Uint8Array> => {
    await new Promise<void>((resolve) => void world.after(10, resolve));
    return pack(members);
  };
  const began = world.monotonicMs;
  for (let nth = 0; nth < 300; nth += 1) {
    void node.log.appended([reported(`${nth}`, life)]);
    await world.pass(1);
  }
  const { blocks } = await shapeOf(node);
  const took = world.monotonicMs - began;
  t.ok(blocks > 0 && blocks * 10 * 4 < took, `${blocks} blocks in ${took} ms`);
  await world.run(merging.close());
});

t.test("a log that is being put right is left alone", async (t) => {
  const { cloud, node, life } = await living();
  await report(node, life, 10);
  await meet(cloud, node);
  const merging = mergingOf(node);
  await node.world.settle();
  const { store, world } = node;
  const pack = store.pack.bind(store);
  let packing = 0;
  store.pack = async (members): Promise<Uint8Array> => {
    packing += 1;
    await new Promise<void>((resolve) => void world.after(1000, resolve));
    return pack(members);
  };
  void merging.mergeAll();
  await world.settle();
  t.equal(packing, 1);
  const moving = node.log.reincarnate(5);
  await world.run(moving);
  const moved = await node.events();
  await world.run(merging.close());
  t.match(await shapeOf(node), { blocks: 0 }, "what it had read before is not written");
  t.same(await node.events(), moved);
});

t.test("a store that fails is told of once, by the log", async (t) => {
  const { node, life } = await living();
  await report(node, life, 40);
  const merging = mergingOf(node);
  node.disk.full = true;
  await node.world.run(merging.mergeAll());
  t.match(node.committer.failure, { code: "DISK_FULL" });
  await node.world.run(merging.close());
});

t.test("whenever a crash tears what a merge was writing, all is there", async (t) => {
  const met = new Set<number>();
  for (let ms = 0; ms < 30; ms += 1) {
    const { node, life } = await living();
    await report(node, life, 40);
    const before = await node.events();
    void mergingOf(node).mergeAll();
    await node.world.pass(ms);
    met.add(node.disk.unsynced);
    await node.crash({ torn: "damaged" });
    t.same(await node.events(), before, `after ${ms} ms`);
    t.same(node.log.problems, []);
  }
  t.ok(met.has(1), "some crashes caught a batch");
});

const action = fc.oneof(
  fc.record({ do: fc.constant("report" as const), count: fc.integer({ min: 1, max: 25 }) }),
  fc.record({ do: fc.constant("desire" as const), count: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ do: fc.constant("meet" as const) }),
  fc.record({ do: fc.constant("merge" as const), cloud: fc.boolean() }),
  fc.record({
    do: fc.constant("crash" as const),
    cloud: fc.boolean(),
    reached: fc.nat(3),
    torn: fc.boolean(),
    after: fc.nat(30),
  }),
  fc.record({ do: fc.constant("reincarnate" as const), back: fc.nat(12) }),
);

t.test("whatever happens, and whenever: what was acknowledged is there, once, and sound", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 25 }), async (actions) => {
      const { cloud, node, life } = await living();
      const { world } = node;
      const acknowledged = new Set<string>();
      let nth = 0;
      for (const step of actions) {
        const site = "cloud" in step && step.cloud ? cloud : node;
        if (step.do === "report") {
          for (let count = 0; count < step.count; count += 1) {
            nth += 1;
            await node.append(reported(`${nth}`, life));
            acknowledged.add(`${nth}`);
          }
        } else if (step.do === "desire") {
          for (let count = 0; count < step.count; count += 1) await cloud.append(applied({ nth }, life));
        } else if (step.do === "meet") {
          await meet(cloud, node);
        } else if (step.do === "merge") {
          await mergeAll(site);
        } else if (step.do === "crash") {
          const merging = mergingOf(site);
          void merging.mergeAll();
          await world.pass(step.after);
          await site.crash({ reached: step.reached, torn: step.torn ? "damaged" : "discarded" });
        } else {
          await meet(cloud, node);
          const end = node.log.histories.get(node.log.incarnation)?.end ?? 0;
          const merging = mergingOf(node);
          void merging.mergeAll();
          await world.run(node.log.reincarnate(Math.max(0, end - step.back)));
          await world.run(merging.close());
          break;
        }
      }
      for (const site of [node, cloud]) {
        const before = await site.events();
        await mergeAll(site);
        check(t, await site.events(), before);
        const { result } = await world.run(verifyLog(site.log));
        check(t, result.problems, []);
        await site.restart();
        check(t, await site.events(), before);
        check(t, site.hash, folded(before));
      }
      const values = (await node.events())
        .filter(({ key, type }) => key === thermo && type === "twin.reported")
        .map(({ body }) => `${(body as string[])[0]}`);
      check(t, values.toSorted(), [...acknowledged].toSorted());
      await ship(node, cloud);
    }),
    { numRuns: 40 },
  );
});

function check(t: Test, found: unknown, wanted: unknown): void {
  t.same(found, wanted);
  if (!t.passing()) throw new Error("the logs differ");
}

t.test(
  "what the disk still holds of what was merged is given back where it is much, and there is room",
  async (t) => {
    for (const [sizeBytes, canReclaim, isGiven] of [
      [64 * 1024 * 1024, true, true],
      [64 * 1024 * 1024, false, false],
      [8 * 1024 * 1024, true, false],
    ] as const) {
      const { node, life } = await living();
      await report(node, life, 50);
      let reclaimed = 0;
      node.store.sizeBytes = async () => sizeBytes;
      node.store.reclaim = async () => {
        reclaimed += 1;
      };
      const merging = mergingOf(node, { room: { pressure: 0, canReclaim } });
      await node.world.run(merging.mergeAll());
      t.equal(reclaimed, isGiven ? 1 : 0);
      await node.world.run(merging.close());
    }
  },
);
