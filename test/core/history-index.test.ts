/** The index says what a walk over the whole log says, whatever is merged of it, and when. */
import * as fc from "fast-check";
import t from "tap";
import type { EventId } from "../../core/event.ts";
import { anyHistoryPrefix, decodeGaps, gapsName, spanPrefix } from "../../core/history-entries.ts";
import { stateOfSide } from "../../core/history-read.ts";
import { type Action, Lives, forgetting, living, mergeAll } from "./history-lives.ts";
import { byText, keys, sameAsWalk } from "./history-walk.ts";
import { Site, World, applied, desired, meet, node1, reported, said, ship } from "./log-site.ts";

async function holds(steps: readonly Action[], picks: readonly number[]): Promise<number> {
  const lives = await Lives.begin();
  for (const step of steps) await lives.step(step);
  return lives.check(picks);
}

t.test("at any cut, of any log, the index says what a walk says", async () => {
  await fc.assert(
    fc.asyncProperty(living, async ([steps, picks]) => {
      await holds(steps, picks);
    }),
    { numRuns: 40, interruptAfterTimeLimit: 60_000 },
  );
});

t.test("of what is compacted too, from when on the past is whole", async (t) => {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(forgetting, async ([steps, picks]) => {
      compared += await holds(steps, picks);
    }),
    { numRuns: 40, interruptAfterTimeLimit: 60_000 },
  );
  t.ok(compared > 0);
});

t.test(
  "where the correction of a clock is lost, what comes after the hole has times of its own",
  async (t) => {
    const report: Action = { do: "report", key: 0, slot: 0, count: 3 };
    const steps: Action[] = [report, { do: "jump", ms: -60_001 }, report, { do: "lose", at: 4 }];
    t.equal(await holds(steps, [0, 1, 4, 5, 6, 7, 8, 9, 10]), 4 * 9);
    // So found first: what the node did is merged, and appended again by another incarnation.
    const again: Action[] = [
      { do: "reincarnate", back: 4 },
      { do: "jump", ms: -60_001 },
      { do: "merge", node: true, bytes: 200 },
      { do: "say", node: false },
      { do: "delete", key: 0 },
      report,
      { do: "lose", at: 1_320_722_828 },
    ];
    t.equal(await holds(again, [0, 1_342_136_888]), 4 * 2);
  },
);

t.test("what was lost twice is not there again", async (t) => {
  const lose: Action = { do: "lose", at: 0 };
  const report: Action = { do: "report", key: 0, slot: 0, count: 0 };
  t.equal(await holds([report, lose, lose, { ...lose, at: 1 }, report], [0, 3, 4, 5]), 4 * 4);
});

const compacted = {
  do: "compact",
  age: 0,
  all: true,
  acked: true,
  undelivered: false,
  runBytes: 300,
  prune: true,
} as const;
const everywhere = Array.from({ length: 90 }, (_, nth) => nth);

t.test("the last that is past retention stays, though it says nothing: it tells since when", async (t) => {
  const report: Action = { do: "report", key: 0, slot: 0, count: 0 };
  const steps: Action[] = [
    report,
    { do: "say", node: true },
    { do: "meet" },
    { do: "reincarnate", back: 0 },
    { ...compacted, node: false },
    { do: "meet" },
    report,
  ];
  t.ok((await holds(steps, everywhere)) > 0);
});

t.test("what the end of a life made void stays, until its origin's past begins after that end", async (t) => {
  const lives = await Lives.begin();
  const steps: Action[] = [
    { do: "report", key: 0, slot: 0, count: 9 },
    { do: "report", key: 0, slot: 1, count: 9 },
    { do: "pass", ms: 100 },
    { do: "delete", key: 0 },
    ...[1, 2].flatMap((key) => [0, 1, 2].map((slot): Action => ({ do: "desire", key, slot }))),
  ];
  for (const step of steps) await lives.step(step);
  const key = keys[1] as string;
  const life = lives.cloud.log.stagedLife(key) as EventId;
  // Nothing is forgotten but what is before a snapshot.
  for (const property of ["one", "two"]) {
    await lives.cloud.append(desired("1", life, property, key));
    await ship(lives.cloud, lives.node);
    await lives.node.restart();
  }
  await lives.step({ ...compacted, node: true });
  // What it has just said, it would give from memory.
  await lives.node.restart();
  await lives.step({ do: "meet" });
  t.ok((await lives.cloud.events()).length < (await lives.heldBy(lives.cloud)).length);
  t.ok((await lives.check(everywhere)) > 0);
});

t.test("where something is kept, that the index does not tell of, is not forgotten", async (t) => {
  const steps: Action[] = [
    { do: "report", key: 0, slot: 0, count: 9 },
    { do: "meet" },
    { ...compacted, node: false, prune: false },
    { do: "report", key: 1, slot: 0, count: 9 },
    { do: "meet" },
    { do: "merge", node: false, bytes: 300 },
    { do: "report", key: 1, slot: 0, count: 9 },
    { do: "report", key: 1, slot: 0, count: 9 },
    { do: "meet" },
    { ...compacted, node: false },
  ];
  t.ok((await holds(steps, everywhere)) > 0);
});

t.test("what was let go is no gap of the index, and what it tells of a forgotten past goes", async (t) => {
  const lives = await Lives.begin();
  const { cloud, node } = lives;
  const { incarnation: origin } = node.log;
  const reports: Action[] = [0, 1, 2].map((key) => ({ do: "report", key, slot: 0, count: 9 }));
  const live = async (...steps: Action[]): Promise<void> => {
    for (const step of steps) await lives.step(step);
  };
  const names = async (): Promise<number> => {
    const found = await cloud.store.names(anyHistoryPrefix(node1));
    return found.length + (await cloud.store.names(spanPrefix(node1, origin))).length;
  };
  await live(...reports, { ...compacted, node: true }, ...reports);
  // What it has just said, it would give from memory.
  await node.restart();
  await live({ do: "meet" }, { do: "merge", node: false, bytes: 500 });
  t.ok((await cloud.events()).length < (await lives.heldBy(cloud)).length);
  t.equal(await cloud.store.get(gapsName(node1, origin)), undefined);
  await live(...reports, ...reports, { do: "meet" }, { do: "merge", node: false, bytes: 500 });
  const before = await names();
  await live({ ...compacted, node: false, all: false, prune: false });
  t.equal(await names(), before);
  await live({ ...compacted, node: false, all: false });
  t.ok((await names()) < before, `${await names()} of ${before}`);
  t.ok((await lives.check(everywhere)) > 0);
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
