/** The index says what a walk over the whole log says, whatever is merged of it, and when. */
import * as fc from "fast-check";
import t from "tap";
import { calibratedTime } from "../../core/clock.ts";
import { type Event, type EventId, type Seen, type Side, eventId, sideOf } from "../../core/event.ts";
import { compareOfSide } from "../../core/generations.ts";
import { decodeGaps, gapsName } from "../../core/history-entries.ts";
import { HistoryIndex } from "../../core/history-index.ts";
import { cutAtTime, stateOfSide } from "../../core/history-read.ts";
import type { Log } from "../../core/log.ts";
import { Merging } from "../../core/merging.ts";
import { currentLife, registersProjection } from "../../core/registers.ts";
import { Site, World, applied, deleted, desired, meet, node1, reported, said } from "./log-site.ts";

const keys = ["devices/default/a", "devices/default/b!%", "devices/default/c"];
const sides = ["cloud", "node"] as const;

async function mergeAll(site: Site, blockBytes: number): Promise<void> {
  const { committer, world } = site;
  const indexOf = HistoryIndex.forAll();
  const merging = new Merging({ committer, environment: world.environment, blockBytes, indexOf });
  merging.add(site.log);
  await world.run(merging.mergeAll());
  await world.run(merging.close());
}

function compare(log: Log, a: Seen, b: Seen): number {
  const order = compareOfSide(log.registers.generations, a, b);
  return Number.isNaN(order) ? (a.origin < b.origin ? -1 : 1) : order;
}

function cutByWalk(log: Log, events: readonly Event[], timeMs: number): Record<Side, Seen | undefined> {
  const found: Record<Side, Seen | undefined> = { cloud: undefined, node: undefined };
  for (const event of events) {
    if (calibratedTime(log.registers.eras, event) > timeMs) continue;
    const { origin, seq } = event;
    const held = found[sideOf(origin)];
    if (held === undefined || compare(log, event, held) > 0) found[sideOf(origin)] = { origin, seq };
  }
  return found;
}

/** What can be seen of an object that is folded from these events. */
function seenOf(log: Log, key: string, events: readonly Event[]): unknown {
  const { generations, eras } = log.registers;
  const state = { ...registersProjection.initial(), generations: new Map(generations), eras: new Map(eras) };
  for (const event of events) registersProjection.apply(state, event);
  const life = currentLife(state, key);
  const idOf = (event: Event | undefined): EventId | undefined => event && eventId(event.origin, event.seq);
  const slots = [...(life?.slots ?? [])].map(([slot, { cloud, node }]) => [slot, idOf(cloud), idOf(node)]);
  return { life: life?.id, slots: slots.toSorted(byText) };
}

function byText(a: unknown, b: unknown): number {
  return String(a) < String(b) ? -1 : 1;
}

/** Compares at many cuts and instants. @throws where they differ */
async function sameAsWalk(log: Log, events: readonly Event[], picks: readonly number[]): Promise<void> {
  const times = events.map((event) => calibratedTime(log.registers.eras, event));
  for (const pick of picks) {
    const timeMs = (times[pick % times.length] ?? 0) + (pick % 3) - 1;
    const cut = await cutAtTime(log, timeMs);
    same(cut, cutByWalk(log, events, timeMs), `at ${timeMs}`);
    const past = events.filter((event) => {
      const last = cut[sideOf(event.origin)];
      return last !== undefined && compare(log, event, last) <= 0;
    });
    for (const key of keys) {
      const parts = await Promise.all(sides.map((side) => stateOfSide(log, key, side, cut[side])));
      const whole = past.filter((event) => event.key === key && log.applies(event));
      same(seenOf(log, key, parts.flat()), seenOf(log, key, whole), `${key} at ${timeMs}`);
    }
  }
}

function same(found: unknown, wanted: unknown, where: string): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${where}: the index says ${a}, a walk says ${b}`);
}

const action = fc.oneof(
  {
    arbitrary: fc.record({
      do: fc.constant("report" as const),
      key: fc.nat(2),
      slot: fc.nat(2),
      count: fc.nat(9),
    }),
    weight: 5,
  },
  fc.record({ do: fc.constant("desire" as const), key: fc.nat(2), slot: fc.nat(2) }),
  fc.record({ do: fc.constant("apply" as const), key: fc.nat(2) }),
  fc.record({ do: fc.constant("delete" as const), key: fc.nat(2) }),
  fc.record({ do: fc.constant("say" as const), node: fc.boolean() }),
  fc.record({ do: fc.constant("meet" as const) }),
  fc.record({ do: fc.constant("pass" as const), ms: fc.nat(500) }),
  fc.record({ do: fc.constant("jump" as const), ms: fc.integer({ min: -300_000, max: 300_000 }) }),
  {
    arbitrary: fc.record({
      do: fc.constant("merge" as const),
      node: fc.boolean(),
      bytes: fc.integer({ min: 200, max: 3000 }),
    }),
    weight: 3,
  },
  fc.record({ do: fc.constant("lose" as const), at: fc.nat() }),
  fc.record({ do: fc.constant("forget" as const), node: fc.boolean() }),
  fc.record({ do: fc.constant("reincarnate" as const), back: fc.nat(6) }),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

class Lives {
  readonly cloud: Site;
  readonly node: Site;
  #moved = false;

  constructor(cloud: Site, node: Site) {
    this.cloud = cloud;
    this.node = node;
  }

  async step(step: Action): Promise<void> {
    const { cloud, node } = this;
    const key = "key" in step ? (keys[step.key] as string) : "";
    const slot = "slot" in step ? `p${step.slot}` : "";
    const isNode = "node" in step && step.node;
    const life = (isNode || step.do === "report" ? node : cloud).log.stagedLife(key);
    switch (step.do) {
      case "report":
        if (life === undefined) return;
        for (let nth = 0; nth <= step.count; nth += 1) await node.append(reported(`${nth}`, life, slot, key));
        return;
      case "desire":
        if (life !== undefined) await cloud.append(desired("1", life, slot, key));
        return;
      case "apply":
        await cloud.append(applied({ spec: 1 }, life, key));
        return;
      case "delete":
        if (life !== undefined) await cloud.append(deleted(life, key));
        return;
      case "say":
        await (isNode ? node : cloud).append(said("a word"));
        return;
      case "meet":
        await meet(cloud, node);
        return;
      case "pass":
        await cloud.world.pass(step.ms);
        return;
      case "jump":
        cloud.world.wallMs += step.ms;
        return;
      case "merge":
        await mergeAll(isNode ? node : cloud, step.bytes);
        return;
      case "lose":
        await this.#lose(step.at);
        return;
      case "forget": {
        const values = new Map([[`merged!${node1}`, undefined]]);
        await cloud.world.run((isNode ? node : cloud).store.commit({ segments: [], values }));
        return;
      }
      case "reincarnate":
        await this.#reincarnate(step.back);
    }
  }

  /** The cloud's disk loses a record of the node's, which comes again when they meet. */
  async #lose(at: number): Promise<void> {
    const { cloud, node } = this;
    await meet(cloud, node);
    const records = await cloud.store.read(node1, 1, Number.MAX_SAFE_INTEGER);
    const own = records.filter(({ origin }) => origin === node.log.incarnation);
    const lost = own[at % own.length];
    const { segments } = await cloud.store.shape(node1);
    // A block holds events of the cloud's too, which a node gives back with their MAC only.
    if (lost === undefined || segments < records.length) return;
    cloud.disk.crash();
    cloud.disk.damage(node1, lost.position);
    await cloud.open();
  }

  async #reincarnate(back: number): Promise<void> {
    const { cloud, node } = this;
    if (this.#moved) return;
    this.#moved = true;
    await meet(cloud, node);
    const old = node.log.incarnation;
    const end = node.log.histories.get(old)?.end ?? 0;
    const [key] = keys as [string];
    const life = node.log.stagedLife(key);
    for (let nth = 0; nth < back; nth += 1)
      await node.append(life === undefined ? said("a word") : reported(`${nth}`, life, "p0", key));
    await mergeAll(node, 300);
    await node.world.run(node.log.reincarnate(end));
    const opened = (incarnation: string, generation: number, previous: string | null): Promise<unknown> => {
      const body = { incarnation, generation, previous, end: previous === null ? 0 : end };
      return node.world.run(
        cloud.log.appended([{ type: "origin.opened", class: "audit", key: `origins/${incarnation}`, body }]),
      );
    };
    await opened(old, 1, null);
    await opened(node.log.incarnation, 2, old);
  }
}

t.test("at any cut, of any log, the index says what a walk says", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { minLength: 10, maxLength: 40 }),
      fc.array(fc.nat(), { minLength: 8, maxLength: 8 }),
      async (steps, picks) => {
        const world = new World();
        const macKey = new Uint8Array(32);
        const lives = new Lives(await Site.open(world, "cloud", { macKey }), await Site.open(world, "node"));
        for (const key of keys) await lives.cloud.append(applied({ spec: 0 }, undefined, key));
        await meet(lives.cloud, lives.node);
        for (const step of steps) await lives.step(step);
        for (const site of [lives.cloud, lives.node]) {
          const events = await site.events();
          await sameAsWalk(site.log, events, picks);
          await mergeAll(site, 500);
          await sameAsWalk(site.log, events, picks);
        }
      },
    ),
    { numRuns: 40, interruptAfterTimeLimit: 60_000 },
  );
});

async function longLog(reports: number): Promise<{ node: Site; life: EventId }> {
  const world = new World();
  const cloud = await Site.open(world, "cloud");
  const node = await Site.open(world, "node");
  const [key] = keys as [string];
  const [life] = (await cloud.append(applied({ spec: 0 }, undefined, key))) as [EventId];
  await meet(cloud, node);
  for (let nth = 0; nth < reports; nth += 1) {
    await node.append(...keys.map((other) => reported(`${nth}`, life, "p", other)));
    await world.pass(100);
  }
  return { node, life };
}

t.test("an answer reads no more of a long log than of a short one", async (t) => {
  const reads: number[] = [];
  for (const reports of [50, 400]) {
    const { node } = await longLog(reports);
    await mergeAll(node, 2000);
    let count = 0;
    const readOrigin = node.store.readOrigin.bind(node.store);
    node.store.readOrigin = (...asked): ReturnType<typeof readOrigin> => {
      count += 1;
      return readOrigin(...asked);
    };
    const events = await node.events();
    const picks = Array.from({ length: 16 }, (_, nth) => Math.floor(((nth + 0.5) * events.length) / 16));
    await sameAsWalk(node.log, events, picks);
    reads.push(count);
  }
  const [short = 0, long = 0] = reads;
  t.ok(short > 0 && long <= short * 1.5, `${short} reads, and ${long}`);
});

t.test("what the disk lost is named as a gap until it is there, and told of then", async (t) => {
  const world = new World();
  const cloud = await Site.open(world, "cloud", { macKey: new Uint8Array(32) });
  const node = await Site.open(world, "node");
  const [key] = keys as [string];
  const [life] = (await cloud.append(applied({ spec: 0 }, undefined, key))) as [EventId];
  await meet(cloud, node);
  for (const property of ["a", "b", "c", "d"]) await node.append(reported("1", life, property, key));
  await meet(cloud, node);
  const origin = node.log.incarnation;
  const gaps = async (): Promise<unknown> => decodeGaps(await cloud.store.get(gapsName(node1, origin)));
  cloud.disk.crash();
  cloud.disk.damage(node1, 3);
  await cloud.open();
  await mergeAll(cloud, 5000);
  t.same(await gaps(), [{ from: 2, to: 2 }]);
  const slots = async (): Promise<unknown> => {
    const events = await stateOfSide(cloud.log, key, "node", { origin, seq: 4 });
    return events.map(({ slot }) => slot?.slice(-1)).toSorted(byText);
  };
  t.same(await slots(), ["a", "c", "d"]);
  await meet(cloud, node);
  t.same(await slots(), ["a", "b", "c", "d"], "come again, it is scanned");
  await node.append(reported("2", life, "a", key), said("a word"));
  await meet(cloud, node);
  await mergeAll(cloud, 5000);
  t.same(await gaps(), []);
  t.same(await slots(), ["a", "b", "c", "d"], "and merged, it is in the entries after it");
});
