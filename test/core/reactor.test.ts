import * as fc from "fast-check";
import t from "tap";
import { pack } from "../../core/codec.ts";
import type { Event } from "../../core/event.ts";
import { LevelReactor, Outbox, type OutboxOptions } from "../../core/reactor.ts";
import { Site, World, node1, said } from "./log-site.ts";

function follow(site: Site, act: OutboxOptions["act"]): Outbox {
  const { environment } = site.world;
  return new Outbox({ name: "deltas", replica: site.log, committer: site.committer, environment, act });
}

/** Counts what is read of the log: what is queued in memory is not. */
function reads(site: Site): () => number {
  const from = site.store.reads.length;
  return () => site.store.reads.length - from;
}

async function say(site: Site, from: number, to: number): Promise<void> {
  for (let index = from; index <= to; index += 1) await site.append(said(`${index}`));
}

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => `${from + index}`);

t.test("an outbox acts on every event, in order", async (t) => {
  const site = await Site.open(new World(), "node");
  await say(site, 1, 3);
  const acted: unknown[] = [];
  const outbox = follow(site, (events) => void acted.push(...events.map(({ body }) => body)));
  await outbox.open();
  await site.world.settle();
  t.strictSame(acted, numbers(1, 3), "also what was there before it");
  const readCount = reads(site);
  await say(site, 4, 40);
  t.strictSame(acted, numbers(1, 40));
  t.equal(outbox.cursor, 40);
  t.equal(readCount(), 0, "one that keeps up never reads the log");
  await outbox.close();
  await say(site, 41, 41);
  t.equal(acted.length, 40);
});

t.test("an outbox that is slow is given what came meanwhile together, without a read", async (t) => {
  const site = await Site.open(new World(), "node");
  const batches: number[] = [];
  let finish: () => void = () => undefined;
  const outbox = follow(site, (events) => {
    batches.push(events.length);
    return new Promise((resolve) => {
      finish = resolve;
    });
  });
  await outbox.open();
  const readCount = reads(site);
  await say(site, 1, 5);
  finish();
  await say(site, 6, 8);
  finish();
  await site.world.settle();
  finish();
  await site.world.settle();
  t.strictSame(batches, [1, 4, 3]);
  t.equal(readCount(), 0);
  t.equal(outbox.cursor, 8);
  await outbox.close();
});

t.test("an outbox that fails while it closes does not try again", async (t) => {
  const world = new World();
  const site = await Site.open(world, "node");
  let fail: () => void = () => undefined;
  let tries = 0;
  const outbox = follow(site, () => {
    tries += 1;
    return new Promise((_, reject) => {
      fail = () => reject(new Error("too slow"));
    });
  });
  await outbox.open();
  await say(site, 1, 1);
  const closing = outbox.close();
  fail();
  await closing;
  t.equal(world.pending, 0);
  t.equal(tries, 1);
});

t.test("an outbox that falls behind takes the log for its queue", async (t) => {
  const site = await Site.open(new World(), "node");
  const acted: unknown[] = [];
  let finish: (() => void) | undefined;
  const outbox = follow(site, async (events) => {
    if (acted.length === 0) {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
    }
    acted.push(...events.map(({ body }) => body));
  });
  await outbox.open();
  await say(site, 1, 1);
  const key = "topics/".padEnd(200, "x");
  const more = numbers(2, 30_000).map((text) => ({ ...said(text), key }));
  for (let at = 0; at < more.length; at += 3000) await site.append(...more.slice(at, at + 3000));
  finish?.();
  await site.world.pass(100);
  t.strictSame(acted, numbers(1, 30_000));
  const readCount = reads(site);
  await say(site, 30_001, 30_010);
  t.strictSame(acted.slice(-10), numbers(30_001, 30_010));
  t.equal(readCount(), 0, "and has caught up");
  await outbox.close();
});

t.test("an action that fails is tried again, and the order is kept", async (t) => {
  const site = await Site.open(new World(), "node");
  const acted: unknown[] = [];
  const tries: number[] = [];
  let fails = 4;
  const outbox = follow(site, (events) => {
    tries.push(site.world.monotonicMs);
    if (fails > 0) {
      fails -= 1;
      throw new Error("the broker is away");
    }
    acted.push(...events.map(({ body }) => body));
  });
  await outbox.open();
  await say(site, 1, 2);
  await site.world.pass(600);
  await say(site, 3, 3);
  await site.world.pass(60_000);
  t.strictSame(acted, numbers(1, 3));
  const waits = tries.slice(1).map((at, index) => at - (tries[index] ?? 0));
  t.ok(
    waits.every((wait, index) => index === 0 || wait > (waits[index - 1] ?? 0)),
    waits.join(),
  );
  t.match(site.world.lines, [{ level: "error", fields: { name: "deltas", reason: "the broker is away" } }]);
  await say(site, 4, 4);
  t.strictSame(acted, numbers(1, 4));
  await outbox.close();
});

t.test("a log that can't be read for a moment is tried again", async (t) => {
  const site = await Site.open(new World(), "node");
  await say(site, 1, 2);
  const acted: unknown[] = [];
  const outbox = follow(site, (events) => void acted.push(...events.map(({ body }) => body)));
  const read = site.log.read.bind(site.log);
  site.log.read = (): Promise<Event[]> => {
    site.log.read = read;
    return Promise.reject(new Error("the disk is slow to wake"));
  };
  await outbox.open();
  await site.world.pass(1000);
  t.strictSame(acted, numbers(1, 2));
  await outbox.close();
});

t.test("an outbox passes over what is damaged, and nothing else", async (t) => {
  const site = await Site.open(new World(), "node");
  await say(site, 1, 6);
  for (const position of [1, 2, 5]) site.disk.damage(node1, position);
  await site.crash();
  const acted: unknown[] = [];
  const outbox = follow(site, (events) => void acted.push(...events.map(({ body }) => body)));
  await outbox.open();
  await site.world.settle();
  t.strictSame(acted, ["3", "4", "6"]);
  await outbox.close();
});

t.test("a cursor past the end of a log that was put back is moved to its end", async (t) => {
  const site = await Site.open(new World(), "node");
  await say(site, 1, 2);
  site.committer.put(`cursor!${node1}!deltas`, pack(50));
  await site.world.run(site.committer.flush());
  const acted: unknown[] = [];
  const outbox = follow(site, (events) => void acted.push(...events.map(({ body }) => body)));
  await outbox.open();
  await say(site, 3, 3);
  t.strictSame(acted, ["3"]);
  await outbox.close();
});

t.test("whatever crashes, an outbox acts on each event at least once, in order", async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.constant("append" as const) },
    { weight: 3, arbitrary: fc.constantFrom(1, 4, 600) },
    { weight: 1, arbitrary: fc.constantFrom("crash" as const, "reached" as const, "fail" as const) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40, size: "max" }), async (steps) => {
      const site = await Site.open(new World(), "node");
      let acted: number[] = [];
      let runs: number[][] = [acted];
      let fails = false;
      const start = async (): Promise<Outbox> => {
        acted = [];
        runs = [...runs, acted];
        const mine = acted;
        const outbox = follow(site, (events) => {
          if (fails) throw new Error("no");
          mine.push(...events.map(({ position }) => position));
        });
        await outbox.open();
        return outbox;
      };
      let outbox = await start();
      for (const what of steps) {
        if (what === "append") site.log.append([said("x"), said("y")]);
        else if (what === "fail") fails = !fails;
        else if (typeof what === "number") await site.world.pass(what);
        else {
          const before = outbox.cursor;
          await site.crash({ reached: what === "reached" ? 1 : 0 });
          await outbox.close();
          outbox = await start();
          if (outbox.cursor > before) throw new Error("the cursor ran ahead of what was acted on");
        }
      }
      fails = false;
      await site.world.pass(100_000);
      for (const run of runs) {
        const dense = run.every((position, index) => index === 0 || position === (run[index - 1] ?? 0) + 1);
        if (!dense) throw new Error(`acted on ${run.join()}`);
      }
      const all = new Set(runs.flat());
      for (let position = 1; position <= site.log.position; position += 1) {
        if (!all.has(position)) throw new Error(`${position} was never acted on`);
      }
      await outbox.close();
    }),
    { numRuns: 150 },
  );
});

t.test("a level reactor looks at each key once, and at what changed again", async (t) => {
  const world = new World();
  const seen: string[] = [];
  let active = 0;
  const reactor = new LevelReactor({
    name: "pods",
    environment: world.environment,
    allKeys: () => ["a", "b"],
    reconcile: async (key) => {
      active += 1;
      t.equal(active, 1, "one at a time");
      seen.push(key);
      await Promise.resolve();
      if (key === "a" && seen.length === 1) reactor.changed("a");
      active -= 1;
    },
  });
  reactor.resync();
  for (const key of ["c", "c", "c"]) reactor.changed(key);
  await reactor.idle();
  t.strictSame(seen, ["a", "b", "c", "a"]);
  reactor.changed("b");
  await reactor.idle();
  t.strictSame(seen.slice(4), ["b"]);
  await reactor.close();
  reactor.changed("a");
  await reactor.idle();
  t.equal(seen.length, 5);
});

t.test("a key that fails is tried again, later and later, and holds up no other", async (t) => {
  const world = new World();
  const at: number[] = [];
  const others: string[] = [];
  let fails = 5;
  const reactor = new LevelReactor({
    name: "pods",
    environment: world.environment,
    allKeys: () => [],
    reconcile: (key) => {
      if (key !== "bad") {
        others.push(key);
        return;
      }
      at.push(world.monotonicMs);
      fails -= 1;
      if (fails >= 0) throw new Error("not yet");
    },
  });
  reactor.changed("bad");
  reactor.changed("good");
  await reactor.idle();
  t.strictSame(others, ["good"]);
  await world.pass(120_000);
  t.strictSame(
    at.map((moment, index) => moment - (at[index - 1] ?? 0)),
    [0, 500, 1000, 2000, 4000, 8000],
  );
  fails = 1;
  reactor.changed("bad");
  await reactor.idle();
  await world.pass(499);
  t.equal(at.length, 7, "a success starts the waits over");
  reactor.changed("bad");
  await reactor.idle();
  t.equal(at.length, 8, "a change does not wait");
  await world.pass(60_000);
  t.equal(at.length, 8, "and calls the retry off");

  fails = 1;
  reactor.changed("bad");
  await reactor.idle();
  await reactor.close();
  await world.pass(60_000);
  t.equal(at.length, 9, "nothing after it is closed");
});

t.test("a key that fails while its reactor closes is not tried again", async (t) => {
  const world = new World();
  let fail: (error: Error) => void = () => undefined;
  let count = 0;
  const reactor = new LevelReactor({
    name: "pods",
    environment: world.environment,
    allKeys: () => ["a"],
    reconcile: () => {
      count += 1;
      return new Promise((_, reject) => {
        fail = reject;
      });
    },
  });
  reactor.resync();
  const closing = reactor.close();
  fail(new Error("the runtime is gone"));
  await closing;
  t.equal(world.pending, 0, "and no timer is left");
  await world.pass(60_000);
  t.equal(count, 1);
});
