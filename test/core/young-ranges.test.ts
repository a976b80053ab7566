/** Where nothing is old enough to be forgotten: as a plain list of positions would say it. */
import * as fc from "fast-check";
import t from "tap";
import { YoungRanges } from "../../core/young-ranges.ts";

const hour = 3_600_000;
const size = 40;

t.test("of any notes, in any order, what was noted last counts", (t) => {
  const note = fc.record({
    from: fc.integer({ min: 1, max: size }),
    length: fc.nat(12),
    due: fc.option(fc.integer({ min: 0, max: 40 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(note, { maxLength: 30 }), fc.integer({ min: 0, max: 41 }), (notes, now) => {
      const ranges = new YoungRanges(1);
      const due = new Map<number, number>();
      for (const { from, length, due: hours } of notes) {
        const to = Math.min(size, from + length);
        if (hours === undefined) ranges.drop(from, to);
        else ranges.note({ from, to, dueMs: hours * hour });
        for (let at = from; at <= to; at += 1) {
          if (hours === undefined) due.delete(at);
          else due.set(at, hours);
        }
      }
      for (let at = 1; at <= size; at += 1) {
        const end = ranges.endAt(at, now * hour);
        const isYoung = (due.get(at) ?? -1) > now;
        if (end === undefined) continue;
        // All up to there is young; what comes to its age within an hour is told with the first of it.
        if (!isYoung) throw new Error(`${at} is not young`);
        for (let each = at; each <= end; each += 1)
          if ((due.get(each) ?? -1) <= now)
            throw new Error(`${each} is not young, and ${at} to ${end} is said to be`);
      }
    }),
    { numRuns: 500 },
  );
  t.end();
});

t.test("long ranges are passed over until the first of them is due, short ones never", (t) => {
  const ranges = new YoungRanges(10);
  for (let from = 1; from <= 20; from += 1) ranges.note({ from, to: from, dueMs: 5 * hour + from });
  t.equal(ranges.endAt(1, 5 * hour), 20);
  t.equal(ranges.endAt(7, 5 * hour), 20);
  t.equal(ranges.endAt(7, 5 * hour + 1), undefined);
  t.equal(ranges.endAt(21, 0), undefined);
  ranges.drop(8, 8);
  t.equal(ranges.endAt(7, 0), undefined, "seven are too few");
  t.equal(ranges.endAt(9, 0), 20);
  ranges.clear();
  t.equal(ranges.endAt(9, 0), undefined);
  t.end();
});
