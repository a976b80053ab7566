import * as fc from "fast-check";
import t from "tap";
import { maxEventBytes } from "../../core/codec.ts";
import { type Event, type EventId, type Incarnation, eventId } from "../../core/event.ts";
import { HistoryIndex } from "../../core/history-index.ts";
import { stateOfSide } from "../../core/history-read.ts";
import { Merging } from "../../core/merging.ts";
import { currentLife } from "../../core/registers.ts";
import type { CrashFate, DiskSnapshot } from "../../core/store/memory.ts";
import {
  Site,
  World,
  applied,
  deleted,
  desired,
  folded,
  hashOf,
  meet,
  reported,
  said,
  ship,
  texts,
  thermo,
} from "./log-site.ts";

/** The disk as it was then. */
async function rollBack(site: Site, snapshot: DiskSnapshot): Promise<void> {
  await site.stop();
  site.disk.restore(snapshot);
  await site.open();
}

/** What the cloud says of an incarnation, and of the one before it. */
async function open(
  cloud: Site,
  incarnation: Incarnation,
  generation: number,
  previous?: Incarnation,
): Promise<void> {
  const end = previous === undefined ? 0 : (cloud.log.histories.get(previous)?.end ?? 0);
  const body = { incarnation, generation, previous: previous ?? null, end };
  await cloud.append({ type: "origin.opened", class: "audit", key: `origins/${incarnation}`, body });
}

interface Parted {
  readonly cloud: Site;
  readonly node: Site;
  readonly life: EventId;
  readonly old: Incarnation;
}

/** A node that shipped four events, was put back to two, and has written three others since. */
async function parted(
  options: { readonly checkpointEvery?: number } = {},
  lost = "temperature",
): Promise<Parted> {
  const world = new World();
  const cloud = await Site.open(world, "cloud");
  const node = await Site.open(world, "node", options);
  const old = node.log.incarnation;
  const [life] = (await cloud.append(applied())) as [EventId];
  await open(cloud, cloud.log.incarnation, 1);
  await open(cloud, old, 1);
  await meet(cloud, node);
  await node.append(reported("1", life));
  await node.append(said("2"));
  await meet(cloud, node);
  const backup = node.disk.snapshot();
  await node.append(reported("3", life, lost), said("4"));
  await meet(cloud, node);
  await rollBack(node, backup);
  await node.append(reported("3'", life));
  await cloud.append(desired("9", life));
  await ship(cloud, node);
  await node.append(said("4'"), reported("5'", life, "humidity"));
  return { cloud, node, life, old };
}

/** Puts all there is into blocks, and into the history index. */
async function mergeAll({ committer, world, log }: Site): Promise<void> {
  const indexOf = HistoryIndex.forAll();
  const merging = new Merging({ committer, environment: world.environment, blockBytes: 300, indexOf });
  merging.add(log);
  await world.run(merging.mergeAll());
  await world.run(merging.close());
}

t.test(
  "the history index forgets what was appended again, and learns what others hold in its place",
  async (t) => {
    for (const restarts of [false, true]) {
      const { cloud, node, old } = await parted({}, "pressure");
      await mergeAll(node);
      await node.world.run(node.log.reincarnate(2));
      if (restarts) await node.restart();
      await open(cloud, node.log.incarnation, 2, old);
      await meet(cloud, node);
      await mergeAll(node);
      const cut = { origin: old, seq: node.log.histories.get(old)?.end ?? 0 };
      t.equal(cut.seq, 4);
      const then = await node.world.run(stateOfSide(node.log, thermo, "node", cut));
      t.strictSame(texts(then).map(String).sort(), ["1", "3"]);
      const end = node.log.histories.get(node.log.incarnation)?.end ?? 0;
      const now = { origin: node.log.incarnation, seq: end };
      const latest = await node.world.run(stateOfSide(node.log, thermo, "node", now));
      t.strictSame(texts(latest.filter(({ origin }) => origin !== old)), [["3'"], ["5'"]]);
    }
  },
);

function isOf(origin: Incarnation): (event: Event) => boolean {
  return (event) => event.origin === origin;
}

t.test("what lies past the common point is appended again, under a new name", async (t) => {
  const { cloud, node, old } = await parted();
  const before = await node.events();
  const diverged = before.filter((event) => event.origin === old && event.seq > 2);
  let resets = 0;
  node.log.onReset(() => {
    resets += 1;
  });
  node.world.wallMs += 60_000;
  await node.world.run(node.log.reincarnate(2));
  t.equal(resets, 1);
  const { log } = node;
  t.not(log.incarnation, old);
  const after = await node.events();
  t.strictSame(texts(after.filter(isOf(old))), [["1"], "2"]);
  t.strictSame(
    after
      .filter(isOf(log.incarnation))
      .map(({ body, time, seen, cause, life, slot, key }) => ({ body, time, seen, cause, life, slot, key })),
    diverged.map(({ origin, seq, body, time, seen, life, slot, key }) => ({
      body,
      time,
      seen,
      cause: eventId(origin, seq),
      life,
      slot,
      key,
    })),
  );
  t.strictSame(
    after.filter(isOf(log.incarnation)).map(({ seq }) => seq),
    [1, 2, 3],
  );
  const kept = before.filter((event) => !diverged.includes(event));
  t.strictSame(after.slice(0, kept.length), kept, "nothing else moved, and positions are what they were");
  t.ok((after[kept.length]?.position ?? 0) > (before.at(-1)?.position ?? 0), "no position is given twice");
  t.strictSame(log.problems, [], "what was taken out is no hole");
  t.equal(node.hash, folded(after));
  t.strictSame({ ...log.vector() }, { [cloud.log.incarnation]: 4, [old]: 2, [log.incarnation]: 3 });

  await node.crash();
  t.strictSame(await node.events(), after);
  t.strictSame(node.log.problems, []);
  t.equal(node.hash, folded(after));
  t.strictSame(await node.append(said("6")), [eventId(node.log.incarnation, 4)]);
});

t.test("the lost tail comes back, and both sides agree", async (t) => {
  const { cloud, node, old, life } = await parted();
  await node.world.run(node.log.reincarnate(2));
  await open(cloud, node.log.incarnation, 2, old);
  await meet(cloud, node);
  t.strictSame(node.log.vector(), cloud.log.vector());
  t.equal(node.log.vector()[old], 4);
  t.equal(node.hash, cloud.hash);
  const slots = currentLife(cloud.log.registers, thermo)?.slots;
  t.same(slots?.get("reported/temperature")?.node?.body, ["3'"], "the newer generation's");
  for (const site of [cloud, node]) {
    await site.crash();
    t.equal(site.hash, folded(await site.events()));
    t.strictSame(texts((await site.events()).filter(isOf(old))), [["1"], "2", ["3"], "4"]);
  }
  await node.append(reported("7", life));
  await meet(cloud, node);
  t.equal(node.hash, cloud.hash);
});

t.test("a tail that comes back before the generations are known changes nothing", async (t) => {
  const { cloud, node, old } = await parted();
  await node.world.run(node.log.reincarnate(2));
  await ship(cloud, node);
  await open(cloud, node.log.incarnation, 2, old);
  await meet(cloud, node);
  t.equal(node.hash, cloud.hash);
});

t.test("lives that began past the common point are renamed, with all that is under them", async (t) => {
  const world = new World();
  const cloud = await Site.open(world, "cloud", { macKey: new Uint8Array(32) });
  const node = await Site.open(world, "node");
  const old = cloud.log.incarnation;
  const [thermoLife] = (await cloud.append(applied())) as [EventId];
  await meet(cloud, node);
  const backup = cloud.disk.snapshot();
  await cloud.append(applied({ spec: "shipped" }, undefined, "devices/default/a"));
  await meet(cloud, node);
  await rollBack(cloud, backup);
  const [life] = (await cloud.append(applied({ spec: "mine" }, undefined, "devices/default/b"))) as [EventId];
  t.equal(life, eventId(old, 2), "the name that the other one has");
  await cloud.append(desired("1", life, "p", "devices/default/b"), desired("2", thermoLife));
  const [second] = (await cloud.append(applied({}, undefined, "devices/default/c"))) as [EventId];
  await cloud.append(deleted(second, "devices/default/c"));
  await world.run(cloud.log.reincarnate(1));
  const { registers, incarnation } = cloud.log;
  const b = currentLife(registers, "devices/default/b");
  t.equal(b?.id, eventId(incarnation, 1));
  t.same(b?.slots.get("desired/p")?.cloud?.body, ["1"]);
  t.equal(currentLife(registers, "devices/default/c"), undefined);
  t.same(currentLife(registers, thermo)?.slots.get("desired/temperature")?.cloud?.body, ["2"]);
  await ship(node, cloud);
  await open(cloud, old, 1);
  await open(cloud, incarnation, 2, old);
  await meet(cloud, node);
  t.equal(cloud.hash, node.hash);
  t.ok(currentLife(cloud.log.registers, "devices/default/a"), "what was lost is back");
});

t.test("with nothing past the common point, only the name is new", async (t) => {
  const { node, old } = await parted();
  const before = await node.events();
  await node.world.run(node.log.reincarnate(5));
  t.not(node.log.incarnation, old);
  t.strictSame(await node.events(), before);
  t.strictSame(await node.append(said("6")), [eventId(node.log.incarnation, 1)]);
});

t.test("meanwhile nothing is taken; what was taken before is moved too", async (t) => {
  const { node, life } = await parted();
  const { world } = node;
  const waiting = node.log.appended([said("just before")]);
  const moving = node.log.reincarnate(2);
  t.throws(() => node.log.append([reported("x", life)]), { code: "LOG_OVERLOADED" });
  await t.rejects(node.log.reincarnate(2), { code: "LOG_OVERLOADED" });
  const closing = node.log.close();
  await world.run(Promise.all([waiting, moving, closing]));
  await node.store.close();
  await node.open();
  t.strictSame(texts((await node.events()).filter(isOf(node.log.incarnation))), [
    ["3'"],
    "4'",
    ["5'"],
    "just before",
  ]);
});

t.test("no checkpoint holds what was taken out", async (t) => {
  const { node } = await parted({ checkpointEvery: 1 });
  await node.world.run(node.log.reincarnate(2));
  for (const how of ["crash", "restart", "crash"] as const) {
    t.equal(node.hash, folded(await node.events()));
    await node[how]();
  }
  t.equal(node.hash, folded(await node.events()));
});

t.test("what cannot be read past the common point is taken out too", async (t) => {
  for (const harm of ["damage", "lose"] as const) {
    const { node, old } = await parted();
    const position =
      (await node.events()).find(({ origin, seq }) => origin === old && seq === 3)?.position ?? 0;
    node.disk[harm]("node/edge-node-1" as never, position);
    await node.crash();
    await node.world.run(node.log.reincarnate(2));
    t.strictSame(texts((await node.events()).filter(isOf(node.log.incarnation))), ["4'", ["5'"]]);
    await node.crash();
    t.strictSame(node.log.problems, [], harm);
  }
});

t.test("the largest events, and the most of them, can be moved", async (t) => {
  const node = await Site.open(new World(), "node");
  const probe = 100_000;
  await node.append({ ...said(""), body: new Uint8Array(probe) });
  const [first] = await node.log.readOrigin(node.log.incarnation, 1, 1e9);
  const overhead = (first?.events.length ?? 0) - probe;
  await node.append({ ...said(""), body: new Uint8Array(maxEventBytes - overhead) });
  await node.append(...Array.from({ length: 16_000 }, () => said("small")));
  const hash = hashOf(node.log.registers);
  await node.world.run(node.log.reincarnate(0));
  await node.crash();
  const events = await node.events();
  t.equal(events.length, 16_002);
  t.ok(events.every(({ origin, seq }, index) => origin === node.log.incarnation && seq === index + 1));
  t.equal(hashOf(node.log.registers), hash);
});

t.test("positions that were taken out are not given again", async (t) => {
  const { node, old } = await parted();
  const { position } = node.log;
  const isHead = ({ origin, seq }: Event): boolean => origin === old && (seq === 3 || seq === 4);
  for (const event of (await node.events()).filter(isHead)) {
    node.disk.damage("node/edge-node-1" as never, event.position);
  }
  await node.crash();
  await node.world.run(node.log.reincarnate(2));
  await node.append(said("new"));
  t.equal((await node.events()).at(-1)?.position, position + 1);
});

/** A tail that is moved in several batches. */
async function longTail(world: World): Promise<{ site: Site; expected: string[] }> {
  const site = await Site.open(world, "cloud");
  await site.append(said("shared"));
  const [life] = (await site.append(applied(["born"]))) as [EventId];
  const expected = ["born"];
  for (let index = 0; index < 15; index += 1) {
    expected.push(`${index}`);
    const body = [`${index}`, new Uint8Array(330_000)];
    await site.append({ ...desired("", life, `p${index % 3}`), body });
  }
  return { site, expected };
}

t.test("a crash at any moment of the move is taken up where it stopped", async () => {
  const anyFate: fc.Arbitrary<CrashFate> = fc.record({ reached: fc.nat(1) });
  const anyCrash = fc.tuple(fc.integer({ min: 0, max: 40 }), anyFate);
  await fc.assert(
    fc.asyncProperty(fc.array(anyCrash, { minLength: 1, maxLength: 5 }), async (crashes) => {
      const world = new World();
      const { site, expected } = await longTail(world);
      const old = site.log.incarnation;
      const moving = site.log.reincarnate(1);
      moving.catch(() => undefined);
      for (const [ms, fate] of crashes) {
        await world.pass(ms);
        site.disk.crash(fate);
        // The log is opened by hand: a crash may come before that is done.
        const opening = site.open();
        opening.catch(() => undefined);
        await world.pass(ms);
      }
      site.disk.crash();
      await site.open();
      if (site.log.incarnation === old) await world.run(site.log.reincarnate(1));
      const events = await site.events();
      const moved = events.filter(isOf(site.log.incarnation));
      const values = moved.map(({ body }) => (body as readonly string[])[0]);
      if (String(values) !== String(expected)) throw new Error(`moved were ${values.join()}`);
      if (moved.some(({ cause, seq }) => cause !== eventId(old, seq + 1)))
        throw new Error("a cause is wrong");
      if (String(texts(events.filter(isOf(old)))) !== "shared") throw new Error("some is left behind");
      const [born, ...under] = moved;
      const renamed = eventId(site.log.incarnation, born?.seq ?? 0);
      if (under.some(({ life }) => life !== renamed)) throw new Error("a life is wrong");
      if (site.log.problems.length > 0) throw new Error("there are problems");
      if (site.hash !== folded(events)) throw new Error("the state is not what the log says");
    }),
    { numRuns: 12 },
  );
});
