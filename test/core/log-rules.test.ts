/** What an older version skipped, because it did not know who may author it, counts in a newer one; and the other way. */
import * as fc from "fast-check";
import t from "tap";
import { checkpointPrefix } from "../../core/checkpoint.ts";
import { pack } from "../../core/codec.ts";
import { type Event, type EventId, eventId } from "../../core/event.ts";
import { HistoryIndex } from "../../core/history-index.ts";
import { stateOfSide } from "../../core/history-read.ts";
import { Merging } from "../../core/merging.ts";
import { Outbox } from "../../core/reactor.ts";
import type { Authority } from "../../core/rules.ts";
import { segmentVersion } from "../../core/segment.ts";
import type { MemoryDisk } from "../../core/store/memory.ts";
import { Site, World, applied, desired, folded, node1, reported, said, thermo } from "./log-site.ts";

/** Who knows of what is desired, and who does not yet. */
const newer: Authority = { rules: "newer", mayApply: () => true };
const older: Authority = { rules: "older", mayApply: ({ type }) => type !== "twin.desired" };

function openedBy(authority: Authority, world: World, disk?: MemoryDisk): Promise<Site> {
  return Site.open(world, "cloud", { authority, checkpointEvery: 7, ...(disk && { disk }) });
}

async function mergeAll({ committer, world, log }: Site): Promise<void> {
  const indexOf = HistoryIndex.forAll();
  const merging = new Merging({ committer, environment: world.environment, blockBytes: 300, indexOf });
  merging.add(log);
  await world.run(merging.mergeAll());
  await world.run(merging.close());
}

function idOf({ origin, seq }: Event): EventId {
  return eventId(origin, seq);
}

/** What the past says that the object was made of last. */
async function pastOf({ log, world }: Site): Promise<unknown[]> {
  const { top = 0 } = log.histories.get(log.incarnation) ?? {};
  const events = await world.run(stateOfSide(log, thermo, "cloud", { origin: log.incarnation, seq: top }));
  return events.map(idOf).sort();
}

/** The latest event of each slot, of those that count. */
function latestOf(events: readonly Event[]): EventId[] {
  const latest = new Map<string, Event>();
  for (const event of events) if (event.slot !== undefined) latest.set(event.slot, event);
  return [...latest.values()].map(idOf).sort();
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("desire" as const, "report" as const, "say" as const) },
  { weight: 1, arbitrary: fc.constantFrom("merge" as const, "crash" as const) },
  { weight: 2, arbitrary: fc.constantFrom(older, newer) },
);

t.test("whichever versions come and go, each says what it would have said alone", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), async (steps) => {
      const world = new World();
      let authority = older;
      let site = await openedBy(authority, world);
      const [life] = (await site.append(applied())) as [EventId];
      /** Events on which the outbox acted while they counted. */
      const acted = new Set<EventId>();
      const follow = async (): Promise<Outbox> => {
        const { mayApply } = authority;
        const outbox = new Outbox({
          name: "follower",
          replica: site.log,
          committer: site.committer,
          environment: world.environment,
          act: (events) => {
            for (const event of events.filter(mayApply)) acted.add(idOf(event));
          },
        });
        await world.run(outbox.open());
        return outbox;
      };
      let outbox = await follow();
      const check = async (): Promise<void> => {
        await world.pass(50);
        const counted = (await site.events()).filter(authority.mayApply);
        if (site.hash !== folded(counted)) throw new Error("the state is not what counts");
        const past = await pastOf(site);
        if (String(past) !== String(latestOf(counted))) throw new Error(`the past is ${past.join()}`);
        const missed = counted.filter((event) => !acted.has(idOf(event)));
        if (missed.length > 0) throw new Error(`nobody acted on ${missed.map(idOf).join()}`);
      };
      for (const [nth, now] of steps.entries()) {
        if (now === "desire") await site.append(desired(`${nth}`, life));
        else if (now === "report") await site.append(reported(`${nth}`, life));
        else if (now === "say") await site.append(said(`${nth}`));
        else if (now === "merge") await mergeAll(site);
        else {
          if (now === "crash") site.disk.crash();
          else {
            authority = now;
            await world.run(outbox.close());
            await site.stop();
          }
          site = await openedBy(authority, world, site.disk);
          outbox = await follow();
        }
        await check();
      }
    }),
    { numRuns: 40 },
  );
});

t.test("an outbox goes back no further than to what was skipped", async (t) => {
  const world = new World();
  let site = await openedBy(older, world);
  const [life] = (await site.append(applied())) as [EventId];
  const texts: string[] = [];
  const follow = async (): Promise<Outbox> => {
    const act = (events: readonly Event[]): void => void texts.push(...events.map(({ type }) => type));
    const { log: replica, committer } = site;
    const outbox = new Outbox({ name: "follower", replica, committer, environment: world.environment, act });
    await world.run(outbox.open());
    await world.pass(10);
    return outbox;
  };
  const outbox = await follow();
  for (const value of ["1", "2", "3"]) await site.append(reported(value, life));
  await site.append(desired("20", life));
  await site.append(reported("4", life));
  await world.run(outbox.close());
  await site.stop();
  texts.length = 0;
  site = await openedBy(newer, world, site.disk);
  const again = await follow();
  t.strictSame(texts, ["twin.desired", "twin.reported"]);
  await world.run(again.close());
  await site.stop();
  texts.length = 0;
  site = await openedBy(newer, world, site.disk);
  await follow();
  t.strictSame(texts, [], "and once only");
});

t.test("under the same rules a log goes on from its snapshot, under others not", async (t) => {
  const world = new World();
  let site = await openedBy(older, world);
  const [life] = (await site.append(applied())) as [EventId];
  for (let nth = 0; nth < 20; nth += 1) await site.append(reported(`${nth}`, life));
  const first = async (): Promise<number | undefined> => {
    await site.stop();
    return site.store.reads[0];
  };
  await first();
  site = await openedBy(older, world, site.disk);
  t.equal(await first(), 22);
  site = await openedBy(newer, world, site.disk);
  t.equal(site.store.reads[0], 1);
  t.equal((await site.store.names(checkpointPrefix(node1))).length, 0);
  await site.append(said("so that there is something to take a snapshot of"));
  await first();
  site = await openedBy(newer, world, site.disk);
  t.equal(await first(), 23);
});

t.test(
  "a log that may hold segments of a newer format is not opened, though a snapshot hides them",
  async (t) => {
    const world = new World();
    const site = await openedBy(newer, world);
    await site.append(said("1"));
    site.committer.put(`rules!${node1}`, pack([segmentVersion + 1, "newest"]));
    await site.stop();
    const before = site.disk.snapshot();
    await t.rejects(openedBy(newer, world, site.disk), { code: "FORMAT_NEWER" });
    await world.pass(1000);
    t.strictSame(site.disk.snapshot(), before, "and nothing is changed");
  },
);
