/** Projections rebuilt from exports, and compared with what another build made of the same log. */
import * as fc from "fast-check";
import t from "tap";
import { TidemarkError } from "../../core/errors.ts";
import { type Event, type EventId, eventId } from "../../core/event.ts";
import { stateHash } from "../../core/projection.ts";
import { registersProjection } from "../../core/registers.ts";
import { emptyRegisters } from "../../core/registers-state.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { type Comparison, compare } from "../../protocol/replay/compare.ts";
import { differences } from "../../protocol/replay/difference.ts";
import { type Fold, type Replayable, replayables } from "../../protocol/replay/projections.ts";
import { Rebuild, type ReplayRow, type Until } from "../../protocol/replay/rebuild.ts";
import { authority } from "../../protocol/link/authority.ts";
import { exported, parts } from "../core/exports.ts";
import { Site, World, applied, deleted, desired, meet, reported, startMs } from "../core/log-site.ts";

const [registers, devices] = replayables as [Replayable, Replayable];

const device = {
  apiVersion: "devices.kubeedge.io/v1beta1",
  kind: "Device",
  metadata: { name: "thermo-1", namespace: "default" },
  spec: { properties: [{ name: "temperature" }] },
};

/** A cloud and a node that have written at random and met at times, one second an event. */
async function history(steps: readonly number[]): Promise<{ readonly cloud: Site; readonly node: Site }> {
  const world = new World();
  const cloud = await Site.open(world, "cloud", { authority });
  const node = await Site.open(world, "node", { authority, checkpointEvery: 5 });
  await cloud.append(applied(device));
  await meet(cloud, node);
  for (const step of steps) {
    await world.pass(1000);
    const site = step % 2 === 0 ? cloud : node;
    const life = site.log.stagedLife("devices/default/thermo-1");
    if (life === undefined) await cloud.append(applied(device));
    else if (step === 8) await cloud.append(deleted(life));
    else if (step < 4) await node.append(reported(`${step}`, life), reported("x", life, "humidity"));
    else if (step === 5)
      await node.append({ ...reported("not yours", life, "load"), type: "resource.applied" });
    else await site.append(desired(`${step}`, life));
    if (step % 3 === 0) await meet(cloud, node);
  }
  await meet(cloud, node);
  return { cloud, node };
}

const anySteps = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 3, maxLength: 20 });

interface Asked {
  readonly projection?: Replayable;
  readonly until?: Until;
  readonly every?: number;
  readonly withState?: boolean;
}

function rebuildOf(bytes: Uint8Array, { projection = registers, until }: Asked = {}): Rebuild {
  return new Rebuild(parts(bytes, [700]), { projection, digest: nodeDigest, until });
}

async function rowsOf(bytes: Uint8Array, asked: Asked = {}): Promise<ReplayRow[]> {
  const rebuild = rebuildOf(bytes, asked);
  const rows: ReplayRow[] = [];
  for await (const events of rebuild.batches()) {
    for (const event of events) {
      rebuild.apply(event);
      if (event.position % (asked.every ?? 1) === 0) rows.push(rebuild.row(asked.withState === true));
    }
  }
  return rows;
}

t.test("an export replays to what its log says, whichever slice of it, on either side", async (t) => {
  await fc.assert(
    fc.asyncProperty(anySteps, fc.nat(20), async (steps, skipped) => {
      const { cloud, node } = await history(steps);
      const ends: string[] = [];
      for (const { log, hash } of [cloud, node]) {
        const whole = await rowsOf(await exported(log));
        const from = Math.min(1 + skipped, log.position);
        const slice = await rowsOf(await exported(log, { from }));
        t.ok(slice.length > 0);
        const hashes = (rows: ReplayRow[]): string[] => rows.map(({ stateHash }) => stateHash);
        t.same(hashes(slice), hashes(whole).slice(-slice.length), "at every position of the slice");
        t.equal(whole.at(-1)?.stateHash, hash, "as the log's own registers");
        ends.push((await rowsOf(await exported(log), { projection: devices })).at(-1)?.stateHash ?? "");
      }
      t.equal(ends[0], ends[1], "people see the same on both sides");
    }),
    { numRuns: 25 },
  );
});

t.test("a replay ends where it is told to", async (t) => {
  const { node } = await history([1, 2, 3, 4, 6, 1, 2]);
  const bytes = await exported(node.log);
  const events = await node.events();
  const rows = await rowsOf(bytes);
  for (const event of events) {
    const wanted = rows[event.position - 1];
    const byPosition = await rowsOf(bytes, { until: { position: event.position } });
    t.same(byPosition.at(-1), wanted);
    const id = eventId(event.origin.slice(0, 5) as Event["origin"], event.seq);
    t.same((await rowsOf(bytes, { until: { event: id } })).at(-1), wanted);
  }
  const time = startMs + 2500;
  const before = events.filter((event) => event.time <= time);
  const byTime = (await rowsOf(bytes, { until: { time } })).at(-1);
  t.equal(byTime?.events, before.length, "later events are left out, wherever they stand");
  t.ok(before.length > 0 && before.length < events.length);
  await t.rejects(rowsOf(bytes, { until: { event: "nzzzz/1" } }), { code: "NOT_FOUND" });
});

t.test("the devices are those that people see", async (t) => {
  const { node } = await history([1, 2, 3]);
  const [last] = (await rowsOf(await exported(node.log), { projection: devices, withState: true })).slice(-1);
  t.match(last?.state, [
    { namespace: "default", name: "thermo-1", properties: { temperature: { reported: { value: "3" } } } },
  ]);
});

/** A build that goes wrong at one event, and, from another on, is right again. */
function faulty(at: number, until: number): Replayable {
  return {
    ...registers,
    begin(before, log): Fold {
      const fold = registers.begin(before, log);
      let position = 0;
      const isWrong = (): boolean => position >= at && position < until;
      return {
        ...fold,
        apply(event) {
          ({ position } = event);
          fold.apply(event);
        },
        encoded: () => (isWrong() ? ["wrong", fold.encoded()] : fold.encoded()),
        shown: () => (isWrong() ? { ...(fold.shown() as object), wrong: true } : fold.shown()),
      };
    },
  };
}

async function* each<T>(rows: readonly T[]): AsyncGenerator<T> {
  yield* rows;
}

function compared(bytes: Uint8Array, theirs: readonly ReplayRow[]): Promise<Comparison> {
  return compare(rebuildOf(bytes), each(theirs), "registers");
}

t.test("a comparison finds the first event at which two builds part, though they meet again", async (t) => {
  const { node } = await history([1, 2, 3, 4, 6, 1, 2, 3, 1, 2]);
  const bytes = await exported(node.log);
  const events = await node.events();
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: events.length }),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 4 }),
      async (at, length, every) => {
        const theirs = await rowsOf(bytes, { projection: faulty(at, at + length), every, withState: true });
        const { parted, beyond } = await compared(bytes, theirs);
        const wrong = theirs
          .map(({ position }) => position)
          .filter((place) => place >= at && place < at + length);
        t.equal(parted?.position, wrong[0]);
        t.equal(beyond, undefined);
        if (wrong[0] === undefined) return;
        t.same(parted?.differences, [{ path: ["wrong"], before: true, after: undefined }]);
        const culprit = events[at - 1] as Event;
        const isKnown = every === 1 && at > 1;
        t.equal(parted?.event, isKnown ? eventId(culprit.origin, culprit.seq) : undefined);
        t.equal(parted?.key, isKnown ? culprit.key : undefined);
        t.equal(parted?.since, at > every ? wrong[0] - every : undefined);
      },
    ),
  );
});

t.test("what is the same is the same; what goes on further, or is of something else, is said", async (t) => {
  const { node } = await history([1, 2, 3, 4]);
  const bytes = await exported(node.log);
  const rows = await rowsOf(bytes);
  t.same(await compared(bytes, rows), { same: rows.length, parted: undefined, beyond: undefined });
  const last = rows.at(-1) as ReplayRow;
  const longer = [...rows, { ...last, position: last.position + 3 }];
  t.match(await compared(bytes, longer), { same: rows.length, beyond: last.position + 3 });
  t.match(await compared(bytes, rows.slice(0, 2)), { same: 2, parted: undefined, beyond: undefined });
  const slice = await exported(node.log, { from: 3 });
  t.match(await compared(slice, rows), { parted: undefined }, "what is before a slice is passed over");
  const others = rows.map((row) => ({ ...row, projection: "devices" }));
  for (const bad of [[], others, [{ ...last, position: "1" as unknown as number }]]) {
    await t.rejects(compared(bytes, bad), { code: "USAGE" });
  }
});

t.test("a state of another version of the registers is refused, and not guessed at", async (t) => {
  const { node } = await history([1, 2, 3]);
  const bytes = await exported(node.log, { from: 3 });
  const other = async function* (): AsyncGenerator<never[]> {
    for await (const some of parts(bytes)) {
      yield some.map((part) =>
        part.kind === "state" ? { ...part, checkpoint: Uint8Array.of(0x91, 9) } : part,
      ) as never[];
    }
  };
  const rebuild = new Rebuild(other(), { projection: registers, digest: nodeDigest });
  const error = await rebuild
    .batches()
    .next()
    .catch((cause: unknown) => cause);
  t.ok(error instanceof TidemarkError && error.code === "SNAPSHOT_INVALID");
});

t.test("differences are the places in which two states differ", async (t) => {
  const json = fc.jsonValue({ maxDepth: 4 });
  fc.assert(
    fc.property(json, (value) => {
      t.same(differences(value, structuredClone(value), 10), []);
    }),
  );
  const before = { a: { b: [1, 2], c: "x" }, d: null };
  const after = { a: { b: [1, 3], e: "y" }, d: null };
  t.same(differences(before, after, 10), [
    { path: ["a", "b", "1"], before: 2, after: 3 },
    { path: ["a", "c"], before: "x", after: undefined },
    { path: ["a", "e"], before: undefined, after: "y" },
  ]);
  t.equal(differences(before, after, 2).length, 2);
  t.same(differences({ a: [] }, { a: {} }, 10), [{ path: ["a"], before: [], after: {} }]);
});

const life = "c0000000000001/1" as EventId;

t.test("what a side may not author is applied by no replay", async (t) => {
  const world = new World();
  const node = await Site.open(world, "node");
  await node.append({ ...reported("1", life), type: "resource.applied" });
  const [row] = await rowsOf(await exported(node.log));
  t.same([row?.events, row?.stateHash], [1, stateHash(registersProjection, emptyRegisters(), nodeDigest)]);
  t.same(
    await rowsOf(await exported(node.log), { until: { time: 0 } }),
    [],
    "it is not applied before it was",
  );
});
