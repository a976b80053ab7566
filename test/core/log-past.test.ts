/** The past as a log's store gives it is what a walk over all of its events gives. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import t from "tap";
import { type Cut, cutOfEvent, isWithin } from "../../core/cut.ts";
import { endedDraft, joinEnded } from "../../core/ended.ts";
import { type Draft, type Event, type EventId, type Seen, parseEventId } from "../../core/event.ts";
import { HistoryIndex } from "../../core/history-index.ts";
import { Merging } from "../../core/merging.ts";
import { pastOf } from "../../core/log-past.ts";
import { type PastLog, cutAt, placeOf, registersAt } from "../../core/past.ts";
import { type Selection, selectEvents } from "../../core/past-select.ts";
import { registersProjection } from "../../core/registers.ts";
import { Site, World, applied, deleted, desired, hashOf, meet, reported, thermo } from "./log-site.ts";
import { MadeLog } from "./past-log.ts";

const step = fc.oneof(
  fc.record({ do: fc.constant("report" as const), count: fc.integer({ min: 1, max: 5 }), slot: fc.nat(1) }),
  fc.record({ do: fc.constant("desire" as const), node: fc.boolean() }),
  fc.record({ do: fc.constantFrom("apply" as const, "delete" as const, "end" as const, "meet" as const) }),
  fc.record({ do: fc.constant("pass" as const), ms: fc.nat(5000) }),
  fc.record({ do: fc.constant("jump" as const), ms: fc.integer({ min: -300_000, max: 300_000 }) }),
  fc.record({ do: fc.constant("restart" as const), node: fc.boolean() }),
  fc.record({
    do: fc.constant("merge" as const),
    node: fc.boolean(),
    bytes: fc.integer({ min: 200, max: 2000 }),
  }),
  fc.record({ do: fc.constant("reincarnate" as const), back: fc.nat(4) }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function live(steps: readonly Step[]): Promise<[Site, Site]> {
  const world = new World();
  const [cloud, node] = [await Site.open(world, "cloud"), await Site.open(world, "node")];
  await cloud.append(applied());
  await meet(cloud, node);
  let moved = false;
  for (const each of steps) {
    if (each.do === "meet" && !moved) await meet(cloud, node);
    else if (each.do === "pass") await world.pass(each.ms);
    else if (each.do === "jump") world.wallMs += each.ms;
    else if (each.do === "merge") await merge(each.node ? node : cloud, each.bytes);
    else if (each.do === "restart") await (each.node ? node : cloud).restart();
    else if (each.do === "reincarnate") {
      // Without a hub nobody gives generations, so the sides meet no more.
      if (!moved) await world.run(node.log.reincarnate(Math.max(0, topOf(node) - each.back)));
      moved = true;
    } else await write(cloud, node, each);
  }
  return [cloud, node];
}

async function merge({ committer, world, log }: Site, blockBytes: number): Promise<void> {
  const indexOf = HistoryIndex.forAll();
  const merging = new Merging({ committer, environment: world.environment, blockBytes, indexOf });
  merging.add(log);
  await world.run(merging.mergeAll());
  await world.run(merging.close());
}

type Write = Exclude<Step, { do: "meet" | "pass" | "jump" | "merge" | "restart" | "reincarnate" }>;

async function write(cloud: Site, node: Site, each: Write): Promise<void> {
  const isNode = each.do === "report" || (each.do === "desire" && each.node);
  const site = isNode ? node : cloud;
  const life = site.log.stagedLife(thermo);
  if (each.do === "apply") await site.append(applied({ spec: 2 }, life));
  if (life === undefined) return;
  if (each.do === "delete") await site.append(deleted(life));
  if (each.do === "end") await site.append(endOf(site, life));
  if (each.do === "desire") await site.append(desired("1", life));
  if (each.do === "report") {
    for (let nth = 0; nth < each.count; nth += 1)
      await site.append(reported(`${nth}`, life, `p${each.slot}`));
  }
}

/** What the cloud says of a life that is over for good: with those of which it said so before. */
function endOf({ log }: Site, life: EventId): Draft {
  const { origin, seq } = parseEventId(life) as Seen;
  return endedDraft(joinEnded(log.registers.ended, new Map([[origin, [{ from: seq, to: seq }]]])));
}

function topOf({ log }: Site): number {
  return log.histories.get(log.incarnation)?.top ?? 0;
}

function ids(events: readonly Event[]): string[] {
  return events.map(({ origin, seq }) => `${origin}/${seq}`);
}

/** A plain fold of all that counts in; how clocks were wrong is known from now. */
function foldedAt({ all, registers }: MadeLog, cut: Cut): string {
  const state = { ...registersProjection.initial(), eras: new Map(registers.eras) };
  for (const event of all)
    if (isWithin(cut, event, registers.generations)) registersProjection.apply(state, event);
  return hashOf(state);
}

async function assertSame(past: PastLog, made: MadeLog, pick: number): Promise<void> {
  const event = made.all[pick % made.all.length] as Event;
  const time = placeOf(made.registers, event).time + (pick % 3) - 1;
  assert.deepEqual(await cutAt(past, time), await cutAt(made, time));
  for (const cut of [await cutAt(made, time), cutOfEvent(event)]) {
    const [there, here] = [await registersAt(past, cut, [thermo]), await registersAt(made, cut, [thermo])];
    assert.equal(hashOf(there), hashOf(here));
    assert.equal(hashOf(there), foldedAt(made, cut));
  }
  const selection: Selection = {
    wanted: ({ key }) => key === thermo,
    from: pick % 2 === 0 ? { time, event: undefined } : undefined,
    to: pick % 3 === 0 ? { time: time + 1000, event: undefined } : undefined,
    after: undefined,
    descending: pick % 5 < 2,
    limit: 4,
    position: Infinity,
  };
  assert.deepEqual(ids(await selectEvents(past, selection)), ids(await selectEvents(made, selection)));
}

t.test("whatever was lived through", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 25 }),
      fc.array(fc.nat(), { minLength: 3, maxLength: 6 }),
      async (steps, picks) => {
        for (const site of await live(steps)) {
          const made = new MadeLog(await site.events(), site.log.id, site.side);
          for (const pick of picks) await assertSame(pastOf(site.log), made, pick);
        }
      },
    ),
    { numRuns: 60 },
  );
});

t.test("it follows the log, and asks no more than is there", async (t) => {
  const world = new World();
  const site = await Site.open(world, "cloud", {
    authority: { rules: "no refused", mayApply: ({ body }) => body !== "refused" },
  });
  const past = pastOf(site.log);
  const [life] = await site.append(applied());
  await site.append(...Array.from({ length: 20 }, (_, nth) => desired(String(nth), life as never)));
  await site.append({ ...desired("", life as never), body: "refused" });
  const origin = site.log.incarnation;
  const found: number[] = [];
  for await (const events of past.events(origin, { from: 5, to: 9 }))
    found.push(...events.map(({ seq }) => seq));
  t.same(found, [5, 6, 7, 8, 9]);
  t.equal(past.position, 22);
  const state = await past.stateOf(thermo, { cloud: { origin, seq: 22 }, node: undefined });
  t.same(
    state.map(({ seq }) => seq),
    [1, 21],
    "the latest of each slot that may be said",
  );
  const gone = new AbortController();
  gone.abort();
  await t.rejects(past.stateOf(thermo, { cloud: { origin, seq: 22 }, node: undefined }, gone.signal), {
    code: "LOG_CLOSED",
  });
});
