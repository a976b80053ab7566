import * as fc from "fast-check";
import t from "tap";
import { encodeEvent, pack, unpack } from "../../core/codec.ts";
import type { Event, EventId } from "../../core/event.ts";
import { History, type EncodedHistory, decodeHistory, encodeHistory } from "../../core/history.ts";
import { Marks } from "../../core/marks.ts";
import { isOpen } from "../../core/replay.ts";
import { type Segment, encodeSegment, zeroHash } from "../../core/segment.ts";
import { Staged } from "../../core/staged.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { TailCache } from "../../core/tail-cache.ts";
import { c1, n1 } from "./drafts.ts";
import { applied, deleted, reported, thermo } from "./log-site.ts";

const hash = (value: number): Uint8Array => Uint8Array.of(value);

/** A history of segments of two events: durable ones, then ones past holes. */
function historyOf(durable: number, ...beyond: number[]): History {
  const history = new History(n1);
  for (let lo = 1; lo < durable; lo += 2) history.settle({ lo, count: 2 }, hash(lo));
  for (const lo of beyond) history.extendBeyond({ lo, count: 2 });
  return history;
}

t.test("where a segment stands", async (t) => {
  const history = historyOf(4, 9, 11);
  const cases: [number, number, string][] = [
    [1, 2, "held"],
    [3, 2, "held"],
    [5, 2, "next"],
    [7, 2, "gap"],
    [9, 2, "held"],
    [9, 4, "held"],
    [11, 2, "held"],
    [13, 2, "gap"],
    [3, 4, "gap"],
  ];
  for (const [lo, count, place] of cases) t.equal(history.place({ lo, count }), place, `${lo}+${count}`);
  history.stage({ lo: 5, count: 4 }, hash(5));
  t.equal(history.place({ lo: 5, count: 4 }), "held", "on its way to the disk");
  t.equal(history.end, 4, "and not durable yet");
  t.equal(history.place({ lo: 9, count: 2 }), "known");
  t.equal(history.place({ lo: 13, count: 2 }), "gap");
});

t.test("holes", async (t) => {
  const history = historyOf(4, 13, 9, 9);
  t.strictSame(history.beyond, [
    { from: 9, to: 10 },
    { from: 13, to: 14 },
  ]);
  t.strictSame(history.hole, { from: 5, to: 8 });
  t.equal(history.top, 14);
  history.settle({ lo: 5, count: 4 }, hash(5));
  t.equal(history.hole, undefined, "filled: what is past it only has to be taken in");
  history.settle({ lo: 9, count: 2 }, hash(9));
  t.strictSame(history.hole, { from: 11, to: 12 });
  history.settle({ lo: 5, count: 4 }, hash(1));
  t.equal(history.end, 10, "twice the same changes nothing");
  t.strictSame(history.hash, hash(9));
  history.settle({ lo: 11, count: 2 }, hash(11));
  history.settle({ lo: 13, count: 2 }, hash(13));
  t.strictSame([history.end, history.top, history.hole, history.beyond], [14, 14, undefined, []]);
});

t.test("a history comes back from a checkpoint, holes and all", async (t) => {
  const history = historyOf(4, 9, 13);
  history.closedAt = 20;
  const back = decodeHistory(unpack(pack(encodeHistory(history))) as EncodedHistory);
  t.same(encodeHistory(back), encodeHistory(history));
  t.strictSame([back.end, back.stagedEnd, back.top, back.hole], [4, 4, 14, { from: 5, to: 8 }]);
});

t.test("marks are few, dense near the head, and never far from any point", async () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 600, size: "max" }),
      (steps) => {
        const marks = new Marks();
        const all: number[] = [];
        let seq = 0;
        for (const step of steps) {
          seq += step;
          all.push(seq);
          marks.add({ seq, hash: hash(0) });
        }
        const kept = marks.all.map((mark) => mark.seq);
        const inOrder = kept.every((value, index) => index === 0 || value > (kept[index - 1] ?? 0));
        const newest = all.slice(-8).every((value) => kept.includes(value));
        // Twice as far back there is one.
        const spread = all.every((value) => {
          const before = marks.before(value)?.seq ?? 0;
          return before <= value && seq - before <= 4 * (seq - value) + 400;
        });
        return kept.length <= 64 && inOrder && newest && spread;
      },
    ),
    { numRuns: 200 },
  );
});

t.test("staged", async (t) => {
  const event = (seq: number, draft: ReturnType<typeof applied>): Event => ({
    ...draft,
    body: draft.body ?? null,
    origin: draft.type.startsWith("resource") ? c1 : n1,
    seq,
    time: 1,
    seen: [],
    position: 0,
  });
  const life = `${c1}/1` as EventId;

  t.test("the latest of a slot is what counts, until it is durable", async (t) => {
    const staged = new Staged();
    const [first, second] = [event(1, reported("1", life)), event(2, reported("2", life))];
    staged.add(first);
    staged.add(second);
    t.equal(staged.latest(thermo, "reported/temperature"), second);
    staged.settle(first);
    t.equal(staged.latest(thermo, "reported/temperature"), second);
    staged.settle(second);
    t.equal(staged.latest(thermo, "reported/temperature"), undefined);
  });

  t.test("births and ends", async (t) => {
    const staged = new Staged();
    const birth = event(1, applied());
    const end = event(2, deleted(life));
    const rebirth = event(3, applied());
    t.equal(staged.life(thermo), undefined, "neither is staged");
    staged.add(birth);
    t.equal(staged.life(thermo)?.id, life);
    staged.add(end);
    t.strictSame(staged.life(thermo)?.id, undefined);
    t.ok(staged.life(thermo), "an end is staged");
    t.equal(staged.latest(thermo, "spec"), undefined);
    staged.add(rebirth);
    t.equal(staged.life(thermo)?.id, `${c1}/3`);
    for (const each of [birth, end]) staged.settle(each);
    t.equal(staged.life(thermo)?.id, `${c1}/3`);
    staged.settle(rebirth);
    t.equal(staged.life(thermo), undefined);
  });

  t.test("a report without a life begins none", async (t) => {
    const staged = new Staged();
    staged.add(event(1, { ...reported("1", life), life: undefined }));
    t.equal(staged.life(thermo), undefined);
  });
});

t.test("the tail that is kept in memory", async (t) => {
  const made = (lo: number, count: number, size = 100): Segment => {
    const draft = { type: "said", class: "message", key: "hall", body: new Uint8Array(size) } as const;
    const events = Array.from({ length: count }, (_, index) => encodeEvent(draft, lo + index, 1));
    return encodeSegment({ origin: n1, lo, seen: [], events }, zeroHash, nodeDigest).segment;
  };
  const los = (found: Segment[] | undefined): number[] | undefined => found?.map(({ lo }) => lo);

  t.test("serves from any sequence that it reaches back to", async (t) => {
    const cache = new TailCache();
    t.equal(cache.from(1, 1000), undefined);
    for (const lo of [5, 8, 11]) cache.add(made(lo, 3));
    t.equal(los(cache.from(4, 1e6)), undefined);
    for (const seq of [5, 6, 7]) t.strictSame(los(cache.from(seq, 1e6)), [5, 8, 11]);
    for (const seq of [8, 10]) t.strictSame(los(cache.from(seq, 1e6)), [8, 11]);
    t.strictSame(los(cache.from(13, 1e6)), [11]);
    t.equal(los(cache.from(14, 1e6)), undefined, "there is nothing yet");
    t.strictSame(los(cache.from(5, 1)), [5], "at least one");
    cache.clear();
    t.equal(cache.from(11, 1e6), undefined);
  });

  t.test("what fills a hole further back is no part of it, and it has no holes itself", async (t) => {
    const cache = new TailCache();
    for (const lo of [11, 5, 14]) cache.add(made(lo, 3));
    t.strictSame(los(cache.from(11, 1e6)), [11, 14]);
    t.equal(cache.from(5, 1e6), undefined);
    cache.add(made(20, 3));
    t.equal(cache.from(14, 1e6), undefined);
    t.strictSame(los(cache.from(20, 1e6)), [20]);
  });

  t.test("keeps to its bound, whatever comes", async (t) => {
    const cache = new TailCache();
    let lo = 1;
    for (const size of [500_000, 500_000, 500_000, 900_000, 1_500_000, 10, 1_500_000]) {
      cache.add(made(lo, 1, size));
      lo += 1;
      const held =
        Array.from({ length: lo }, (_, seq) => cache.from(seq, 1e9)).find((list) => list !== undefined) ?? [];
      t.ok(held.reduce((sum, { bytes }) => sum + bytes.length, 0) <= 2 * 1024 * 1024);
    }
  });
});

t.test(
  "damage that reaches past the end of a closed incarnation is over when all before that end is back",
  async (t) => {
    const problem = { code: "SEGMENT_CORRUPT", origin: n1, from: 3, to: 9 } as const;
    const isOpenWith = (durable: number): boolean => {
      const history = historyOf(durable);
      history.closedAt = 6;
      return isOpen(problem, new Map([[n1, history]]), []);
    };
    t.equal(isOpenWith(4), true, "5 and 6 are still missing");
    t.equal(isOpenWith(6), false, "what came after was never anybody's");
  },
);
