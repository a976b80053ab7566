import assert from "node:assert/strict";
import * as fc from "fast-check";
import t from "tap";
import { calibratedTime, clockCorrected } from "../../core/clock.ts";
import { type Cut, cutOfEvent, emptyCut } from "../../core/cut.ts";
import { type Event, sideOf } from "../../core/event.ts";
import { originOpened } from "../../core/generations.ts";
import { beginningOf, cutAt, cutNow, placeOf, registersAt, vectorOf } from "../../core/past.ts";
import { type Selection, selectEvents } from "../../core/past-select.ts";
import { registersProjection } from "../../core/registers.ts";
import { c1, c2, n1, n2 } from "./drafts.ts";
import { applied, hashOf, reported, thermo } from "./log-site.ts";
import { MadeLog, anyEvents, corrected, inOrder } from "./past-log.ts";

const all = (): boolean => true;

/** Also of objects whose lives are all over for good, of which the registers know nothing any more. */
function keysOf(log: MadeLog): string[] {
  return [...new Set(log.all.filter(({ slot }) => slot !== undefined).map(({ key }) => key))];
}

const everything = {
  wanted: all,
  from: undefined,
  to: undefined,
  after: undefined,
  descending: false,
  limit: 9,
  position: Infinity,
};

/** A cut and the events that it counts in, worked out from the order of each side alone. */
function cutAfter(events: readonly Event[], cloud: number, node: number): { cut: Cut; within: Event[] } {
  const [first, second] = [inOrder(events, "cloud"), inOrder(events, "node")];
  const [clouds, nodes] = [
    first.slice(0, cloud % (first.length + 1)),
    second.slice(0, node % (second.length + 1)),
  ];
  return { cut: { cloud: clouds.at(-1), node: nodes.at(-1) }, within: [...clouds, ...nodes] };
}

function isKnowledge({ type }: Event): boolean {
  return type === originOpened || type === clockCorrected;
}

t.test("the state at every cut is a fresh fold of what the cut counts in", async () => {
  await fc.assert(
    fc.asyncProperty(anyEvents, fc.nat(30), fc.nat(30), async (events, cloud, node) => {
      const log = new MadeLog(events);
      const { cut, within } = cutAfter(events, cloud, node);
      const fresh = registersProjection.initial();
      // How events are to be read is known from now, whenever it was said.
      for (const event of events) if (isKnowledge(event)) registersProjection.apply(fresh, event);
      for (const event of within) registersProjection.apply(fresh, event);
      return hashOf(await registersAt(log, cut, keysOf(log))) === hashOf(fresh);
    }),
    { numRuns: 300 },
  );
});

t.test("the state at the cut that counts everything in is the state", async () => {
  await fc.assert(
    fc.asyncProperty(anyEvents, async (events) => {
      const log = new MadeLog(events);
      return hashOf(await registersAt(log, cutNow(log), keysOf(log))) === hashOf(log.registers);
    }),
  );
});

t.test(
  "of each side, the cut at an instant ends with the last event whose corrected time is not later",
  async () => {
    await fc.assert(
      fc.asyncProperty(anyEvents, fc.integer({ min: -20, max: 200 }), async (events, time) => {
        const log = new MadeLog(events);
        const last = (side: "cloud" | "node"): unknown => {
          const found = inOrder(events, side).findLast(
            (event) => calibratedTime(log.registers.eras, event) <= time,
          );
          return found && { origin: found.origin, seq: found.seq };
        };
        assert.deepEqual(await cutAt(log, time), { cloud: last("cloud"), node: last("node") });
      }),
      { numRuns: 300 },
    );
  },
);

t.test("objects that nobody asked for are not kept", async (t) => {
  const log = new MadeLog();
  const life = log.add(c1, applied());
  log.add(c1, applied({}, undefined, "devices/default/other"));
  log.add(n1, reported("1", life));
  const state = await registersAt(log, cutNow(log), [thermo]);
  t.same([...state.objects.keys()], [thermo]);
});

t.test("what its side may not author counts for nothing", async (t) => {
  const log = new MadeLog();
  const life = log.add(c1, applied());
  log.add(n1, reported("1", life));
  log.refused.add(log.add(n1, reported("2", life)));
  const state = await registersAt(log, cutNow(log), keysOf(log));
  t.same(state.objects.get(thermo)?.get(life)?.slots.get("reported/temperature")?.node?.body, ["1"]);
  t.equal((await selectEvents(log, everything)).length, 2);
});

t.test("a cut at an event counts in the event and what it had seen, of either side", async (t) => {
  const log = new MadeLog();
  const life = log.add(c1, applied());
  log.add(c1, applied({}, life));
  log.add(n1, reported("1", life), { seen: [{ origin: c1, seq: 1 }] });
  t.same(cutOfEvent(log.all[2] as Event), {
    cloud: { origin: c1, seq: 1 },
    node: { origin: n1, seq: 1 },
  });
  t.same(cutOfEvent(log.all[0] as Event), { ...emptyCut, cloud: { origin: c1, seq: 1 } });
});

t.test("a vector has all of the generations before, and none of those after", async () => {
  await fc.assert(
    fc.asyncProperty(anyEvents, fc.nat(30), fc.nat(30), async (events, cloud, node) => {
      const log = new MadeLog(events);
      // Which generation is the later one is known once both are said.
      if (log.registers.generations.size < 4) return;
      const { cut, within } = cutAfter(events, cloud, node);
      const vector: Record<string, number> = {};
      for (const { origin, seq } of within) vector[origin] = Math.max(vector[origin] ?? 0, seq);
      assert.deepEqual(vectorOf(cut, log), vector);
    }),
  );
});

t.test("events in order of time: any pages of them are all of them, whichever way", async () => {
  await fc.assert(
    fc.asyncProperty(
      anyEvents,
      fc.boolean(),
      fc.integer({ min: 1, max: 7 }),
      fc.tuple(fc.integer({ min: 0, max: 120 }), fc.integer({ min: 0, max: 120 })),
      async (events, descending, limit, [one, other]) => {
        const log = new MadeLog(events);
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        const times = (event: Event): number => calibratedTime(log.registers.eras, event);
        const expected = [...inOrder(events, "cloud"), ...inOrder(events, "node")]
          .filter((event) => times(event) >= from && times(event) < to)
          // A stable sort: at one time the cloud's come first, and each side's in its own order.
          .toSorted((a, b) => times(a) - times(b));
        if (descending) expected.reverse();
        const found: Event[] = [];
        for (;;) {
          const last = found.at(-1);
          const selection: Selection = {
            wanted: all,
            from: { time: from, event: undefined },
            to: { time: to, event: undefined },
            after: last && placeOf(log.registers, last),
            descending,
            limit,
            position: Infinity,
          };
          const page = await selectEvents(log, selection);
          found.push(...page);
          if (page.length < limit) break;
        }
        const ids = (list: readonly Event[]): string[] => list.map(({ origin, seq }) => `${origin}/${seq}`);
        assert.deepEqual(ids(found), ids(expected));
      },
    ),
    { numRuns: 300 },
  );
});

t.test("an event that is stored twice is told once", async (t) => {
  const log = new MadeLog();
  const life = log.add(c1, applied());
  log.add(n1, reported("1", life));
  log.take(log.all[1] as Event);
  t.equal((await selectEvents(log, everything)).length, 2);
});

t.test("a walk ends when nobody waits for it any more", async (t) => {
  const log = new MadeLog(Array.from({ length: 30 }, (_, index) => eventOf(index + 1)));
  log.add(n1, corrected(0, 99));
  const gone = { aborted: false, addEventListener: () => {}, removeEventListener: () => {} };
  const asked = selectEvents(log, { ...everything, limit: 40 }, gone);
  gone.aborted = true;
  await t.rejects(asked, { code: "LOG_CLOSED" });
  t.ok(log.reads < 5, "it did not go to the end");
});

t.test("what is near the end of a long log is found without reading what comes before", async (t) => {
  const log = new MadeLog();
  const life = log.add(c1, applied(), { time: 1 });
  for (let time = 1; time <= 1000; time += 1)
    log.add(n1, reported(String(time), life), { time: time * 1000 });
  const values = async (selection: Partial<Selection>): Promise<unknown[]> => {
    log.reads = 0;
    const events = await selectEvents(log, { ...everything, limit: 3, ...selection });
    return events.map(({ body }) => (body as unknown[] | null)?.[0]);
  };
  t.same(await values({ from: { time: 900_000, event: undefined } }), ["900", "901", "902"]);
  t.ok(log.reads < 5);
  t.same(await values({ descending: true }), ["1000", "999", "998"]);
  t.ok(log.reads < 50);
  const after = placeOf(log.registers, log.all[500] as Event);
  t.same(await values({ after }), ["501", "502", "503"]);
  t.ok(log.reads < 5);
  t.same(await values({ after, descending: true }), ["499", "498", "497"]);
  t.ok(log.reads < 50);
});

t.test("where a log begins", async (t) => {
  const log = new MadeLog();
  t.equal(await beginningOf(log), undefined);
  log.add(c1, applied(), { time: 50 });
  log.add(n1, reported("1", `${c1}/1` as never), { time: 20 });
  t.same(await beginningOf(log), { time: 20, isForgotten: false }, "a node may have begun before its cloud");
  const cut = new MadeLog([eventOf(7), eventOf(8)]);
  t.same(await beginningOf(cut), { time: 7, isForgotten: true });
  cut.problems = [{ code: "LOG_GAP", origin: n1, from: 1, to: 6 }];
  t.match(await beginningOf(cut), { isForgotten: false }, "what was lost is not what was forgotten");
});

function eventOf(seq: number): Event {
  return {
    ...reported("1", `${c1}/1` as never),
    body: null,
    origin: n1,
    seq,
    time: seq,
    seen: [],
    position: 0,
  };
}

t.test("the events that properties are tried on hold every kind", async (t) => {
  const seen = new Set<string>();
  for (const events of fc.sample(anyEvents, { numRuns: 200, seed: 1 })) {
    for (const { type, origin } of events) seen.add(`${sideOf(origin)} ${type}`);
    for (const { origin } of events) seen.add(origin);
  }
  for (const kind of [
    "cloud resource.deleted",
    "cloud lives.ended",
    "node clock.corrected",
    "node device.state",
    c1,
    c2,
    n1,
    n2,
  ]) {
    t.ok(seen.has(kind), kind);
  }
});
