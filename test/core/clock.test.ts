import * as fc from "fast-check";
import t from "tap";
import { type Era, HybridClock, calibratedTime, readCorrection } from "../../core/clock.ts";
import type { Clock } from "../../core/ports.ts";
import { n1 } from "./drafts.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const now2026 = Date.UTC(2026, 8, 1);
const now2100 = Date.UTC(2100, 0, 1);

/** A board: its wall clock may be set, its monotonic one only runs. */
class Board implements Clock {
  wallMs: number;
  monotonicMs = 5 * second;

  constructor(wallMs: number) {
    this.wallMs = wallMs;
  }

  now(): number {
    return this.wallMs;
  }

  monotonic(): number {
    return this.monotonicMs;
  }

  pass(ms: number): void {
    this.wallMs += ms;
    this.monotonicMs += ms;
  }
}

interface Written {
  readonly seq: number;
  readonly time: number;
}

/** What a log writes by its clock: events, and corrections where eras begin. */
class Writer {
  readonly events: Written[] = [];
  readonly eras: Era[] = [];
  #seq = 0;

  write(clock: HybridClock): Written {
    const time = clock.now();
    for (const draft of clock.takeCorrections()) {
      this.#seq += 1;
      const era = readCorrection({ seq: this.#seq, body: draft.body ?? null });
      if (era !== undefined) this.eras.push(era);
    }
    this.#seq += 1;
    const event = { seq: this.#seq, time };
    this.events.push(event);
    return event;
  }

  get last(): number {
    return this.events.at(-1)?.time ?? 0;
  }

  calibrated(event: Written): number {
    return calibratedTime(new Map([[n1, this.eras]]), { ...event, origin: n1 });
  }
}

t.test("a board that boots in 1970 with an empty log, and then hears the time", async (t) => {
  const board = new Board(3 * second);
  const clock = new HybridClock(board, 0);
  const writer = new Writer();
  const early = writer.write(clock);
  t.equal(early.time, 3 * second);
  board.pass(hour);
  board.wallMs += now2026;
  const late = writer.write(clock);
  t.equal(late.time, now2026 + hour + 3 * second);
  t.equal(writer.eras.length, 1);
  t.equal(late.time - writer.calibrated(early), hour, "as far apart as they were");
  t.equal(writer.calibrated(late), late.time);
});

t.test("a board that boots in 1970 with a log goes on where that ended", async (t) => {
  const writer = new Writer();
  const good = writer.write(new HybridClock(new Board(now2026), 0));
  const board = new Board(2 * second);
  const clock = new HybridClock(board, writer.last);
  const first = writer.write(clock);
  t.ok(first.time > good.time && first.time < good.time + second);
  board.pass(minute);
  const unset = writer.write(clock);
  t.ok(unset.time - first.time <= minute && unset.time - first.time > minute - 10);
  t.equal(writer.eras.length, 0, "nothing is known to be wrong yet");
  board.wallMs = now2026 + 10 * day;
  const set = writer.write(clock);
  t.equal(set.time, now2026 + 10 * day);
  t.equal(writer.calibrated(good), now2026, "what was right before is not moved");
  t.ok(set.time - writer.calibrated(unset) < second, "what was written meanwhile is");
  t.ok(set.time - writer.calibrated(first) <= minute);
});

t.test("what was written in 1970 before a reboot is moved too", async (t) => {
  const writer = new Writer();
  const board = new Board(10 * minute);
  const before = writer.write(new HybridClock(board, 0));
  const rebooted = new Board(now2026);
  const after = writer.write(new HybridClock(rebooted, writer.last));
  t.equal(after.time, now2026);
  t.equal(writer.calibrated(before), now2026, "not later than the boot that knew the time");
});

t.test("a clock that says 2100, and then is put right", async (t) => {
  t.test("while it runs", async (t) => {
    const board = new Board(now2026);
    const clock = new HybridClock(board, 0);
    const writer = new Writer();
    const good = writer.write(clock);
    board.wallMs = now2100;
    const wrong = writer.write(clock);
    t.equal(wrong.time, now2100);
    board.pass(hour);
    board.wallMs = now2026 + hour;
    const right = writer.write(clock);
    t.equal(right.time, now2026 + hour);
    t.equal(writer.calibrated(good), now2026);
    t.equal(writer.calibrated(wrong), now2026);
  });

  t.test("between two runs", async (t) => {
    const writer = new Writer();
    const good = writer.write(new HybridClock(new Board(now2026), 0));
    const wrong = writer.write(new HybridClock(new Board(now2100), writer.last));
    t.equal(wrong.time, now2100);
    const clock = new HybridClock(new Board(now2026 + day), writer.last);
    const right = writer.write(clock);
    t.equal(right.time, now2026 + day);
    t.equal(writer.calibrated(good), now2026, "what was right before is not moved");
    t.equal(writer.calibrated(wrong), now2026 + day);
    const again = writer.write(new HybridClock(new Board(now2026 + 2 * day), writer.last));
    t.equal(again.time, now2026 + 2 * day);
    t.equal(writer.eras.length, 1, "it is put right once");
  });
});

t.test("a little drift back is waited out", async (t) => {
  const board = new Board(now2026);
  const clock = new HybridClock(board, 0);
  const writer = new Writer();
  const before = writer.write(clock);
  board.wallMs -= 50 * second;
  t.equal(writer.write(clock).time, before.time);
  board.pass(minute);
  t.equal(writer.write(clock).time, now2026 + 10 * second);
  t.equal(writer.eras.length, 0);
});

t.test("a machine that slept was right before: nothing is moved", async (t) => {
  const board = new Board(now2026);
  const clock = new HybridClock(board, 0);
  const writer = new Writer();
  const before = writer.write(clock);
  board.wallMs += 9 * hour;
  t.equal(writer.write(clock).time, now2026 + 9 * hour);
  t.equal(writer.eras.length, 0);
  t.equal(writer.calibrated(before), now2026);
});

t.test("a wall clock that falls to 1970 and comes back moves nothing", async (t) => {
  const board = new Board(now2026);
  const clock = new HybridClock(board, 0);
  const writer = new Writer();
  writer.write(clock);
  board.wallMs = second;
  const during = writer.write(clock);
  t.equal(during.time, now2026);
  board.pass(minute);
  t.equal(writer.write(clock).time, now2026 + minute);
  board.wallMs = now2026 + hour;
  t.equal(writer.write(clock).time, now2026 + hour);
  t.equal(writer.calibrated(during), now2026);
});

t.test("the peer is followed by a minute, and no further", async (t) => {
  const board = new Board(now2026);
  const clock = new HybridClock(board, 0);
  clock.follow(now2026 + 30 * second);
  t.equal(clock.now(), now2026 + 30 * second);
  clock.follow(now2100);
  t.equal(clock.now(), now2026 + minute);
  clock.follow(0);
  t.equal(clock.now(), now2026 + minute, "never back");
  clock.follow(now2026 + minute + 0.5);
  t.ok(Number.isInteger(clock.now()), "whole ms");
  board.pass(2 * minute);
  t.equal(clock.now(), now2026 + 2 * minute);
  t.same(clock.takeCorrections(), []);
});

t.test("within an era time never goes back", async () => {
  const move = fc.oneof(
    fc.record({ pass: fc.integer({ min: 0, max: 10 * minute }) }),
    fc.record({ drift: fc.integer({ min: -20 * second, max: 20 * second }) }),
    fc.record({ follow: fc.integer({ min: -hour, max: hour }) }),
    fc.record({ jump: fc.constantFrom(-2 * hour, 8 * hour, 70 * 365 * day) }),
  );
  const starts = fc.constantFrom(0, 5 * minute, now2026);
  fc.assert(
    fc.property(starts, fc.array(move, { maxLength: 40, size: "max" }), (start, moves) => {
      const board = new Board(start);
      const clock = new HybridClock(board, 0);
      const writer = new Writer();
      let held = writer.write(clock);
      for (const step of moves) {
        const wall = board.wallMs;
        if ("pass" in step) board.pass(step.pass);
        else if ("drift" in step) board.wallMs += step.drift;
        else if ("follow" in step) clock.follow(wall + step.follow);
        else board.wallMs = Math.max(0, wall + step.jump);
        const next = writer.write(clock);
        const sameEra = writer.eras.every(({ seq }) => seq < held.seq || seq > next.seq);
        if (sameEra && next.time < held.time) return false;
        if (!Number.isSafeInteger(next.time) || next.time < 0) return false;
        held = next;
      }
      return writer.eras.every((era) => Number.isSafeInteger(era.offset));
    }),
    { numRuns: 1000 },
  );
});

t.test("what is no correction is not taken for one", async (t) => {
  for (const body of [null, "x", [], {}, { offset: "1" }, { offset: Number.NaN }, { offset: Infinity }]) {
    t.equal(readCorrection({ seq: 1, body }), undefined);
  }
  t.strictSame(readCorrection({ seq: 4, body: { offset: 5 } }), { seq: 4, offset: 5, since: 0 });
});

t.test("a clock that was ahead, then unset, is corrected by how far the log's time was ahead", async (t) => {
  const board = new Board(now2100);
  const clock = new HybridClock(board, 0);
  const writer = new Writer();
  writer.write(clock);
  board.wallMs = 2 * second;
  const unset = writer.write(clock);
  t.ok(unset.time >= now2100, "the log's time goes on");
  board.wallMs = now2026;
  t.equal(writer.write(clock).time, now2026);
  t.equal(writer.eras.length, 1);
  t.equal(writer.eras[0]?.offset, now2026 - unset.time);
});

t.test("a clock that was right, then unset, then right again, needs no correction", async (t) => {
  const board = new Board(now2026);
  const clock = new HybridClock(board, 0);
  const writer = new Writer();
  writer.write(clock);
  board.wallMs = 2 * second;
  const unset = writer.write(clock);
  board.wallMs = now2026 + second;
  t.ok(writer.write(clock).time >= unset.time);
  t.strictSame(writer.eras, []);
});

t.test("a peer is not followed by an offset that the clock has outlived", async (t) => {
  const board = new Board(2 * second);
  const clock = new HybridClock(board, now2026);
  t.equal(clock.now(), now2026 + 1, "unset, it goes on where the log ended");
  board.wallMs = now2026 + second;
  clock.follow(now2100);
  t.ok(clock.now() <= now2026 + second + minute);
});
