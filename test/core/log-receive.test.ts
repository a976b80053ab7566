import * as fc from "fast-check";
import t from "tap";
import { encodeEvent } from "../../core/codec.ts";
import type { Event, EventId, Incarnation } from "../../core/event.ts";
import { sideOf } from "../../core/event.ts";
import { type Segment, encodeSegment, zeroHash } from "../../core/segment.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { n1 } from "./drafts.ts";
import {
  Site,
  World,
  applied,
  deleted,
  desired,
  folded,
  meet,
  reported,
  said,
  ship,
  texts,
  thermo,
} from "./log-site.ts";

const never = (): void => {
  throw new Error("it was refused, and is not done");
};

async function segmentsOf(site: Site, origin = site.log.incarnation): Promise<Segment[]> {
  return site.log.readOrigin(origin, 1, 1e9);
}

/** A node with three segments of one event each, and a cloud that has none of them. */
async function apart(): Promise<{ cloud: Site; node: Site; segments: Segment[] }> {
  const world = new World();
  const cloud = await Site.open(world, "cloud");
  const node = await Site.open(world, "node");
  for (const text of ["a", "b", "c"]) await node.append(said(text));
  return { cloud, node, segments: await segmentsOf(node) };
}

t.test("a segment is done when it is durable here", async (t) => {
  const { cloud, segments } = await apart();
  const done: number[] = [];
  segments.forEach((segment) => cloud.log.receive(segment, () => done.push(segment.lo)));
  await cloud.world.pass(4);
  t.strictSame(done, []);
  await cloud.world.pass(1);
  t.strictSame(done, [1, 2, 3]);
  t.strictSame(texts(await cloud.events()), ["a", "b", "c"]);
  t.equal(cloud.store.batches.filter((batch) => batch.segments.length > 0).length, 1, "in one commit");
});

t.test(
  "what came in bulk is one block, what this side says itself is not, and both read as they were",
  async (t) => {
    const world = new World();
    const cloud = await Site.open(world, "cloud");
    const node = await Site.open(world, "node");
    const reports = Array.from({ length: 200 }, (_, nth) => `${nth}`);
    for (const text of reports) await node.append(said(text));
    const segments = await segmentsOf(node);
    const own = cloud.log.appended([said("own")]);
    let done = 0;
    for (const segment of segments) cloud.log.receive(segment, () => (done += 1));
    const again = reports.slice(0, 100).map((text) => cloud.log.appended([said(text)]));
    await world.run(Promise.all([own, ...again]));
    t.equal(done, segments.length);
    const shape = await cloud.store.shape(cloud.log.id);
    t.match(shape, { blocks: 1, blockEvents: 200, segments: 1, segmentEvents: 101 });
    for (const open of [async (): Promise<unknown> => undefined, (): Promise<unknown> => cloud.crash()]) {
      await open();
      t.strictSame(texts(await cloud.events()), [...reports, "own", ...reports.slice(0, 100)]);
      const held = await segmentsOf(cloud, node.log.incarnation);
      t.strictSame(
        held.map(({ bytes }) => Buffer.from(bytes).toString("hex")),
        segments.map(({ bytes }) => Buffer.from(bytes).toString("hex")),
      );
    }
  },
);

t.test("one that is held is done at once, and stored once", async (t) => {
  const { cloud, segments } = await apart();
  const [first] = segments as [Segment];
  const done: string[] = [];
  cloud.log.receive(first, () => done.push("first"));
  cloud.log.receive(first, () => done.push("again"));
  t.strictSame(done, [], "what is on its way to the disk is not durable");
  await cloud.world.pass(1);
  cloud.log.receive(first, () => done.push("in flight"));
  t.strictSame(done, []);
  await cloud.world.pass(4);
  t.strictSame(done, ["first", "again", "in flight"]);
  cloud.log.receive(first, () => done.push("held"));
  t.equal(done.at(-1), "held");
  await cloud.world.pass(10);
  t.strictSame(texts(await cloud.events()), ["a"]);
});

t.test("one after a gap is refused", async (t) => {
  const { cloud, segments } = await apart();
  const [first, second, third] = segments as [Segment, Segment, Segment];
  t.throws(() => cloud.log.receive(second, never), { code: "LOG_GAP", data: { expected: 1, got: 2 } });
  cloud.log.receive(first, () => undefined);
  t.throws(() => cloud.log.receive(third, never), { code: "LOG_GAP", data: { expected: 2, got: 3 } });
  cloud.log.receive(second, () => undefined);
  await cloud.world.pass(5);
  t.strictSame(texts(await cloud.events()), ["a", "b"]);
});

t.test("a segment whose events are not valid is refused whole", async (t) => {
  const { cloud, node } = await apart();
  const event = encodeEvent(said("a"), 7, 1);
  const draft = { origin: node.log.incarnation, lo: 1, seen: [], events: [event] };
  const { segment } = encodeSegment(draft, zeroHash, nodeDigest);
  t.throws(() => cloud.log.receive(segment, never), { code: "EVENT_INVALID" });
  t.strictSame([...cloud.log.histories.keys()], [cloud.log.incarnation]);
  for (const good of await segmentsOf(node)) cloud.log.receive(good, () => undefined);
  await cloud.world.pass(5);
  t.strictSame(texts(await cloud.events()), ["a", "b", "c"]);
});

t.test("past the end of a closed incarnation nothing is taken", async (t) => {
  const { cloud, node, segments } = await apart();
  const { incarnation } = node.log;
  const body = { incarnation: n1, generation: 2, previous: incarnation, end: 2 };
  await cloud.append({ type: "origin.opened", class: "audit", key: `origins/${n1}`, body });
  for (const restart of [false, true]) {
    if (restart) await cloud.restart();
    for (const segment of segments.slice(0, 2)) cloud.log.receive(segment, () => undefined);
    t.throws(() => cloud.log.receive(segments[2] as Segment, never), { code: "LOG_FORKED" });
    await cloud.world.pass(5);
  }
  t.strictSame(cloud.log.vector()[incarnation], 2);
});

t.test("its own live incarnation a side takes from nobody", async (t) => {
  const { node } = await apart();
  const events = [encodeEvent(said("d"), 4, 1)];
  const { segment } = encodeSegment(
    { origin: node.log.incarnation, lo: 4, seen: [], events },
    zeroHash,
    nodeDigest,
  );
  t.throws(() => node.log.receive(segment, never), { code: "LOG_FORKED" });
});

t.test("a cloud takes back what it can tell that it wrote", async (t) => {
  const macKey = Uint8Array.from({ length: 32 }, () => 7);
  const world = new World();
  const writer = await Site.open(world, "cloud", { macKey });
  for (const text of ["a", "b"]) await writer.append(said(text));
  const written = await segmentsOf(writer);
  const { incarnation } = writer.log;
  const forged = (key?: Uint8Array): Segment => {
    const events = [encodeEvent(said("forged"), 1, 1)];
    return encodeSegment({ origin: incarnation, lo: 1, seen: [], events }, zeroHash, nodeDigest, key).segment;
  };
  // A cloud that lost everything but its key.
  const cloud = await Site.open(world, "cloud", { macKey });
  t.throws(() => cloud.log.receive(forged(), never), { code: "AUTHORITY" }, "without a MAC");
  t.throws(
    () => cloud.log.receive(forged(new Uint8Array(32)), never),
    { code: "AUTHORITY" },
    "by another key",
  );
  for (const segment of written) cloud.log.receive(segment, () => undefined);
  await world.pass(5);
  t.strictSame(texts(await cloud.events()), ["a", "b"]);
  const keyless = await Site.open(world, "cloud");
  t.throws(
    () => keyless.log.receive(written[0] as Segment, never),
    { code: "AUTHORITY" },
    "nothing to tell it by",
  );
  const node = await Site.open(world, "node");
  for (const segment of written) node.log.receive(segment, () => undefined);
  await world.pass(5);
  t.strictSame(texts(await node.events()), ["a", "b"], "a node takes them as they come");
});

t.test("what a side may not author is kept, and not applied", async (t) => {
  const world = new World();
  const mayApply = (event: Event): boolean =>
    sideOf(event.origin) === "cloud" || event.type !== "device.state";
  const cloud = await Site.open(world, "cloud", { authority: { rules: "no states", mayApply } });
  const node = await Site.open(world, "node");
  const [life] = await cloud.append(applied());
  await meet(cloud, node);
  const state = { ...reported("on", life as EventId), type: "device.state", slot: "state" };
  await node.append(reported("20", life as EventId), state);
  await ship(node, cloud);
  const slots = (): unknown[] => [
    ...(cloud.log.registers.objects
      .get(thermo)
      ?.get(life as EventId)
      ?.slots.keys() ?? []),
  ];
  t.strictSame(slots(), ["spec", "reported/temperature"]);
  t.equal(cloud.log.unauthorised, 1);
  t.equal((await cloud.events()).length, 3, "it is kept");
  t.equal(cloud.log.vector()[node.log.incarnation], 2);
  await cloud.crash();
  t.strictSame(slots(), ["spec", "reported/temperature"], "nor when the log is read again");
  await node.append(reported("21", life as EventId));
  await ship(node, cloud);
  t.strictSame((await segmentsOf(cloud, node.log.incarnation)).length, 2);
});

t.test("peers' segments and own groups share batches, and keep their places", async (t) => {
  const { cloud, node, segments } = await apart();
  const own: string[] = [];
  for (const [index, segment] of segments.entries()) {
    cloud.log.append([said(`before ${index}`)], () => own.push(`before ${index}`));
    cloud.log.receive(segment, () => undefined);
    cloud.log.append([said(`after ${index}`)], () => own.push(`after ${index}`));
    if (index === 1) await cloud.world.pass(1);
  }
  await cloud.world.pass(20);
  t.strictSame(
    own,
    [0, 1, 2].flatMap((index) => [`before ${index}`, `after ${index}`]),
  );
  const events = await cloud.events();
  t.strictSame(
    events.map(({ position }) => position),
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  const ofOrigin = (origin: Incarnation): unknown[] =>
    texts(events.filter((event) => event.origin === origin));
  t.strictSame(ofOrigin(cloud.log.incarnation), own);
  t.strictSame(ofOrigin(node.log.incarnation), ["a", "b", "c"]);
  const { registers, position } = cloud.log;
  await cloud.crash();
  t.equal(cloud.log.position, position);
  t.equal(cloud.hash, folded(events));
  t.strictSame(await cloud.events(), events, "positions never change");
  t.ok(registers);
});

/** What a site does next. */
type Move = readonly [who: "cloud" | "node", what: number, value: number];

function act(site: Site, [who, what, value]: Move): void {
  const { log } = site;
  const life = log.stagedLife(thermo);
  if (who === "cloud" && (life === undefined || what === 0)) log.append([applied({ spec: value }, life)]);
  else if (life === undefined) return;
  else if (who === "cloud" && what === 1) log.append([deleted(life)]);
  else if (who === "node" && what < 4) log.append([reported(`${value}`, life, `p${value % 2}`)]);
  else log.append([desired(`${value}`, life, `p${value % 2}`), said(`${value}`)]);
}

t.test("two sides that meet now and then agree", async () => {
  const anyMove: fc.Arbitrary<Move> = fc.tuple(fc.constantFrom("cloud", "node"), fc.nat(6), fc.nat(20));
  const anyStep = fc.oneof(
    { weight: 5, arbitrary: anyMove },
    { weight: 1, arbitrary: fc.constantFrom("meet", "pass", "crash cloud", "crash node", "restart node") },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 40, size: "max" }), async (steps) => {
      const world = new World();
      const cloud = await Site.open(world, "cloud");
      const node = await Site.open(world, "node");
      for (const step of steps) {
        if (step === "meet") await meet(cloud, node);
        else if (step === "pass") await world.pass(3);
        else if (step === "crash cloud") await cloud.crash({ reached: 1 });
        else if (step === "crash node") await node.crash();
        else if (step === "restart node") await node.restart();
        else act(step[0] === "cloud" ? cloud : node, step);
      }
      await world.pass(20);
      await meet(cloud, node);
      if (cloud.hash !== node.hash) throw new Error("they differ");
      for (const site of [cloud, node]) {
        if (site.hash !== folded(await site.events()))
          throw new Error(`the ${site.side} is not what its log says`);
      }
      const [a, b] = [cloud, node].map(({ log }) =>
        [...log.histories]
          .map(([origin, { end, hash }]) => `${origin} ${end} ${Buffer.from(hash).toString("hex")}`)
          .sort()
          .filter((line) => !line.includes(" 0 ")),
      );
      if (String(a) !== String(b)) throw new Error("the chains differ");
    }),
    { numRuns: 60 },
  );
});
