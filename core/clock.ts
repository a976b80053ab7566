/**
 * The hybrid clock of one log: never goes back within an era, and follows the peer a little way ahead.
 *
 * Boards without a battery boot in 1970, and some disks remember 2100. When the wall clock and the log disagree by
 * more than a minute the clock starts a new era, and says so in a `clock.corrected` event, whose body carries what to
 * add to the times of the era that ends, and since when that was wrong. Readers of the past compare calibrated times
 * (`calibratedTime`).
 */
import type { Body, Draft, Event, Incarnation } from "./event.ts";
import type { Clock } from "./ports.ts";

export const clockCorrected = "clock.corrected";

/** Further than this is not drift but a clock that was, or is, wrong. */
const toleranceMs = 60_000;

/** A wall clock that says less than this was never set: 2026-01-01. */
const plausibleFromMs = 1_767_225_600_000;

const noCorrections: readonly Draft[] = [];

export class HybridClock {
  readonly #clock: Clock;
  /** The latest time given out or followed. */
  #last: number;
  /** Added to the wall clock while that was never set and the log knows better. */
  #offset = 0;
  #wallBefore: number;
  #monotonicBefore: number;
  #eraPlausible: boolean;
  /** The wall clock at the last `now`. */
  #readAt: number | undefined;
  /** What was written at later times than this, was written by a clock that was never set. */
  readonly #unsetSince: number;
  #corrections: Draft[] = [];

  /** @param last time of this side's newest event in the log, or 0 */
  constructor(clock: Clock, last: number) {
    this.#clock = clock;
    this.#last = last;
    const wall = clock.now();
    this.#wallBefore = wall;
    this.#monotonicBefore = clock.monotonic();
    this.#eraPlausible = wall >= plausibleFromMs;
    this.#unsetSince = last >= plausibleFromMs ? last : 0;
    if (this.#eraPlausible) {
      const isBehind = wall < last - toleranceMs;
      const wasUnset = last > 0 && last < plausibleFromMs;
      if (isBehind || wasUnset) this.#startEra(wall, wall - last);
    } else if (wall < last - toleranceMs) {
      this.#offset = last + 1 - wall;
    }
  }

  /** Ms since the epoch; not less than any time given before in this era. */
  now(): number {
    const time = Math.floor(this.#read());
    if (time > this.#last) this.#last = time;
    return this.#last;
  }

  /** What the wall clock says now, or would say if it had been set. Takes note of a jump. */
  #read(): number {
    const wall = this.#clock.now();
    // Within one millisecond nothing can have jumped: under load most calls end here.
    if (wall === this.#readAt) return wall + this.#offset;
    this.#readAt = wall;
    const monotonic = this.#clock.monotonic();
    const jump = wall - this.#wallBefore - (monotonic - this.#monotonicBefore);
    if (jump > toleranceMs || jump < -toleranceMs) this.#jumped(wall, jump);
    this.#wallBefore = wall;
    this.#monotonicBefore = monotonic;
    return wall + this.#offset;
  }

  /** Takes note of a peer's event time, at most a minute ahead of the own clock. */
  follow(time: number): void {
    const limit = this.#read() + toleranceMs;
    this.#last = Math.max(this.#last, Math.floor(Math.min(time, limit)));
  }

  /** The events to append where eras have begun; each is handed out once. */
  takeCorrections(): readonly Draft[] {
    if (this.#corrections.length === 0) return noCorrections;
    const taken = this.#corrections;
    this.#corrections = [];
    return taken;
  }

  #jumped(wall: number, jump: number): void {
    if (wall < plausibleFromMs) {
      this.#offset = this.#last - wall;
      return;
    }
    // While the clock was unset the log's time went on without it: what counts is how far that is off.
    const moved = jump - this.#offset;
    if (Math.abs(moved) <= toleranceMs) {
      this.#offset = 0;
      this.#eraPlausible = true;
      return;
    }
    // A machine that slept also jumps ahead; what it wrote before it slept was right, and is not moved.
    const wasRight = this.#eraPlausible && moved > 0;
    this.#startEra(wall, wasRight ? 0 : moved);
  }

  #startEra(wall: number, offset: number): void {
    const from = this.#last;
    const to = Math.floor(wall);
    this.#offset = 0;
    this.#last = to;
    this.#eraPlausible = true;
    if (offset === 0) return;
    // Of a clock that was ahead, only the times that are still to come are known to be wrong.
    const since = offset < 0 ? to : this.#unsetSince;
    const body: Body = { from, to, offset: Math.round(offset), since };
    this.#corrections.push({ type: clockCorrected, class: "audit", key: "clock", body });
  }
}

/** Corrections of each origin, by the sequence at which they were made. */
export type Eras = ReadonlyMap<Incarnation, readonly Era[]>;

export interface Era {
  /** Sequence of the `clock.corrected` event: events before it are moved. */
  readonly seq: number;
  /** Ms to add to their times. */
  readonly offset: number;
  /** Only times later than this are moved: those before were right. */
  readonly since: number;
}

/** An event's time as the clock that was put right since would have said it. */
export function calibratedTime(eras: Eras, event: Pick<Event, "origin" | "seq" | "time">): number {
  let offset = 0;
  for (const era of eras.get(event.origin) ?? []) {
    if (event.seq < era.seq && event.time > era.since) offset += era.offset;
  }
  return event.time + offset;
}

/** What a `clock.corrected` event says. @returns undefined when its body is not one */
export function readCorrection(event: Pick<Event, "seq" | "body">): Era | undefined {
  const { offset, since } = (event.body ?? {}) as { offset?: unknown; since?: unknown };
  if (typeof offset !== "number" || !Number.isFinite(offset)) return undefined;
  return { seq: event.seq, offset, since: typeof since === "number" ? since : 0 };
}
