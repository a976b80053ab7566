/** What may be forgotten: what is left folds to the same state, whatever comes after, and on whichever side. */
import * as fc from "fast-check";
import t from "tap";
import {
  type PlacedSegment,
  Survey,
  byOrigin,
  coverOf,
  isKept,
  isNeededForEver,
} from "../../core/compaction.ts";
import { cutCover, eventsOf, keptOf } from "../../core/cover.ts";
import { encodeEvent } from "../../core/codec.ts";
import { clockCorrected } from "../../core/clock.ts";
import { livesEnded } from "../../core/ended.ts";
import { type Event, type EventId, type Incarnation, eventId } from "../../core/event.ts";
import { originOpened } from "../../core/generations.ts";
import { type Registers, registersProjection } from "../../core/registers.ts";
import { type Segment, chainHash, encodeSegment, hex, zeroHash } from "../../core/segment.ts";
import { nodeDigest as digest } from "../../core/store/node-digest.ts";
import { c1, n1 } from "./drafts.ts";
import { anyHistories, anyPicks, event, interleaved } from "./histories.ts";
import { applied, deleted, desired, hashOf, reported, said, thermo } from "./log-site.ts";

/** A version that does not know this type, or may not apply it, still compacts it. */
const stranger = "stranger.spoke";

function fold(events: readonly Event[]): Registers {
  const state = registersProjection.initial();
  for (const each of events) if (each.type !== stranger) registersProjection.apply(state, each);
  return state;
}

/** One segment for each event, in order of position. */
function segmentsOf(events: readonly Event[]): PlacedSegment[] {
  const hashes = new Map<Incarnation, Uint8Array>();
  return events.map((each) => {
    const { origin, seq, time, seen, position } = each;
    const draft = { origin, lo: seq, seen, events: [encodeEvent(each, seq, time)] };
    const { segment, hash } = encodeSegment(draft, hashes.get(origin) ?? zeroHash, digest);
    hashes.set(origin, hash);
    return { segment, position, arrived: 0 };
  });
}

interface Forgotten {
  readonly covers: PlacedSegment[];
  readonly events: Event[];
}

/**
 * All of these segments as one cover for each origin, and what those keep.
 * @param known the events of which it is known that they came
 */
function forget(
  segments: readonly PlacedSegment[],
  known: readonly Event[],
  mayForget: (event: Event) => boolean = () => true,
): Forgotten {
  const span = { from: 1, to: 1000 };
  const survey = new Survey();
  for (const each of known) survey.see(each);
  for (const each of known) if (mayForget(each)) survey.note(each, each.time);
  const covers = [...byOrigin(segments).values()].map((ofOrigin): PlacedSegment => {
    const keeps = ({ event: each }: { event: Event }): boolean => !mayForget(each) || isKept(each, survey);
    const [first] = ofOrigin as [PlacedSegment];
    const options = { reason: "compaction", hashBefore: zeroHash, digest, span, keeps } as const;
    return { ...first, segment: coverOf(ofOrigin, options) };
  });
  return { covers, events: covers.flatMap(({ segment, position }) => eventsOf(segment, position)) };
}

/** With sequences dense from 1, where the model has its first events at 0. */
function numbered(history: readonly Event[]): Event[] {
  return history.map((each, index) => {
    const [origin, seq] = each.life?.split("/") ?? [];
    const life = each.life === undefined ? undefined : eventId(origin as Incarnation, Number(seq) + 1);
    return { ...each, seq: index + 1, life };
  });
}

/** Events in order of position; some of them in slots where they may not be. */
const anyLog = fc.tuple(anyHistories, anyPicks).map(([histories, picks]) =>
  interleaved(histories.map(numbered), picks).map((each, index) => {
    const isStrange =
      each.slot !== undefined && each.life !== undefined && each.deletes !== true && index % 5 === 0;
    return { ...each, position: index + 1, type: isStrange ? stranger : each.type };
  }),
);

const brief = ({ origin, seq, position, seen, type }: Event): string =>
  JSON.stringify([origin, seq, position, seen, type]);

t.test("what is left makes the same state, whatever comes after", async () => {
  fc.assert(
    fc.property(anyLog, fc.nat(80), fc.nat(80), fc.integer({ min: 1, max: 4 }), (log, at, later, every) => {
      const seen = log.slice(0, at + later);
      const { events } = forget(segmentsOf(log.slice(0, at)), seen, ({ position }) => position % every === 0);
      const rest = log.slice(at);
      const whole = hashOf(fold(log));
      return hashOf(fold([...events, ...rest])) === whole && hashOf(fold([...rest, ...events])) === whole;
    }),
    { numRuns: 500 },
  );
});

t.test("so it does when what was covered is covered again", async () => {
  fc.assert(
    fc.property(anyLog, fc.nat(60), fc.nat(60), (log, first, more) => {
      const once = forget(segmentsOf(log.slice(0, first)), log.slice(0, first + 5));
      const next = segmentsOf(log).slice(first, first + more);
      const twice = forget([...once.covers, ...next], log.slice(0, first + more + 5));
      return hashOf(fold([...twice.events, ...log.slice(first + more)])) === hashOf(fold(log));
    }),
    { numRuns: 300 },
  );
});

t.test(
  "a replica that has some of it, and takes what it lacks of the cover, comes to the same state",
  async () => {
    fc.assert(
      fc.property(
        anyLog,
        fc.nat(80),
        fc.array(fc.nat(20), { minLength: 5, maxLength: 5 }),
        (log, at, ends) => {
          const { covers } = forget(segmentsOf(log.slice(0, at)), log);
          const origins = [...new Set(log.map(({ origin }) => origin))].sort();
          const endOf = (origin: Incarnation): number => ends[origins.indexOf(origin)] ?? 0;
          const has = log.filter(({ origin, seq }) => seq <= endOf(origin));
          const lacks = covers.flatMap(({ segment }) => {
            const end = endOf(segment.origin);
            if (segment.lo + segment.count - 1 <= end) return [];
            return eventsOf(end === 0 ? segment : cutCover(segment, end, zeroHash, digest), 1);
          });
          const rest = log.slice(at).filter(({ origin, seq }) => seq > endOf(origin));
          return hashOf(fold([...has, ...lacks, ...rest])) === hashOf(fold(log));
        },
      ),
      { numRuns: 300 },
    );
  },
);

t.test("the state as of any moment that retention protects is what it was", async () => {
  fc.assert(
    fc.property(anyLog, fc.nat(60), (log, aged) => {
      const { events } = forget(segmentsOf(log), log, ({ position }) => position <= aged);
      for (let moment = aged; moment <= log.length; moment += 1) {
        const left = events.filter(({ position }) => position <= moment);
        if (hashOf(fold(left)) !== hashOf(fold(log.slice(0, moment)))) return false;
      }
      return true;
    }),
    { numRuns: 40 },
  );
});

/** Lives that go on by what is said of each alone. */
function alive(events: readonly Event[]): EventId[] {
  const { objects } = fold(events.filter(({ type }) => type !== livesEnded));
  return [...objects.values()]
    .flatMap((lives) => [...lives.values()].filter(({ born, over }) => born && !over))
    .map(({ id }) => id);
}

t.test("what is left of what was left makes the same state, as of any moment that is protected", async () => {
  fc.assert(
    fc.property(anyLog, fc.array(fc.nat(40), { minLength: 2, maxLength: 4 }), (log, steps) => {
      let events: readonly Event[] = log;
      let aged = 0;
      for (const step of steps) {
        aged += step;
        const survey = new Survey();
        for (const each of events) survey.see(each);
        for (const each of events) if (each.position <= aged) survey.note(each, each.time);
        const left = events.filter((each) => each.position > aged || isKept(each, survey));
        // A part of it may be written again in this pass, and the rest in a later one.
        events = events.filter((each) => left.includes(each) || each.position % 3 === step % 3);
        for (let moment = Math.min(aged, log.length); moment <= log.length; moment += 1) {
          const then = events.filter(({ position }) => position <= moment);
          if (hashOf(fold(then)) !== hashOf(fold(log.slice(0, moment)))) return false;
        }
        if (hashOf(fold([...events, ...log])) !== hashOf(fold(log))) return false;
        // The end of a life is there as long as anything is that would bring it up.
        const before = alive(log);
        if (alive(events).some((id) => !before.includes(id))) return false;
      }
      return true;
    }),
    { numRuns: 150 },
  );
});

t.test("what retention protects stays as it was, where it was", async () => {
  fc.assert(
    fc.property(anyLog, fc.integer({ min: 2, max: 4 }), (log, every) => {
      const mayForget = ({ position }: Event): boolean => position % every !== 0;
      const { events } = forget(segmentsOf(log), log, mayForget);
      const left = new Set(events.map(brief));
      return log.every((each) => mayForget(each) || left.has(brief(each)));
    }),
    { numRuns: 200 },
  );
});

t.test("the chain goes on where it would have", async () => {
  fc.assert(
    fc.property(anyLog, (log) => {
      const segments = segmentsOf(log);
      return forget(segments, log).covers.every(({ segment: cover }) => {
        const ofOrigin = segments.filter(({ segment }) => segment.origin === cover.origin);
        const hash = (before: Uint8Array, segment: Segment): Uint8Array => chainHash(before, segment, digest);
        const end = ofOrigin.map(({ segment }) => segment).reduce(hash, zeroHash);
        return hex(hash(zeroHash, cover)) === hex(end) && cover.lo === 1 && cover.count === ofOrigin.length;
      });
    }),
    { numRuns: 100 },
  );
});

const life = eventId(c1, 1);

/** Sequences that are left of a log of one origin. */
function left(drafts: readonly Parameters<typeof event>[2][], origin: Incarnation = c1): number[] {
  const events = drafts.map((draft, index) => ({ ...event(origin, index + 1, draft), position: index + 1 }));
  return forget(segmentsOf(events), events).events.map(({ seq }) => seq);
}

t.test("of a slot the latest is left", async (t) => {
  t.strictSame(
    left([applied(), desired("1", life), desired("2", life), desired("1", life, "other")]),
    [1, 3, 4],
  );
  t.strictSame(
    left([applied(), applied({ spec: 2 }, life)]),
    [2],
    "what began the life too, when it was said again",
  );
});

t.test("of what another version may not apply, it knows only by type and class: each is left", async (t) => {
  const other = { ...desired("2", life), type: "twin.wished" };
  t.strictSame(left([applied(), desired("1", life), other]), [1, 2, 3]);
  t.strictSame(left([applied(), desired("1", life), { ...desired("2", life), class: "audit" }]), [1, 2, 3]);
});

t.test("of an object that was deleted, that it was", async (t) => {
  t.strictSame(left([applied(), desired("1", life), deleted(life), applied()]), [3, 4]);
});

t.test("a node ends no life, whatever it says", async (t) => {
  t.strictSame(left([reported("1", life), deleted(life)], n1), [1, 2]);
});

t.test("of what replaces nothing, what folds need", async (t) => {
  const body = { incarnation: n1, generation: 1, previous: null, end: 0 };
  const opened = { type: originOpened, class: "audit", key: "origins", body } as const;
  const corrected = {
    type: clockCorrected,
    class: "audit",
    key: "clock",
    body: { offset: 1, since: 0 },
  } as const;
  t.strictSame(left([said("a"), opened, said("b"), corrected]), [2, 4]);
  t.notOk(isNeededForEver({ type: "said", slot: undefined }));
});

t.test("a report of an object that is not here yet is left", async (t) => {
  t.strictSame(left([reported("1", life), reported("2", life)], n1), [2]);
});

t.test("its bytes are those that its origin wrote", async (t) => {
  const only = { ...event(c1, 1, applied()), position: 1 };
  const [placed] = segmentsOf([only]) as [PlacedSegment];
  const { covers } = forget([placed], [only]);
  const [cover] = covers as [PlacedSegment];
  t.strictSame(keptOf(cover.segment, 1)[0]?.bytes, placed.segment.events);
  t.equal(keptOf(cover.segment, 1)[0]?.event.key, thermo);
});
