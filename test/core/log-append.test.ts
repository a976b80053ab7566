import t from "tap";
import type { TidemarkError } from "../../core/errors.ts";
import { type Event, type EventId, eventId } from "../../core/event.ts";
import { Log } from "../../core/log.ts";
import { waitingBytesMax } from "../../core/log-status.ts";
import { maxSegmentEvents } from "../../core/segment.ts";
import { currentLife } from "../../core/registers.ts";
import {
  Site,
  World,
  applied,
  deleted,
  desired,
  meet,
  reported,
  said,
  ship,
  texts,
  thermo,
} from "./log-site.ts";

/** A cloud and a node that both know the thermometer. */
async function pair(world = new World()): Promise<{ cloud: Site; node: Site; life: EventId }> {
  const cloud = await Site.open(world, "cloud");
  const node = await Site.open(world, "node");
  const [life] = await cloud.append(applied());
  await meet(cloud, node);
  return { cloud, node, life: life as EventId };
}

t.test("ids are given at once, and are dense", async (t) => {
  const node = await Site.open(new World(), "node");
  const { incarnation } = node.log;
  t.strictSame(node.log.append([said("a"), said("b")]), [eventId(incarnation, 1), eventId(incarnation, 2)]);
  t.strictSame(node.log.append([said("c")]), [eventId(incarnation, 3)]);
  t.strictSame(await node.append(said("d")), [eventId(incarnation, 4)]);
  const events = await node.events();
  t.strictSame(texts(events), ["a", "b", "c", "d"]);
  t.strictSame(
    events.map(({ position }) => position),
    [1, 2, 3, 4],
  );
  t.strictSame(node.log.vector(), { [incarnation]: 4 });
});

t.test("an append is done when it is durable, and visible then", async (t) => {
  const { node, life } = await pair();
  const { world } = node;
  let isDone = false;
  const told: number[] = [];
  node.log.onVisible((events) => {
    t.notOk(isDone, "visible before it is said to be done");
    told.push(...events.map(({ seq }) => seq));
  });
  node.log.append([reported("20", life)], () => {
    isDone = true;
    t.ok(node.log.registers.objects.get(thermo)?.get(life)?.slots.has("reported/temperature"));
    t.equal(node.disk.unsynced, 0);
  });
  await world.pass(4);
  t.notOk(isDone);
  t.equal(node.disk.unsynced, 1);
  t.strictSame(told, []);
  t.notOk(node.log.registers.objects.get(thermo)?.get(life)?.slots.has("reported/temperature"));
  await world.pass(1);
  t.ok(isDone);
  t.strictSame(told, [1]);
});

t.test("all that is appended while a sync is in flight is one segment of one commit", async (t) => {
  const node = await Site.open(new World(), "node");
  await node.append(said("first"));
  node.store.batches.length = 0;
  const done: string[] = [];
  node.log.append([said("a")], () => done.push("a"));
  await node.world.pass(1);
  for (const text of ["b", "c", "d"]) node.log.append([said(text)], () => done.push(text));
  await node.world.pass(4);
  t.strictSame(done, ["a"]);
  await node.world.pass(5);
  t.strictSame(done, ["a", "b", "c", "d"]);
  t.strictSame(
    node.store.batches.map(({ segments }) => segments.map(({ count }) => count)),
    [[1], [3]],
  );
});

t.test("nothing to append is done, and commits nothing", async (t) => {
  const node = await Site.open(new World(), "node");
  await node.append(said("a"));
  const { length } = node.store.batches;
  t.strictSame(await node.append(), []);
  t.equal(node.store.batches.length, length);
  await node.append(said("b"));
  t.strictSame(texts(await node.events()), ["a", "b"]);
});

t.test("what is refused leaves nothing behind", async (t) => {
  const node = await Site.open(new World(), "node");
  const large = { ...said(""), body: new Uint8Array(900_000) };
  const many = Array.from({ length: maxSegmentEvents + 1 }, () => said(""));
  const never = (): void => void t.fail("it was refused");
  t.throws(() => node.log.append([{ ...large, body: new Uint8Array(1_700_000) }], never), {
    code: "EVENT_TOO_LARGE",
  });
  t.throws(() => node.log.append([large, large], never), { code: "EVENT_TOO_LARGE" });
  t.throws(() => node.log.append(many, never), { code: "EVENT_TOO_LARGE" });
  t.throws(() => node.log.append([said("ok"), said("\ud800")], never), { code: "EVENT_INVALID" });
  t.equal(node.log.waitingBytes, 0);
  t.strictSame(
    await node.append(said("a"), said("b")),
    [1, 2].map((seq) => eventId(node.log.incarnation, seq)),
  );
  t.strictSame(texts(await node.events()), ["a", "b"]);
});

t.test("large events are cut into segments, and stay in order", async (t) => {
  const node = await Site.open(new World(), "node");
  const drafts = Array.from({ length: 8 }, (_, index) => ({
    ...said(""),
    body: [index, new Uint8Array(100_000)],
  }));
  await Promise.all(drafts.map((draft) => node.append(draft)));
  const segments = await node.log.readOrigin(node.log.incarnation, 1, 1e9);
  t.ok(segments.length > 2 && segments.every(({ bytes }) => bytes.length < 300_000));
  await node.restart();
  t.strictSame(
    (await node.events()).map(({ body }) => (body as readonly unknown[])[0]),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
});

t.test("every event of a segment had seen the same", async (t) => {
  const { cloud, node, life } = await pair();
  const { world } = node;
  await cloud.append(desired("1", life));
  const [segment] = await cloud.log.readOrigin(cloud.log.incarnation, 2, 1e6);
  const visible: Event[] = [];
  node.log.onVisible((events) => void visible.push(...events));
  // The peer's segment is in flight while these are appended: before it is visible they have not seen it.
  node.log.receive(segment as never, () => undefined);
  node.log.append([reported("1", life)]);
  await world.pass(1);
  node.log.append([reported("2", life)]);
  await world.pass(4);
  t.ok(
    visible.some(({ type }) => type === "twin.desired"),
    "now it is visible",
  );
  node.log.append([reported("3", life)]);
  await world.pass(10);
  const own = await node.log.readOrigin(node.log.incarnation, 1, 1e6);
  const sawn = visible
    .filter(({ type }) => type === "twin.reported")
    .map(({ body, seen }) => [(body as string[])[0], seen[0]?.seq]);
  t.strictSame(sawn, [
    ["1", 1],
    ["2", 1],
    ["3", 2],
  ]);
  t.strictSame(
    own.map(({ count, seen }) => [count, seen[0]?.seq]),
    [
      [1, 1],
      [1, 1],
      [1, 2],
    ],
  );
});

t.test("what a listener appends has seen what it heard of", async (t) => {
  const { cloud, node, life } = await pair();
  node.log.onVisible(([first]) => {
    if (first?.type === "twin.desired") node.log.append([reported(`saw ${first.seq}`, life)]);
  });
  await cloud.append(desired("1", life));
  await cloud.append(desired("2", life));
  await cloud.append(desired("3", life));
  await ship(cloud, node);
  await node.world.pass(20);
  const answers = (await node.events()).filter(({ type }) => type === "twin.reported");
  t.strictSame(
    answers.map(({ body, seen }) => [(body as string[])[0], seen[0]?.seq]),
    [
      ["saw 2", 2],
      ["saw 3", 3],
      ["saw 4", 4],
    ],
  );
});

t.test("what a side has seen is known again after it opens", async (t) => {
  const { cloud, node, life } = await pair();
  await cloud.append(desired("1", life));
  await ship(cloud, node);
  await node.restart();
  await node.append(reported("1", life));
  await node.crash();
  await node.append(reported("2", life));
  for (const event of (await node.events()).slice(-2)) {
    t.strictSame(event.seen, [{ origin: cloud.log.incarnation, seq: 2 }]);
  }
});

t.test("validation sees what is staged, readers what is durable", async (t) => {
  t.test("slots", async (t) => {
    const { cloud, node, life } = await pair();
    node.log.append([reported("20", life)]);
    t.same(node.log.staged(thermo, "reported/temperature")?.body, ["20"]);
    t.notOk(currentLife(node.log.registers, thermo)?.slots.has("reported/temperature"));
    t.equal(node.log.staged(thermo, "spec"), undefined, "the other side's is not its own");
    await node.world.pass(1);
    node.log.append([reported("30", life)]);
    await node.world.pass(4);
    t.same(
      node.log.staged(thermo, "reported/temperature")?.body,
      ["30"],
      "the newest, when an older one is durable",
    );
    await node.world.pass(5);
    t.same(node.log.staged(thermo, "reported/temperature")?.body, ["30"]);
    t.same(cloud.log.staged(thermo, "spec")?.body, { spec: 1 });
  });

  t.test("lives", async (t) => {
    const cloud = await Site.open(new World(), "cloud");
    const [life] = cloud.log.append([applied({ spec: 1 })]);
    t.equal(cloud.log.stagedLife(thermo), life);
    t.same(cloud.log.staged(thermo, "spec")?.body, { spec: 1 });
    await cloud.world.pass(5);
    cloud.log.append([deleted(life as EventId)]);
    t.equal(cloud.log.stagedLife(thermo), undefined);
    t.equal(cloud.log.staged(thermo, "spec"), undefined);
    t.equal(currentLife(cloud.log.registers, thermo)?.id, life, "a reader still sees it");
    const [next] = cloud.log.append([applied({ spec: 2 })]);
    t.equal(cloud.log.stagedLife(thermo), next);
    await cloud.world.pass(5);
    t.equal(cloud.log.stagedLife(thermo), next);
    t.equal(currentLife(cloud.log.registers, thermo)?.id, next);
    t.same(cloud.log.staged(thermo, "spec")?.body, { spec: 2 });
  });

  t.test("what is staged under a life that ends meanwhile does not count", async (t) => {
    const { cloud, node, life } = await pair();
    await cloud.append(deleted(life), applied({ spec: 2 }));
    const [segment] = await cloud.log.readOrigin(cloud.log.incarnation, 2, 1e6);
    node.log.receive(segment as never, () => undefined);
    await node.world.pass(1);
    node.log.append([reported("old", life)]);
    await node.world.pass(4);
    t.equal(node.log.stagedLife(thermo), eventId(cloud.log.incarnation, 3));
    t.equal(node.log.staged(thermo, "reported/temperature"), undefined);
  });
});

t.test("a commit that fails fails everything that waits, and the log with it", async (t) => {
  const { cloud, node, life } = await pair();
  const { world } = node;
  await cloud.append(desired("1", life));
  const [segment] = await cloud.log.readOrigin(cloud.log.incarnation, 2, 1e6);
  const codes: (string | undefined)[] = [];
  const done = (error?: TidemarkError): void => void codes.push(error?.code);
  node.disk.full = true;
  node.log.append([reported("in flight", life)], done);
  await world.pass(1);
  node.log.receive(segment as never, done);
  node.log.append([reported("sealed", life)], done);
  node.log.append([reported("open", life)], done);
  let failures = 0;
  node.committer.onFailure(() => {
    failures += 1;
  });
  await world.pass(10);
  t.strictSame(codes, ["DISK_FULL", "DISK_FULL", "DISK_FULL", "DISK_FULL"]);
  t.equal(failures, 1);
  t.throws(() => node.log.append([said("more")]), { code: "DISK_FULL" });
  t.throws(() => node.log.receive(segment as never, done), { code: "DISK_FULL" });
  await t.rejects(node.log.appended([said("more")]), { code: "DISK_FULL" });
  await node.log.close();
  await node.store.close();
  node.disk.full = false;
  await node.open();
  t.equal((await node.events()).length, 1, "only what was durable before");
  await node.append(reported("again", life));
});

t.test("more than may wait is refused, and taken again when there is room", async (t) => {
  const node = await Site.open(new World(), "node");
  const large = { ...said(""), body: new Uint8Array(1_500_000) };
  let count = 0;
  t.throws(
    () => {
      for (; count < 1000; count += 1) node.log.append([large]);
    },
    { code: "LOG_OVERLOADED" },
  );
  t.equal(count, Math.floor(waitingBytesMax / 1_500_000) + 1);
  t.ok(node.log.waitingBytes <= waitingBytesMax + 1_600_000);
  await node.world.pass(10);
  t.equal(node.log.waitingBytes, 0);
  await node.append(large);
  t.equal((await node.events()).length > 0, true);
});

t.test("a log that is closed takes nothing, and has committed what it took", async (t) => {
  const world = new World();
  const node = await Site.open(world, "node");
  const waiting = node.log.appended([said("a")]);
  const closing = Promise.all([node.log.close(), node.log.close()]);
  t.throws(() => node.log.append([said("b")]), { code: "LOG_CLOSED" });
  await world.run(closing);
  await waiting;
  await node.log.close();
  await node.store.close();
  await node.open();
  t.strictSame(node.store.reads, [2], "its checkpoint has it too");
  t.strictSame(texts(await node.events()), ["a"]);
});

t.test("logs of one store share commits, and know nothing of one another", async (t) => {
  const world = new World();
  const one = await Site.open(world, "cloud");
  const { environment } = world;
  const other = await world.run(
    Log.open({ ...one.logOptions(one.committer, environment), id: "node/other" as never }),
  );
  one.store.batches.length = 0;
  one.log.append([said("one")], () => {
    // What a done appends, and what it waits for, is the next commit's.
    other.append([said("answer")]);
    void one.committer.flush();
  });
  other.append([said("other")], () => one.log.append([said("answer")]));
  await world.pass(20);
  t.strictSame(
    one.store.batches.map(({ segments }) => segments.map(({ log, position }) => `${log} ${position}`)),
    [
      ["node/edge-node-1 1", "node/other 1"],
      ["node/other 2", "node/edge-node-1 2"],
    ],
  );
  t.strictSame(texts(await other.read(1)), ["other", "answer"]);
  t.strictSame(texts(await one.log.read(1)), ["one", "answer"]);
});

t.test("a flush waits for what was asked before it, not for what comes after", async (t) => {
  const world = new World();
  const node = await Site.open(world, "node");
  let goesOn = true;
  const again = (): void => {
    if (goesOn) node.log.append([said("more")], again);
  };
  again();
  await world.pass(1);
  await world.run(node.committer.flush());
  t.ok(goesOn);
  goesOn = false;
  await world.pass(20);
});
