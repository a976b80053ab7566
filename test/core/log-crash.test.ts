import * as fc from "fast-check";
import t from "tap";
import { pack } from "../../core/codec.ts";
import { checkpointPrefix, identityName } from "../../core/checkpoint.ts";
import { clockCorrected } from "../../core/clock.ts";
import type { Event, EventId } from "../../core/event.ts";
import type { Segment } from "../../core/segment.ts";
import type { CrashFate } from "../../core/store/memory.ts";
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
  thermo,
} from "./log-site.ts";

interface Append {
  readonly kind: "append";
  readonly count: number;
}

type Step =
  | Append
  | { readonly kind: "pass"; readonly ms: number }
  | { readonly kind: "crash"; readonly fate: CrashFate }
  | { readonly kind: "restart" };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("append" as const), count: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 7 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("crash" as const),
      fate: fc.record({
        reached: fc.nat(2),
        torn: fc.constantFrom("discarded" as const, "damaged" as const),
      }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
);

/** What must be in the log: all that was done, and perhaps more of what was appended, in order. */
class Model {
  appended: string[] = [];
  done = 0;
  #count = 0;

  append(site: Site, count: number): void {
    const life = site.log.stagedLife(thermo) as EventId;
    const values = Array.from({ length: count }, () => `${(this.#count += 1)}`);
    this.appended.push(...values);
    const end = this.appended.length;
    const drafts = values.map((value, index) =>
      index % 3 === 2 ? said(value) : desired(value, life, `p${index}`),
    );
    const { log } = site;
    log.append(drafts, (error) => {
      if (error === undefined && log === site.log) this.done = Math.max(this.done, end);
    });
  }

  async check(site: Site): Promise<void> {
    const events = (await site.events()).slice(1);
    const values = events.map(({ body }) => String((Array.isArray(body) ? body : [body])[0]));
    const same = values.every((value, index) => value === this.appended[index]);
    if (!same) throw new Error(`the log says ${values.join()}, appended were ${this.appended.join()}`);
    if (values.length < this.done) throw new Error(`${this.done} were done, and ${values.length} are there`);
    const dense = events.every(({ seq }, index) => seq === index + 2);
    if (!dense) throw new Error(`the sequences are ${events.map(({ seq }) => seq).join()}`);
    const ascending = events.every(({ position }, index) => position > (events[index - 1]?.position ?? 0));
    if (!ascending) throw new Error("positions are out of order");
    if (site.hash !== folded(await site.events())) throw new Error("the state is not what the log says");
    this.appended = values;
    this.done = values.length;
  }
}

t.test(
  "whatever crashes, what was done is there, in order, once, and the state is what the log says",
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyStep, { maxLength: 40, size: "max" }),
        fc.integer({ min: 1, max: 12 }),
        async (steps, checkpointEvery) => {
          const world = new World();
          const site = await Site.open(world, "cloud", { checkpointEvery });
          await site.append(applied());
          const model = new Model();
          for (const step of steps) {
            if (step.kind === "append") model.append(site, step.count);
            else if (step.kind === "pass") await world.pass(step.ms);
            else if (step.kind === "crash") await site.crash(step.fate);
            else await site.restart();
            if (step.kind === "crash" || step.kind === "restart") await model.check(site);
          }
          await world.pass(20);
          await model.check(site);
        },
      ),
      { numRuns: 150 },
    );
  },
);

t.test("a commit that survived its crash, unheard, is there; one that did not is not", async (t) => {
  for (const [fate, expected] of [
    [{ reached: 1 }, ["a", "b"]],
    [{}, ["a"]],
    [{ torn: "discarded" }, ["a"]],
    [{ torn: "damaged" }, ["a"]],
  ] as const) {
    const node = await Site.open(new World(), "node");
    await node.append(said("a"));
    node.log.append([said("b")], () => t.fail("the process is dead"));
    await node.world.pass(1);
    const { incarnation } = node.log;
    await node.crash(fate);
    t.equal(node.log.incarnation, incarnation);
    t.strictSame(texts(await node.events()), expected);
    await node.append(said("c"));
    const events = await node.events();
    t.strictSame(texts(events), [...expected, "c"]);
    t.strictSame(
      events.map(({ seq }) => seq),
      events.map((_, index) => index + 1),
    );
    await node.crash();
    t.strictSame(await node.events(), events, "and stays so");
  }
});

/** A cloud and a node that have met many times, with a checkpoint every ten events. */
async function talked(): Promise<{ cloud: Site; node: Site }> {
  const world = new World();
  const cloud = await Site.open(world, "cloud", { checkpointEvery: 10 });
  const node = await Site.open(world, "node", { checkpointEvery: 10 });
  const [life] = (await cloud.append(applied())) as [EventId];
  for (let round = 0; round < 12; round += 1) {
    await cloud.append(desired(`${round}`, life, `p${round % 3}`));
    await meet(cloud, node);
    await node.append(reported(`${round}`, life, `p${round % 3}`), said(`${round}`));
    await meet(cloud, node);
  }
  return { cloud, node };
}

t.test("checkpoints", async (t) => {
  const checkpoints = (site: Site): Promise<string[]> => site.store.names(checkpointPrefix(node1));

  t.test("two are kept, and the newest is where the log is read from", async (t) => {
    const { node } = await talked();
    t.equal((await checkpoints(node)).length, 2);
    const before = await node.events();
    const { position, hash } = { position: node.log.position, hash: node.hash };
    await node.stop();
    const lines = node.world.lines.length;
    await node.open();
    t.equal((await checkpoints(node)).length, 2);
    t.strictSame([node.log.position, node.hash], [position, hash]);
    t.equal(node.hash, folded(before));
    t.equal(node.world.lines.length, lines, "nothing to complain of");
    const newest = (await checkpoints(node)).at(-1)?.slice(checkpointPrefix(node1).length) ?? "";
    t.equal(Number.parseInt(newest, 16), position, "one is written when the log closes");
    t.strictSame(node.store.reads, [position + 1]);
  });

  t.test("the log opens the same from the newest, an older one, or none", async (t) => {
    for (const spoil of ["none", "newest", "all"]) {
      const { cloud, node } = await talked();
      const names = await checkpoints(node);
      for (const name of spoil === "all" ? names : names.slice(spoil === "newest" ? -1 : 2)) {
        node.committer.put(name, Uint8Array.of(0x93, 1, 2));
      }
      await node.append(said("last"));
      const expected = {
        hash: node.hash,
        vector: node.log.vector(),
        position: node.log.position,
        incarnation: node.log.incarnation,
      };
      await node.crash();
      const { log } = node;
      t.strictSame(
        { hash: node.hash, vector: log.vector(), position: log.position, incarnation: log.incarnation },
        expected,
        spoil,
      );
      t.strictSame(log.problems, []);
      const complaints = node.world.lines.filter(
        ({ fields }) => fields["code"] === "SNAPSHOT_INVALID",
      ).length;
      t.equal(complaints, spoil === "all" ? names.length : spoil === "newest" ? 1 : 0, spoil);
      await node.append(said("more"));
      await meet(cloud, node);
      t.equal(cloud.hash, node.hash);
      const heads = [...log.histories.values()].map(({ origin, hash }) => [
        origin,
        Buffer.from(hash).toString("hex"),
      ]);
      for (const [origin, hash] of heads) {
        const theirs = cloud.log.histories.get(origin as Event["origin"])?.hash ?? new Uint8Array();
        t.equal(Buffer.from(theirs).toString("hex"), hash);
      }
    }
  });

  t.test("one says only what is durable, whatever is in flight", async (t) => {
    const world = new World();
    const node = await Site.open(world, "node", { checkpointEvery: 1 });
    for (let index = 0; index < 30; index += 1) {
      node.log.append([said(`${index}`)]);
      await world.pass(index % 4);
      if (index % 7 !== 6) continue;
      await node.crash();
      t.equal(node.hash, folded(await node.events()));
      t.equal(node.log.vector()[node.log.incarnation] ?? 0, (await node.events()).length);
    }
  });
});

t.test("a checkpoint that is written while the peer's segments wait for the disk", async (t) => {
  for (const ms of [0, 1, 4, 5, 6, 9, 10, 11, 20]) {
    const world = new World();
    const node = await Site.open(world, "node");
    const cloud = await Site.open(world, "cloud", { checkpointEvery: 1 });
    const [life] = (await cloud.append(applied())) as [EventId];
    await meet(cloud, node);
    for (const value of ["1", "2", "3", "4"]) await node.append(reported(value, life));
    const segments = await node.log.readOrigin(node.log.incarnation, 1, 1e6);
    for (const segment of segments) {
      cloud.log.receive(segment, () => undefined);
      await world.pass(1);
    }
    cloud.log.append([said("own")]);
    await world.pass(ms);
    await cloud.crash();
    t.equal(cloud.hash, folded(await cloud.events()), `after ${ms} ms`);
    await meet(cloud, node);
    t.equal(cloud.hash, node.hash);
    t.equal(cloud.log.vector()[node.log.incarnation], 4);
  }
});

t.test("a log that lost its name takes a new one, and keeps what it holds", async (t) => {
  const { cloud, node } = await talked();
  const old = node.log.incarnation;
  const count = (await node.events()).length;
  for (const bytes of [undefined, Uint8Array.of(1, 2, 3), pack([1, "no incarnation", [], null]), pack({})]) {
    const before = node.log.incarnation;
    node.committer.put(identityName(node1), bytes);
    await node.world.run(node.committer.flush());
    await node.crash();
    t.not(node.log.incarnation, before);
  }
  t.equal((await node.events()).length, count);
  t.equal(node.hash, cloud.hash);
  const [id] = await node.append(said("more"));
  t.equal(id, `${node.log.incarnation}/1`);
  t.ok(node.log.vector()[old]);
});

t.test("what a newer version wrote is not opened", async (t) => {
  const { node } = await talked();
  node.committer.put(identityName(node1), pack([2, node.log.incarnation, [], null]));
  await node.world.run(node.committer.flush());
  node.disk.crash();
  await t.rejects(node.open(), { code: "FORMAT_NEWER" });
});

t.test("a peer's wrong clock is not taken for the own one", async (t) => {
  const world = new World();
  const cloud = await Site.open(world, "cloud");
  world.wallMs += 70 * 365 * 24 * 3600 * 1000;
  const node = await Site.open(world, "node");
  await node.append(said("from the future"));
  world.wallMs -= 70 * 365 * 24 * 3600 * 1000;
  const [segment] = (await node.log.readOrigin(node.log.incarnation, 1, 1e6)) as [Segment];
  cloud.log.receive(segment, () => undefined);
  await world.pass(10);
  await cloud.crash();
  await cloud.append(said("now"));
  const events = await cloud.events();
  t.strictSame(
    events.map(({ type }) => type),
    ["message.said", "message.said"],
  );
  t.ok(Math.abs((events[1]?.time ?? 0) - world.wallMs) <= 60_000);
  await ship(cloud, node);
});

const hourMs = 3_600_000;

/** What a log says of the time when it opens again after its clock, which had been an hour ahead, was put right. */
async function putRight(site: Site, end: "crash" | "restart"): Promise<string[]> {
  const { world, log } = site;
  world.wallMs -= hourMs;
  await site[end]();
  await site.append(said("now"));
  const own = (await site.events()).filter(({ origin }) => origin === log.incarnation);
  own.sort((a, b) => a.seq - b.seq);
  return own.slice(-2).map(({ type }) => type);
}

for (const end of ["crash", "restart"] as const) {
  t.test(`what comes back of an older incarnation does not say what time it was: ${end}`, async (t) => {
    const macKey = Uint8Array.from({ length: 32 }, () => 7);
    const world = new World();
    const before = await Site.open(world, "cloud", { macKey });
    await before.append(said("before"));
    // A cloud that lost everything but its key.
    const cloud = await Site.open(world, "cloud", { macKey });
    world.wallMs += hourMs;
    await cloud.append(said("ahead"));
    // A snapshot says how far the incarnation had come.
    await cloud.restart();
    await ship(before, cloud);
    t.strictSame(texts(await cloud.events()), ["ahead", "before"]);
    t.strictSame(await putRight(cloud, end), [clockCorrected, "message.said"]);
  });

  t.test(`nor does what comes back for a hole: ${end}`, async (t) => {
    const world = new World();
    const cloud = await Site.open(world, "cloud");
    const node = await Site.open(world, "node");
    await node.append(said("1"));
    await node.append(said("2"));
    await ship(node, cloud);
    node.disk.lose(node1, 1);
    await node.crash();
    world.wallMs += hourMs;
    await node.append(said("ahead"));
    const [lost] = (await cloud.log.readOrigin(node.log.incarnation, 1, 1)) as [Segment];
    node.log.receive(lost, () => undefined);
    await world.pass(20);
    t.strictSame(texts(await node.events()), ["2", "ahead", "1"]);
    t.strictSame(await putRight(node, end), [clockCorrected, "message.said"]);
  });
}

t.test("under a new name, a board in 1970 goes on after what it wrote under the old one", async (t) => {
  const { node } = await talked();
  const [before] = (await node.events()).slice(-1) as [Event];
  node.committer.put(identityName(node1), undefined);
  await node.world.run(node.committer.flush());
  node.world.wallMs = 2000;
  await node.crash();
  await node.append(said("unset"));
  const [after] = (await node.events()).slice(-1) as [Event];
  t.not(after.origin, before.origin);
  t.ok(after.time > before.time);
});
