/** What a walk over all that a log has ever held says of its past. */
import { calibratedTime } from "../../core/clock.ts";
import {
  type Event,
  type EventId,
  type Incarnation,
  type Seen,
  type Side,
  eventId,
  sideOf,
} from "../../core/event.ts";
import { compareOfSide } from "../../core/generations.ts";
import { cutAtTime, stateOfSide } from "../../core/history-read.ts";
import type { Log } from "../../core/log.ts";
import { pastOf } from "../../core/log-past.ts";
import { beginningOf } from "../../core/past.ts";
import { currentLife, registersProjection } from "../../core/registers.ts";

export const keys: readonly string[] = ["devices/default/a", "devices/default/b!%", "devices/default/c"];
const sides = ["cloud", "node"] as const;

function compare(log: Log, a: Seen, b: Seen): number {
  const order = compareOfSide(log.registers.generations, a, b);
  return Number.isNaN(order) ? (a.origin < b.origin ? -1 : 1) : order;
}

type Cut = Record<Side, Seen | undefined>;

function cutByWalk(log: Log, events: readonly Event[], timeMs: number): Cut {
  const found: Cut = { cloud: undefined, node: undefined };
  for (const event of events) {
    if (calibratedTime(log.registers.eras, event) > timeMs) continue;
    const { origin, seq } = event;
    const held = found[sideOf(origin)];
    if (held === undefined || compare(log, event, held) > 0) found[sideOf(origin)] = { origin, seq };
  }
  return found;
}

function isWithin(log: Log, cut: Cut, event: Seen): boolean {
  const last = cut[sideOf(event.origin)];
  return last !== undefined && compare(log, event, last) <= 0;
}

/** What can be seen of an object that is folded from these events. */
function seenOf(log: Log, key: string, events: readonly Event[]): unknown {
  const { generations, eras } = log.registers;
  const state = { ...registersProjection.initial(), generations: new Map(generations), eras: new Map(eras) };
  for (const event of events) registersProjection.apply(state, event);
  const life = currentLife(state, key);
  const idOf = (event: Event | undefined): EventId | undefined => event && eventId(event.origin, event.seq);
  const slots = [...(life?.slots ?? [])].map(([slot, { cloud, node }]) => [slot, idOf(cloud), idOf(node)]);
  return { life: life?.id, slots: slots.toSorted(byText) };
}

export function byText(a: unknown, b: unknown): number {
  return String(a) < String(b) ? -1 : 1;
}

/**
 * Compares at many cuts and instants with what a walk says, where the past is whole. Before that it has to answer, and
 * may say anything.
 * @param events all that was ever held, kept or not
 * @returns at how many of them it was compared
 * @throws where they differ
 */
export async function sameAsWalk(
  log: Log,
  events: readonly Event[],
  picks: readonly number[],
): Promise<number> {
  const times = events.map((event) => calibratedTime(log.registers.eras, event));
  const { isForgotten = false, time = 0 } = (await beginningOf(pastOf(log))) ?? {};
  let compared = 0;
  for (const pick of picks) {
    const timeMs = (times[pick % times.length] ?? 0) + (pick % 3) - 1;
    const cut = await cutAtTime(log, timeMs);
    const states = new Map<string, readonly Event[]>();
    for (const key of keys) {
      const parts = await Promise.all(sides.map((side) => stateOfSide(log, key, side, cut[side])));
      states.set(key, parts.flat());
    }
    const walked = cutByWalk(log, events, timeMs);
    const past = events.filter((event) => isWithin(log, walked, event));
    if ((isForgotten && timeMs < time) || isThin(log, past)) continue;
    compared += 1;
    same(cut, walked, `at ${timeMs}`);
    for (const key of keys) {
      const whole = past.filter((event) => event.key === key && log.applies(event));
      same(seenOf(log, key, states.get(key) ?? []), seenOf(log, key, whole), `${key} at ${timeMs}`);
    }
  }
  return compared;
}

/** Whether the last of what counts in lies where not everything is kept. */
function isThin(log: Log, past: readonly Event[]): boolean {
  const ends = new Map<Incarnation, number>();
  for (const { origin, seq } of past) ends.set(origin, Math.max(seq, ends.get(origin) ?? 0));
  return [...ends].some(([origin, end]) => {
    const { thin = [], top = 0 } = log.histories.get(origin) ?? {};
    return thin.some(({ from, to }) => (from > 1 || to > top) && from <= end && end < to);
  });
}

function same(found: unknown, wanted: unknown, where: string): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${where}: the index says ${a}, a walk says ${b}`);
}
