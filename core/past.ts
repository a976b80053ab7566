/**
 * What was so: the cut at an instant, the state of objects at a cut, and the order of events in time. Each origin's events
 * are looked up by themselves, so what is asked for need not be near to cost little.
 */
import { calibratedTime } from "./clock.ts";
import { type Cut, compareInSide, emptyCut, extendCut, isWithin } from "./cut.ts";
import { endedKey } from "./ended.ts";
import { type Event, type Incarnation, type Seen, sideOf } from "./event.ts";
import type { Cancelled } from "./follow.ts";
import { type Generations, originReset } from "./generations.ts";
import type { Range } from "./history.ts";
import type { Log } from "./log.ts";
import { type Registers, registersProjection } from "./registers.ts";
import type { Problem } from "./replay.ts";

/** What of a log its past is read from. `pastOf` makes one of a `Log`. */
export interface PastLog extends Pick<
  Log,
  "id" | "side" | "position" | "registers" | "histories" | "problems" | "eventAt" | "applies"
> {
  /** The events of an origin that are held of a range, in order of sequence. @throws LOG_CLOSED when nobody waits any more */
  events(origin: Incarnation, range: Range, gone?: Cancelled): AsyncIterable<readonly Event[]>;
  /** The last sequence of an origin whose corrected time is not later; 0 for none. */
  lastAt(origin: Incarnation, timeMs: number, gone?: Cancelled): Promise<number>;
  /**
   * What the registers of an object are folded from at a cut: at least the latest of each origin, life and slot. Of
   * `endedKey` the latest `lives.ended` of each origin.
   */
  stateOf(key: string, cut: Cut, gone?: Cancelled): Promise<readonly Event[]>;
}

/** Of each side the last event whose time, as the clocks that were put right since would have said it, is not later. */
export async function cutAt(log: PastLog, timeMs: number, gone?: Cancelled): Promise<Cut> {
  const { generations } = log.registers;
  let cut = emptyCut;
  for (const { origin } of log.histories.values()) {
    const seq = await log.lastAt(origin, timeMs, gone);
    if (seq > 0) cut = extendCut(cut, { origin, seq }, generations);
  }
  return cut;
}

/** Whether the times of an origin only rise, so that one can be looked for. */
export function isOrdered({ registers, problems }: PastLog, origin: Incarnation): boolean {
  const isWhole = problems.every((problem) => problem.origin !== undefined && problem.origin !== origin);
  return isWhole && !registers.eras.has(origin);
}

/** The first event of a range that is held: others may have been let go. */
async function firstHeld(log: PastLog, origin: Incarnation, range: Range): Promise<Event | undefined> {
  const event = await log.eventAt(origin, range.from);
  if (event !== undefined) return event;
  for await (const [first] of log.events(origin, range)) if (first !== undefined) return first;
  return undefined;
}

/** All that is held. */
export function cutNow({ histories, registers }: Pick<PastLog, "histories" | "registers">): Cut {
  let cut = emptyCut;
  for (const { origin, top } of histories.values()) {
    if (top > 0) cut = extendCut(cut, { origin, seq: top }, registers.generations);
  }
  return cut;
}

/** The latest sequence of each origin that counts in. */
export function vectorOf(
  cut: Cut,
  { histories, registers }: Pick<PastLog, "histories" | "registers">,
): Record<Incarnation, number> {
  const vector: Record<Incarnation, number> = {};
  for (const { origin, top } of histories.values()) {
    const last = cut[sideOf(origin)];
    if (last === undefined || top === 0) continue;
    if (last.origin === origin) vector[origin] = last.seq;
    else if (compareInSide(registers.generations, { origin, seq: top }, last) < 0) vector[origin] = top;
  }
  return vector;
}

/**
 * The registers of some objects as they were at a cut. Generations and corrections of clocks are what is known of them
 * now: they say how events are to be read, not what was so.
 */
export async function registersAt(
  log: PastLog,
  cut: Cut,
  keys: readonly string[],
  gone?: Cancelled,
): Promise<Registers> {
  const { generations, eras } = log.registers;
  const state: Registers = {
    ...registersProjection.initial(),
    generations: new Map(generations),
    eras: new Map(eras),
  };
  for (const event of await resetsWithin(log, cut, gone)) registersProjection.apply(state, event);
  for (const event of await endedWithin(log, cut, gone)) registersProjection.apply(state, event);
  for (const key of keys) await addState(state, log, { key, cut, gone });
  return state;
}

/** Adds one more object to what `registersAt` gave. */
export async function addState(
  state: Registers,
  log: PastLog,
  { key, cut, gone }: { readonly key: string; readonly cut: Cut; readonly gone: Cancelled | undefined },
): Promise<void> {
  for (const event of await log.stateOf(key, cut, gone)) registersProjection.apply(state, event);
}

/** Where a cloud began anew, which is rare: only then the log is walked for it. */
async function resetsWithin(log: PastLog, cut: Cut, gone: Cancelled | undefined): Promise<Event[]> {
  if (log.registers.reset === undefined) return [];
  const found: Event[] = [];
  for (const { origin, top } of log.histories.values()) {
    if (sideOf(origin) !== "cloud") continue;
    for await (const events of log.events(origin, { from: 1, to: top }, gone)) {
      for (const event of events) {
        const isReset = event.type === originReset && log.applies(event);
        if (isReset && isWithin(cut, event, log.registers.generations)) found.push(event);
      }
    }
  }
  return found;
}

/**
 * Which lives were over for good. What ended one may have been let go since, while something under it came late: of a
 * side that was put back, say.
 */
async function endedWithin(
  log: PastLog,
  { cloud }: Cut,
  gone: Cancelled | undefined,
): Promise<readonly Event[]> {
  const { ended, reset } = log.registers;
  // Where none is over for good now, none was; but for those of a cloud that began anew since.
  if (ended.size === 0 && reset === undefined) return [];
  return log.stateOf(endedKey, { cloud, node: undefined }, gone);
}

/** A place in the order of time: an instant, which comes before all events of that time, or that of an event. */
export interface Place {
  /** Ms since the epoch, calibrated. */
  readonly time: number;
  readonly event: Seen | undefined;
}

export function placeOf({ eras }: Pick<Registers, "eras">, event: Event): Place {
  return { time: calibratedTime(eras, event), event: { origin: event.origin, seq: event.seq } };
}

/** By time; at one time an instant first, then the cloud's events, then the node's, each side's in its own order. */
export function comparePlaces(generations: Generations, a: Place, b: Place): number {
  if (a.time !== b.time) return a.time - b.time;
  if (a.event === undefined || b.event === undefined) {
    return Number(a.event !== undefined) - Number(b.event !== undefined);
  }
  const side = sideOf(a.event.origin);
  if (side !== sideOf(b.event.origin)) return side === "cloud" ? -1 : 1;
  return compareInSide(generations, a.event, b.event);
}

/** Where what a log holds begins. */
export interface Beginning {
  /** Ms since the epoch: the time of the first event that is held. */
  readonly time: number;
  /** Whether there were events before it, which are no longer kept. */
  readonly isForgotten: boolean;
}

/** The one place that says how far back a log can be asked. @returns undefined for a log without events */
export async function beginningOf(log: PastLog): Promise<Beginning | undefined> {
  let first: Event | undefined;
  let isForgotten = false;
  // A node's own first events may reach the cloud after the cloud's, and be older.
  let whole = Number.NEGATIVE_INFINITY;
  for (const { origin, top, wholeFrom } of log.histories.values()) {
    if (top === 0) continue;
    if (wholeFrom > 0) whole = Math.max(whole, await timeFrom(log, { origin, seq: wholeFrom }, top));
    const event = await log.eventAt(origin, 1);
    if (event === undefined) isForgotten ||= !log.problems.some((problem) => isOf(problem, origin));
    else if (first === undefined || timeOf(log, event) < timeOf(log, first)) first = event;
  }
  first ??= await firstOfAny(log);
  if (first === undefined) return undefined;
  const time = timeOf(log, first);
  return whole < time ? { time, isForgotten } : { time: whole, isForgotten: true };
}

/** When something was that an origin held from a sequence on; where that is still to come, the last it had before. */
async function timeFrom(log: PastLog, { origin, seq }: Seen, top: number): Promise<number> {
  const first = await firstHeld(log, origin, { from: seq, to: top });
  const event = first ?? (await log.eventAt(origin, await log.lastAt(origin, Infinity)));
  return event === undefined ? Number.NEGATIVE_INFINITY : timeOf(log, event);
}

/** The first that is held of any origin, where none is held from its beginning. */
async function firstOfAny(log: PastLog): Promise<Event | undefined> {
  for (const { origin, top } of log.histories.values()) {
    const event = await firstHeld(log, origin, { from: 1, to: top });
    if (event !== undefined) return event;
  }
  return undefined;
}

function timeOf({ registers }: PastLog, event: Event): number {
  return calibratedTime(registers.eras, event);
}

function isOf(problem: Problem, origin: Incarnation): boolean {
  return problem.origin === undefined || problem.origin === origin;
}
