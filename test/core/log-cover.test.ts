/** A log that gets covers from its peer: its vector goes across them, and what they keep is all that it lacks. */
import t from "tap";
import { Survey, coverOf, isKept } from "../../core/compaction.ts";
import { encodeCover } from "../../core/cover.ts";
import type { EventId, Incarnation } from "../../core/event.ts";
import { Outbox } from "../../core/reactor.ts";
import { verifyLog } from "../../core/log-verify.ts";
import { type Segment, hex, lastOf, zeroHash } from "../../core/segment.ts";
import { nodeDigest as digest } from "../../core/store/node-digest.ts";
import {
  Site,
  World,
  applied,
  desired,
  folded,
  meet,
  node1,
  reported,
  said,
  ship,
  texts,
} from "./log-site.ts";

const never = (): void => {
  throw new Error("it was refused, and is not done");
};

/** One cover of an origin's segments from `lo` to `to`, with nothing protected. */
async function cover(site: Site, origin: Incarnation, to: number, lo = 1): Promise<Segment> {
  const segments = await site.log.readOrigin(origin, lo, 1e9);
  const covered = segments.filter((segment) => lastOf(segment) <= to);
  const survey = new Survey();
  for (const event of await site.events()) survey.note(event, event.time);
  const hashBefore = (await site.log.hashAt(origin, lo - 1)) ?? zeroHash;
  return coverOf(
    covered.map((segment) => ({ segment, position: segment.lo, arrived: 0 })),
    {
      reason: "compaction",
      hashBefore,
      digest,
      replacedUpTo: (await site.events()).filter((event) => event.origin === origin).at(-1)?.seq,
      keeps: ({ event }) => isKept(event, survey),
    },
  );
}

/** A node with ten segments of two events, of which four slots hold the latest; a cloud that holds `shared` of them. */
async function apart(
  shared: number,
): Promise<{ cloud: Site; node: Site; origin: Incarnation; life: EventId }> {
  const world = new World();
  const cloud = await Site.open(world, "cloud");
  const node = await Site.open(world, "node");
  const [life] = (await cloud.append(applied())) as [EventId];
  await meet(cloud, node);
  for (let value = 1; value <= 20; value += 2) {
    if (value === shared + 1) await meet(node, cloud);
    await node.append(reported(`${value}`, life, `p${value % 4}`), said(`${value + 1}`));
  }
  return { cloud, node, origin: node.log.incarnation, life };
}

async function take(site: Site, ...segments: Segment[]): Promise<void> {
  let done = 0;
  for (const segment of segments) site.log.receive(segment, () => (done += 1));
  await site.world.pass(20);
  if (done !== segments.length) throw new Error("not all that was sent became durable");
}

async function numbers(site: Site, origin: Incarnation): Promise<number[]> {
  return (await site.events()).filter((event) => event.origin === origin).map(({ seq }) => seq);
}

function held(site: Site, origin: Incarnation): unknown {
  const { end, hash, hole, beyond } = site.log.histories.get(origin) ?? {};
  return { end, hash: hex(hash ?? zeroHash), hole, beyond };
}

t.test("its vector goes across it, and the state is the same as the peer's", async (t) => {
  const { cloud, node, origin } = await apart(0);
  await take(cloud, await cover(node, origin, 20));
  const check = async (): Promise<void> => {
    t.equal(cloud.log.vector()[origin], 20);
    t.strictSame(held(cloud, origin), held(node, origin));
    t.strictSame(await numbers(cloud, origin), [17, 19, 20]);
    t.strictSame(
      (await cloud.events()).map(({ position }) => position),
      [1, 18, 20, 21],
      "a place for each sequence, kept or not",
    );
    t.equal(cloud.log.position, 21);
    t.equal(cloud.hash, node.hash);
    t.strictSame(cloud.log.problems, []);
    t.strictSame(await cloud.log.hashAt(origin, 20), await node.log.hashAt(origin, 20));
    t.equal(await cloud.log.hashAt(origin, 10), undefined, "no commit's end is known inside it");
    t.strictSame(
      (await cloud.log.boundaries(origin, 0, 20, 9)).map(({ seq }) => seq),
      [20],
    );
    t.equal((await cloud.log.eventAt(origin, 19))?.seq, 19);
    t.equal(await cloud.log.eventAt(origin, 18), undefined);
    t.match((await verifyLog(cloud.log)).result, { problems: [], events: 4, position: 21 });
  };
  await check();
  await cloud.append(said("mine"));
  t.strictSame((await cloud.events()).at(-1)?.seen, [{ origin, seq: 20 }], "all of it was seen");
  await cloud.crash();
  t.equal(cloud.log.vector()[origin], 20);
  await node.append(said("21"));
  await ship(node, cloud);
  t.strictSame(held(cloud, origin), held(node, origin));
  t.strictSame(texts(await cloud.events()).slice(-2), ["mine", "21"]);
});

t.test("it says from where on the past is whole, though what replaced the rest comes after it", async (t) => {
  const { cloud, node, origin } = await apart(4);
  // Of the four slots, what is said last of each is in the last two commits.
  await take(cloud, await cover(node, origin, 12));
  for (const again of ["running", "crashed", "stopped"]) {
    if (again === "crashed") await cloud.crash();
    if (again === "stopped") await cloud.restart();
    const { thin, wholeFrom } = cloud.log.histories.get(origin) ?? {};
    t.strictSame([thin, wholeFrom], [[{ from: 5, to: 20 }], 0], again);
  }
  const fresh = await Site.open(cloud.world, "cloud");
  await take(fresh, await cover(node, origin, 12));
  t.equal(fresh.log.histories.get(origin)?.wholeFrom, 20, "with nothing before it, that is forgotten");
});

t.test("of one that begins inside what is held, what lies above is taken", async (t) => {
  for (const shared of [4, 10, 18]) {
    const { cloud, node, origin } = await apart(shared);
    const whole = await cover(node, origin, 20);
    await take(cloud, whole, whole);
    for (const again of ["running", "crashed", "stopped"]) {
      if (again === "crashed") await cloud.crash();
      if (again === "stopped") await cloud.restart();
      t.strictSame(held(cloud, origin), held(node, origin), again);
      t.strictSame(await numbers(cloud, origin), [
        ...Array.from({ length: shared }, (_, n) => n + 1),
        ...(shared < 17 ? [17] : []),
        19,
        20,
      ]);
      t.equal(cloud.hash, node.hash);
      t.equal(folded(await cloud.events()), node.hash);
      t.strictSame(cloud.log.problems, []);
      t.ok(await cloud.log.hashAt(origin, shared), "what was held stays as it was");
    }
    await take(cloud, whole);
    t.strictSame(
      (await numbers(cloud, origin)).length,
      shared + (shared < 17 ? 3 : 2),
      "a duplicate changes nothing",
    );
  }
});

t.test("one after a gap is refused, and one that follows something else", async (t) => {
  const { cloud, node, origin } = await apart(4);
  const late = await cover(node, origin, 20, 7);
  t.throws(() => cloud.log.receive(late, never), { code: "LOG_GAP", data: { expected: 5, got: 7 } });
  const next = await cover(node, origin, 20, 5);
  const draft = { origin, lo: 5, to: 20, reason: "compaction", hashAfter: zeroHash, kept: [] } as const;
  const other = encodeCover({ ...draft, hashBefore: zeroHash }, digest);
  t.throws(() => cloud.log.receive(other, never), { code: "SEGMENT_CORRUPT" });
  await take(cloud, next);
  t.strictSame(held(cloud, origin), held(node, origin));
});

t.test("one that keeps nothing is passed by those who follow", async (t) => {
  const { cloud, node, origin } = await apart(0);
  const segments = await node.log.readOrigin(origin, 1, 1e9);
  const [last] = segments.slice(-1) as [Segment];
  const hashAfter = (await node.log.hashAt(origin, 18)) ?? zeroHash;
  const draft = {
    origin,
    lo: 1,
    to: 18,
    reason: "retention",
    hashBefore: zeroHash,
    hashAfter,
    kept: [],
  } as const;
  const acted: unknown[] = [];
  const { committer, world } = cloud;
  const outbox = new Outbox({
    name: "deltas",
    replica: cloud.log,
    committer,
    environment: world.environment,
    act: (events) => void acted.push(...texts(events)),
  });
  await outbox.open();
  await take(cloud, encodeCover(draft, digest));
  t.equal(cloud.log.position, 19);
  t.equal(outbox.cursor, 19);
  await take(cloud, last);
  t.strictSame(acted.slice(1), [["19"], "20"]);
  t.equal(outbox.cursor, 21);
  await cloud.crash();
  t.strictSame(held(cloud, origin), held(node, origin));
});

t.test("it goes on to others as it came", async (t) => {
  const { cloud, node, origin } = await apart(4);
  await take(cloud, await cover(node, origin, 20));
  await node.append(said("21"));
  await ship(node, cloud);
  const third = await Site.open(cloud.world, "node");
  await ship(cloud, third);
  t.strictSame(held(third, origin), held(node, origin));
  t.strictSame(await numbers(third, origin), [1, 2, 3, 4, 17, 19, 20, 21]);
  t.equal(third.hash, node.hash);
});

t.test("a hole is filled by one, and what lies past it stays", async (t) => {
  for (const to of [6, 12, 20]) {
    for (const lo of [1, 5]) {
      const { cloud, node, origin } = await apart(20);
      await meet(node, cloud);
      cloud.disk.lose(node1, 6);
      await cloud.crash();
      t.match(held(cloud, origin), { end: 4, hole: { from: 5, to: 6 } });
      await take(cloud, await cover(node, origin, to, lo));
      await cloud.world.run(cloud.log.settled());
      for (const again of ["running", "crashed", "stopped"]) {
        if (again === "crashed") await cloud.crash();
        if (again === "stopped") await cloud.restart();
        t.strictSame(held(cloud, origin), held(node, origin), `${lo} to ${to}, ${again}`);
        t.strictSame(cloud.log.problems, []);
        t.equal(cloud.hash, node.hash);
        const segments = await cloud.log.readOrigin(origin, 1, 1e9);
        t.strictSame(
          segments.slice(1).map((segment) => segment.lo - 1),
          segments.slice(0, -1).map(lastOf),
          "one after the other",
        );
      }
      const third = await Site.open(cloud.world, "node");
      await ship(cloud, third);
      t.strictSame(held(third, origin), held(node, origin));
      t.equal(third.hash, node.hash);
    }
  }
});

t.test("one that is damaged is a hole, and comes again", async (t) => {
  const { cloud, node, origin } = await apart(4);
  const next = await cover(node, origin, 18, 5);
  await take(cloud, next);
  await ship(node, cloud);
  const [stored] = cloud.store.batches.flatMap(({ segments }) => segments).filter(({ lo }) => lo === 5);
  cloud.disk.damage(node1, stored?.position ?? 0);
  await cloud.crash();
  t.match(held(cloud, origin), { end: 4, hole: { from: 5, to: 18 }, beyond: [{ from: 19, to: 20 }] });
  await take(cloud, next);
  await cloud.world.run(cloud.log.settled());
  t.strictSame(held(cloud, origin), held(node, origin));
  t.equal(cloud.hash, node.hash);
});

t.test("one for a hole may end inside another that lies past it", async (t) => {
  const { cloud, node, origin } = await apart(4);
  await take(cloud, await cover(node, origin, 18, 5));
  await ship(node, cloud);
  cloud.disk.lose(node1, 4);
  await cloud.crash();
  t.match(held(cloud, origin), { end: 2, hole: { from: 3, to: 4 }, beyond: [{ from: 5, to: 20 }] });
  await take(cloud, await cover(node, origin, 8));
  await cloud.world.run(cloud.log.settled());
  for (const again of ["running", "crashed"]) {
    if (again === "crashed") await cloud.crash();
    t.strictSame(held(cloud, origin), held(node, origin), again);
    t.equal(cloud.hash, node.hash);
  }
});

t.test("a side gets back in one what its own disk lost, and nothing past what it wrote", async (t) => {
  const { cloud, node, origin } = await apart(20);
  await meet(node, cloud);
  const covered = await cover(cloud, origin, 12);
  const draft = { origin, lo: 5, to: 22, reason: "compaction", kept: [], hashAfter: zeroHash } as const;
  const whole = held(node, origin);
  node.disk.lose(node1, 6);
  await node.crash();
  const hashBefore = node.log.histories.get(origin)?.hash ?? zeroHash;
  t.throws(() => node.log.receive(encodeCover({ ...draft, hashBefore }, digest), never), {
    code: "LOG_FORKED",
  });
  await take(node, covered);
  await node.world.run(node.log.settled());
  t.strictSame(held(node, origin), whole);
  t.equal(node.hash, cloud.hash);
  await node.append(said("21"));
  await ship(node, cloud);
  t.strictSame(held(cloud, origin), held(node, origin));
});

t.test("one on the disk that does not follow what is before it is reported", async (t) => {
  const { cloud, origin } = await apart(4);
  const draft = { origin, lo: 5, to: 8, reason: "compaction", kept: [], hashAfter: zeroHash } as const;
  const segment = encodeCover({ ...draft, hashBefore: zeroHash }, digest).bytes;
  const stored = { log: node1, origin, lo: 5, count: 4, position: 6, arrived: 0, segment };
  await cloud.world.run(cloud.store.commit({ segments: [stored] }));
  await cloud.crash();
  t.strictSame(cloud.log.problems, [{ code: "SEGMENT_CORRUPT", origin, from: 5, to: 8 }]);
  t.match(held(cloud, origin), { end: 4 });
});

t.test("a cloud takes none of its own: what it wrote can't be told any more", async (t) => {
  const macKey = Uint8Array.from({ length: 32 }, () => 5);
  const world = new World();
  const cloud = await Site.open(world, "cloud", { macKey });
  const node = await Site.open(world, "node");
  const [life] = (await cloud.append(applied())) as [EventId];
  await cloud.append(desired("1", life));
  await meet(cloud, node);
  const { incarnation: origin } = cloud.log;
  const covered = await cover(node, origin, 2);
  const bare = await Site.open(world, "cloud", { macKey });
  t.throws(() => bare.log.receive(covered, never), { code: "AUTHORITY", data: { origin } });
  await ship(node, bare);
  t.equal(bare.log.vector()[origin], 2, "commits it takes");
});
