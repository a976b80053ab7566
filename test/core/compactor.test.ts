/** Compaction of a log on its disk: what is let go, what is not, and that it may stop at any moment. */
import * as fc from "fast-check";
import t from "tap";
import { pack } from "../../core/codec.ts";
import type { Event, EventId } from "../../core/event.ts";
import { pastOf } from "../../core/log-past.ts";
import { beginningOf, cutAt } from "../../core/past.ts";
import { verifyLog } from "../../core/log-verify.ts";
import { Outbox } from "../../core/reactor.ts";
import { retentionDefault } from "../../core/retention.ts";
import {
  Site,
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

import {
  type Options,
  brief,
  compact,
  compactorOf,
  ends,
  living,
  nothing,
  sound,
  talk,
} from "./compacting.ts";

t.test(
  "of both sides the latest of each slot is left, where it was, and the state is the same",
  async (t) => {
    const { cloud, node, life } = await living();
    await talk(cloud, node, life, 20);
    for (const site of [cloud, node]) {
      const before = (await site.events()).map(brief);
      const [end, hash, position] = [ends(site), site.hash, site.log.position];
      await compact(site);
      for (const again of ["running", "crashed", "stopped"]) {
        if (again === "crashed") await site.crash();
        if (again === "stopped") await site.restart();
        const after = await site.events();
        t.ok(after.length < before.length / 2, `${after.length} of ${before.length}`);
        const known = new Set(before);
        t.strictSame(
          after.map(brief).filter((event) => !known.has(event)),
          [],
        );
        t.strictSame(
          after.map((event) => event.position),
          after.map((event) => event.position).toSorted((a, b) => a - b),
        );
        t.strictSame([ends(site), site.hash, site.log.position], [end, hash, position]);
        await sound(t, site);
      }
    }
    await talk(cloud, node, life, 3);
    t.equal(cloud.hash, node.hash);
    t.strictSame(ends(cloud), ends(node));
  },
);

t.test(
  "whoever reads from the middle of what was covered gets all that is left after it, in order",
  async (t) => {
    const { cloud, node, life } = await living();
    await talk(cloud, node, life, 20);
    await compact(cloud);
    const all = await cloud.events();
    for (let from = 1; from <= cloud.log.position; from += 1) {
      const expected = all.filter(({ position }) => position >= from);
      const read = await cloud.log.read(from, 1);
      t.strictSame(read.map(brief), expected.slice(0, read.length).map(brief), `from ${from}`);
      t.ok(read.length > 0 || expected.length === 0);
    }
    const { origin } = all[1] as Event;
    for (const event of all)
      t.equal((await cloud.log.eventAt(event.origin, event.seq))?.position, event.position);
    for (const { lo } of await cloud.log.readOrigin(origin, 1, 1e9)) {
      t.equal((await cloud.log.readOrigin(origin, lo, 1))[0]?.lo, lo);
    }
  },
);

t.test("a new node, and one that was away, come to the same state by the same way", async (t) => {
  const { cloud, node, life, world } = await living();
  const away = await Site.open(world, "node");
  await meet(cloud, away);
  await talk(cloud, node, life, 20);
  await compact(cloud);
  const fresh = await Site.open(world, "node");
  for (const site of [away, fresh]) {
    await ship(cloud, site);
    t.equal(site.hash, cloud.hash);
    t.equal(
      site.log.histories.get(cloud.log.incarnation)?.end,
      cloud.log.histories.get(cloud.log.incarnation)?.end,
    );
    await site.crash();
    t.equal(site.hash, cloud.hash);
    await sound(t, site);
  }
});

t.test("what retention protects is not touched, whatever came after it", async (t) => {
  const { cloud, node, life, world } = await living();
  await talk(cloud, node, life, 10);
  const { position, hash } = { position: cloud.log.position, hash: cloud.hash };
  await world.pass(1000);
  await talk(cloud, node, life, 10);
  const before = (await cloud.events()).map(brief);
  await compact(cloud, { policy: retentionDefault });
  t.strictSame((await cloud.events()).map(brief), before, "nothing is old enough");
  await compact(cloud, { policy: { ...nothing, twin: 900, message: 900 } });
  const left = new Set((await cloud.events()).map(brief));
  const kept = before.filter((event) => left.has(event));
  t.ok(kept.length < before.length);
  const young = (await cloud.store.read(cloud.log.id, 1, 1e9)).length;
  t.ok(young > 0);
  const half = before.slice(before.length / 2 + 1);
  t.strictSame(
    half.filter((event) => !left.has(event)),
    [],
    "the younger half is there",
  );
  const then = (await cloud.events()).filter((event) => event.position <= position);
  t.equal(folded(then), hash, "and the state as it was when it began");
  await sound(t, cloud);
});

t.test("of its own a side covers what the peer has, and nothing else", async (t) => {
  const { cloud, node, life } = await living();
  await talk(cloud, node, life, 20);
  const { incarnation } = node.log;
  await compact(node, { acked: 10 });
  const segments = await node.log.readOrigin(incarnation, 11, 1e9);
  t.strictSame(
    segments.filter(({ cover }) => cover !== undefined),
    [],
  );
  const records = await node.store.readOrigin(node.log.id, incarnation, 1, 1e9);
  const covered = records.map(({ lo = 0, count = 0 }) => [lo, count]).filter(([, count = 0]) => count > 2);
  t.strictSame(covered, [[1, 10]]);
  t.ok(await node.log.hashAt(incarnation, 12), "commits' ends are known there");
  await sound(t, node);
});

t.test("it goes no further than the slowest outbox, the oldest snapshot and what is merged", async (t) => {
  const { cloud, node, life, world } = await living();
  await talk(cloud, node, life, 6);
  let blocked = true;
  const acted: unknown[] = [];
  const { committer, log } = cloud;
  const outbox = new Outbox({
    name: "webhooks",
    replica: log,
    committer,
    environment: world.environment,
    act: (events) => {
      if (blocked) throw new Error("not now");
      acted.push(...texts(events));
    },
  });
  await outbox.open();
  await talk(cloud, node, life, 6);
  const whole = await cloud.events();
  await compact(cloud);
  t.strictSame(await cloud.events(), whole, "nothing was acted on yet");
  blocked = false;
  await world.pass(60_000);
  t.strictSame(acted, texts(whole));
  await outbox.close();
  await world.run(committer.flush());
  committer.put(`merged!${log.id}`, pack([1, 10, []]));
  await world.run(committer.flush());
  const compactor = compactorOf(cloud);
  while (await world.run(compactor.slice()));
  const left = await cloud.events();
  t.ok(left.length < whole.length);
  const rest = (events: readonly Event[]): string[] =>
    events.filter(({ position }) => position > 10).map(brief);
  t.strictSame(rest(left), rest(whole));
  await compact(cloud);
  const [oldest = ""] = await cloud.store.names(`checkpoint!${log.id}!`);
  const snapshot = Number.parseInt(oldest.slice(-14), 16);
  t.ok(snapshot > 10 && snapshot < log.position);
  const after = (events: readonly Event[]): string[] =>
    events.filter(({ position }) => position > snapshot).map(brief);
  t.strictSame(after(await cloud.events()), after(whole));
});

t.test("from when on the past is whole is known, also after a crash", async (t) => {
  const { cloud, node, life, world } = await living();
  await talk(cloud, node, life, 15);
  await world.pass(1000);
  await talk(cloud, node, life, 15);
  const whole = await cloud.events();
  t.match(await beginningOf(pastOf(cloud.log)), { isForgotten: false, time: whole[0]?.time });
  await compact(cloud, { policy: { resource: 900, twin: 900, telemetry: 900, message: 900, audit: 900 } });
  const beginning = await beginningOf(pastOf(cloud.log));
  const { edge } = cloud.log.histories.get(node.log.incarnation) ?? {};
  t.ok(edge !== undefined && edge.seq > 20);
  t.ok(beginning !== undefined && beginning.isForgotten);
  const stateAt = async (timeMs: number): Promise<string> => {
    const past = pastOf(cloud.log);
    return folded([...(await past.stateOf(thermo, await cutAt(past, timeMs)))]);
  };
  const times = whole.map(({ time }) => time).filter((time) => time >= (beginning?.time ?? 0));
  t.ok(times.length > 5);
  for (const time of times) {
    const then = whole.filter((event) => event.time <= time);
    t.equal(await stateAt(time), folded(then), `as of ${time}`);
  }
  const left = new Set((await cloud.events()).map(brief));
  const gone = whole.filter((event) => !left.has(brief(event)));
  t.ok(gone.every(({ time }) => time <= (beginning?.time ?? 0)));
  for (const again of ["crashed", "stopped"]) {
    if (again === "crashed") await cloud.crash();
    else await cloud.restart();
    t.strictSame(await beginningOf(pastOf(cloud.log)), beginning, again);
    t.strictSame(cloud.log.histories.get(node.log.incarnation)?.edge?.seq, edge?.seq);
  }
});

t.test("what was covered is covered again, as more of it is replaced, into fewer records", async (t) => {
  const { cloud, node, life } = await living();
  let most = 0;
  for (let round = 0; round < 8; round += 1) {
    await talk(cloud, node, life, 12);
    await compact(cloud, { runBytes: round % 2 === 0 ? 2000 : 100 });
    await sound(t, cloud);
    most = Math.max(most, (await cloud.events()).length);
  }
  const { blocks, segments } = await cloud.store.shape(cloud.log.id);
  t.ok(blocks + segments < 30, `${blocks} blocks and ${segments} segments for ${cloud.log.position} events`);
  t.ok(most < 60, `${most} events at most`);
});

t.test("damage is passed over, and what is around it is compacted", async (t) => {
  const { cloud, node, life } = await living();
  await talk(cloud, node, life, 20);
  const whole = ends(cloud);
  const third = (await cloud.store.read(cloud.log.id, 1, 1e9))[6];
  cloud.disk.damage(cloud.log.id, third?.position ?? 0);
  await cloud.crash();
  const problems = cloud.log.problems.length;
  const before = (await cloud.events()).length;
  await compact(cloud);
  t.equal(cloud.log.problems.length, problems, "it stays reported");
  t.ok((await cloud.events()).length <= before);
  await meet(cloud, node);
  await cloud.world.run(cloud.log.settled());
  t.strictSame(ends(cloud), whole);
  t.equal(cloud.hash, node.hash);
  await cloud.restart();
  await compact(cloud);
  await cloud.crash();
  t.strictSame(ends(cloud), whole);
  t.equal(cloud.hash, node.hash);
});

const action = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("talk" as const), count: fc.integer({ min: 1, max: 8 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("report" as const), count: fc.integer({ min: 1, max: 9 }) }),
  },
  fc.record({ do: fc.constant("desire" as const) }),
  fc.record({ do: fc.constant("recreate" as const) }),
  fc.record({ do: fc.constant("reincarnate" as const), back: fc.nat(6) }),
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("compact" as const),
      cloud: fc.boolean(),
      ageMs: fc.constantFrom(0, 0, 200),
      runBytes: fc.constantFrom(200, 1000, 100_000),
      crashAfterMs: fc.option(fc.nat(30)),
      reached: fc.nat(2),
    }),
  },
);

t.test(
  "at any moment, and cut short at any: both sides agree, and nothing is lost but what was replaced",
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 4, maxLength: 20 }), async (actions) => {
        const { cloud, node, life: first, world } = await living();
        let life = first;
        const ackedBy = (site: Site, peer: Site): number =>
          peer.log.histories.get(site.log.incarnation)?.end ?? 0;
        for (const step of actions) {
          if (step.do === "talk") await talk(cloud, node, life, step.count);
          else if (step.do === "report") {
            for (let nth = 0; nth < step.count; nth += 1)
              await node.append(reported(`r${nth}`, life), said(`${nth}`));
          } else if (step.do === "desire") await cloud.append(desired("d", life));
          else if (step.do === "recreate") {
            [, life] = (await cloud.append(deleted(life), applied())) as [EventId, EventId];
            await meet(cloud, node);
          } else if (step.do === "reincarnate") {
            // Only what nobody else holds is taken back.
            const held = cloud.log.histories.get(node.log.incarnation)?.end ?? 0;
            const { end = 0 } = node.log.histories.get(node.log.incarnation) ?? {};
            await world.run(node.log.reincarnate(Math.max(held, end - step.back)));
          } else {
            const [site, peer] = step.cloud ? [cloud, node] : [node, cloud];
            const policy = { ...nothing, twin: step.ageMs, message: step.ageMs };
            const options = { policy, acked: ackedBy(site, peer), runBytes: step.runBytes };
            if (step.crashAfterMs === null) await compact(site, options);
            else {
              void compactAndDie(site, options);
              await world.pass(step.crashAfterMs);
              await site.crash({ reached: step.reached });
            }
          }
        }
        await meet(cloud, node);
        for (const site of [cloud, node]) {
          const isWhole = (await verifyLog(site.log)).result.problems.length === 0;
          if (!isWhole || folded(await site.events()) !== site.hash) return false;
          const { hash } = site;
          await site.crash();
          if (site.hash !== hash || site.log.problems.length > 0) return false;
        }
        return cloud.hash === node.hash && JSON.stringify(ends(cloud)) === JSON.stringify(ends(node));
      }),
      { numRuns: 150 },
    );
  },
);

/** A pass that may never come to its end. */
async function compactAndDie(site: Site, options: Options): Promise<void> {
  site.committer.put(`merged!${site.log.id}`, pack([1, site.log.position, []]));
  const compactor = compactorOf(site, options);
  try {
    while (await compactor.slice());
  } catch {
    // Its store is gone.
  }
}

t.test("what is young is not read again before it comes to its age", async (t) => {
  const { node, life, world } = await living();
  const values = Array.from({ length: 100 }, (_, nth) => reported(`${nth}`, life));
  for (let nth = 0; nth < 60; nth += 1) await node.append(...values);
  const { committer, log } = node;
  committer.put(`merged!${log.id}`, pack([1, log.position, []]));
  await world.run(committer.flush());
  const day = 86_400_000;
  const policy = { ...nothing, resource: 0, twin: day };
  const compactor = compactorOf(node, { policy, runBytes: 20_000 });
  const readsOfPass = async (): Promise<number> => {
    const before = node.store.reads.length;
    while (await world.run(compactor.slice()));
    return node.store.reads.length - before;
  };
  const whole = (await node.events()).length;
  const first = await readsOfPass();
  const second = await readsOfPass();
  t.ok(first > 20 && second < first / 3, `${first} reads, then ${second}`);
  t.equal((await node.events()).length, whole);
  await world.pass(2 * day);
  await readsOfPass();
  t.ok((await node.events()).length < 400);
  await sound(t, node);
});
