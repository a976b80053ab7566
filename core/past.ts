/**
 * What was so: the state of objects at a cut, and the events of one object in order of time, read off a log.
 *
 * Everything here walks the log, a page at a time. It takes as long as the log is, and memory for a page.
 */
import { calibratedTime } from "./clock.ts";
import { type Cut, compareInSide, emptyCut, extendCut, isWithin } from "./cut.ts";
import { TidemarkError } from "./errors.ts";
import { type Event, type Incarnation, type Seen, sideOf } from "./event.ts";
import type { Cancelled } from "./follow.ts";
import type { Generations } from "./generations.ts";
import type { Log } from "./log.ts";
import { type Registers, registersProjection } from "./registers.ts";
import type { Problem } from "./replay.ts";

/** What of a log its past is read from. */
export type PastLog = Pick<
  Log,
  "id" | "side" | "position" | "registers" | "histories" | "problems" | "read" | "eventAt" | "applies"
>;

export interface Walk {
  /** Positions up to this one; all there are now, unless said. */
  readonly to?: number | undefined;
  /** Ends the walk when nobody waits for it any more. */
  readonly gone?: Cancelled | undefined;
}

/** All events that are held, in order of position. @throws LOG_CLOSED when nobody waits for the answer any more */
export async function* walk(
  log: PastLog,
  { to = log.position, gone }: Walk = {},
): AsyncGenerator<readonly Event[]> {
  for (let next = 1; next <= to;) {
    if (gone?.aborted === true) throw new TidemarkError("LOG_CLOSED", "nobody waits for this any more");
    const events = await log.read(next);
    const last = events.at(-1);
    if (last === undefined) return;
    next = last.position + 1;
    yield last.position <= to ? events : events.filter(({ position }) => position <= to);
  }
}

/** Of each side the last event whose time, as the clocks that were put right since would have said it, is not later. */
export async function cutAt(log: PastLog, timeMs: number, options?: Walk): Promise<Cut> {
  const { generations, eras } = log.registers;
  let cut = emptyCut;
  for await (const events of walk(log, options)) {
    for (const event of events) {
      if (calibratedTime(eras, event) <= timeMs) cut = extendCut(cut, event, generations);
    }
  }
  return cut;
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
 * The registers of the wanted objects as they were at a cut. Generations and corrections of clocks are what is known
 * of them now: they say how events are to be read, not what was so.
 */
export async function registersAt(
  log: PastLog,
  cut: Cut,
  wanted: (key: string) => boolean,
  options?: Walk,
): Promise<Registers> {
  const { generations, eras } = log.registers;
  const state: Registers = {
    ...registersProjection.initial(),
    generations: new Map(generations),
    eras: new Map(eras),
  };
  for await (const events of walk(log, options)) {
    for (const event of events) {
      const isMark = event.slot === undefined && event.deletes !== true;
      if (!isMark && !wanted(event.key)) continue;
      if (isWithin(cut, event, generations) && log.applies(event)) registersProjection.apply(state, event);
    }
  }
  return state;
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

export interface Selection {
  readonly wanted: (event: Event) => boolean;
  /** The first place that counts in. */
  readonly from: Place | undefined;
  /** The first place that no longer does. */
  readonly to: Place | undefined;
  /** Only what comes after this event, in the order asked for. */
  readonly after: Place | undefined;
  /** Latest first. */
  readonly descending: boolean;
  readonly limit: number;
}

/** The first events of a selection, in order of time. Memory for twice the limit, whatever the log's length. */
export async function selectEvents(
  log: PastLog,
  selection: Selection,
  options?: Walk,
): Promise<readonly Event[]> {
  const { wanted, from, to, after, descending, limit } = selection;
  const { generations } = log.registers;
  const sign = descending ? -1 : 1;
  const isIn = (place: Place): boolean =>
    (from === undefined || comparePlaces(generations, place, from) >= 0) &&
    (to === undefined || comparePlaces(generations, place, to) < 0) &&
    (after === undefined || sign * comparePlaces(generations, place, after) > 0);
  let found: { readonly place: Place; readonly event: Event }[] = [];
  const keepFirst = (): void => {
    found.sort((a, b) => sign * comparePlaces(generations, a.place, b.place));
    // What came back after it had been lost may be stored twice.
    found = found.filter(
      ({ place }, index) =>
        index === 0 || comparePlaces(generations, place, (found[index - 1] as (typeof found)[0]).place) !== 0,
    );
    found.length = Math.min(found.length, limit);
  };
  for await (const events of walk(log, options)) {
    for (const event of events) {
      if (!wanted(event) || !log.applies(event)) continue;
      const place = placeOf(log.registers, event);
      if (isIn(place)) found.push({ place, event });
      if (found.length >= 2 * limit + 64) keepFirst();
    }
  }
  keepFirst();
  return found.map(({ event }) => event);
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
  for (const { origin, top } of log.histories.values()) {
    if (top === 0) continue;
    const event = await log.eventAt(origin, 1);
    if (event === undefined) isForgotten ||= !log.problems.some((problem) => isOf(problem, origin));
    else if (first === undefined || timeOf(log, event) < timeOf(log, first)) first = event;
  }
  first ??= (await log.read(1, 1))[0];
  return first === undefined ? undefined : { time: timeOf(log, first), isForgotten };
}

function timeOf({ registers }: PastLog, event: Event): number {
  return calibratedTime(registers.eras, event);
}

function isOf(problem: Problem, origin: Incarnation): boolean {
  return problem.origin === undefined || problem.origin === origin;
}
