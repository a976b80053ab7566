/** The events of a range of time, in its order, a page at a time. */
import type { Event, Incarnation } from "./event.ts";
import type { Cancelled } from "./follow.ts";
import { type PastLog, type Place, comparePlaces, isOrdered, placeOf } from "./past.ts";

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
  /** Only what lies at or before this position. */
  readonly position: number;
}

interface Placed {
  readonly place: Place;
  readonly event: Event;
}

/** A part of a selection, and how to go through it. */
interface Stretch {
  readonly log: PastLog;
  readonly wanted: (event: Event) => boolean;
  readonly from: Place | undefined;
  readonly to: Place | undefined;
  /** Negative: which of two comes first. */
  readonly order: (a: Place, b: Place) => number;
  readonly limit: number;
  readonly gone: Cancelled | undefined;
}

/** The first events of a selection. It holds a few times the limit of them, whatever the log's length. */
export async function selectEvents(
  log: PastLog,
  selection: Selection,
  gone?: Cancelled,
): Promise<readonly Event[]> {
  const { after, descending, limit, position } = selection;
  const compare = (a: Place, b: Place): number => comparePlaces(log.registers.generations, a, b);
  const order = descending ? (a: Place, b: Place): number => compare(b, a) : compare;
  const wanted = (event: Event): boolean =>
    event.position <= position &&
    selection.wanted(event) &&
    log.applies(event) &&
    (after === undefined || order(after, placeOf(log.registers, event)) < 0);
  const stretch: Stretch = { log, wanted, from: selection.from, to: selection.to, order, limit, gone };
  const found = descending
    ? await selectBackwards(after === undefined ? stretch : { ...stretch, to: after })
    : await selectForwards(after === undefined ? stretch : { ...stretch, from: after });
  return found.map(({ event }) => event);
}

/** Merges the origins, each read as far as it is needed. */
async function selectForwards(stretch: Stretch): Promise<readonly Placed[]> {
  const { log, limit, order } = stretch;
  const streams: AsyncIterator<Placed>[] = [];
  const unordered: Incarnation[] = [];
  for (const origin of log.histories.keys()) {
    if (isOrdered(log, origin)) streams.push(eventsOf(stretch, origin));
    else unordered.push(origin);
  }
  const sorted = await collect(stretch, unordered);
  streams.push(eachOf(sorted));
  const heads = await Promise.all(streams.map((stream) => stream.next()));
  const found: Placed[] = [];
  while (found.length < limit) {
    let first: number | undefined;
    for (const [index, head] of heads.entries()) {
      if (head.done === true) continue;
      const best = first === undefined ? undefined : heads[first];
      if (best?.done !== false || order(head.value.place, best.value.place) < 0) first = index;
    }
    const head = first === undefined ? undefined : heads[first];
    if (first === undefined || head?.done !== false) break;
    found.push(head.value);
    heads[first] = (await streams[first]?.next()) ?? { done: true, value: undefined };
  }
  for (const stream of streams) await stream.return?.();
  return found;
}

async function* eachOf(found: readonly Placed[]): AsyncGenerator<Placed, undefined> {
  yield* found;
  return undefined;
}

/** By stretches of time that grow, so that the latest few of a long log are not looked for from its beginning. */
async function selectBackwards(stretch: Stretch): Promise<readonly Placed[]> {
  const { log, from, limit } = stretch;
  const origins = [...log.histories.keys()];
  const found: Placed[] = [];
  let to = stretch.to;
  let end = Math.min(to?.time ?? Infinity, await latestTime(log, origins));
  for (let stretchMs = 60_000; ; stretchMs *= 4) {
    const begin = end - stretchMs;
    const isLast = begin === Infinity || begin <= (from?.time ?? 0);
    const part = { ...stretch, from: isLast ? from : { time: begin, event: undefined }, to };
    found.push(...(await collect({ ...part, limit: limit - found.length }, origins)));
    if (isLast || found.length >= limit) return found;
    to = part.from;
    end = begin;
  }
}

/** No event of these origins is later; Infinity where that would take a walk. */
async function latestTime(log: PastLog, origins: readonly Incarnation[]): Promise<number> {
  let latest = 0;
  for (const origin of origins) {
    const { top = 0 } = log.histories.get(origin) ?? {};
    const last = isOrdered(log, origin) ? await log.eventAt(origin, top) : undefined;
    latest = Math.max(latest, last === undefined ? Infinity : placeOf(log.registers, last).time);
  }
  return latest;
}

/** The first of a stretch, sorted; read whole, in memory for twice the limit. */
async function collect(stretch: Stretch, origins: readonly Incarnation[]): Promise<readonly Placed[]> {
  const { limit, order } = stretch;
  let found: Placed[] = [];
  const keepFirst = (): void => {
    found.sort((a, b) => order(a.place, b.place));
    found = found.slice(0, limit);
  };
  for (const origin of origins) {
    const events = eventsOf(stretch, origin);
    for await (const placed of events) {
      found.push(placed);
      if (found.length >= 2 * limit + 64) keepFirst();
    }
  }
  keepFirst();
  return found;
}

/** What is wanted of one origin, in order of sequence, each once. */
async function* eventsOf(stretch: Stretch, origin: Incarnation): AsyncGenerator<Placed, undefined> {
  const { log, wanted, from, to, gone } = stretch;
  const { generations } = log.registers;
  const range = await rangeOf(stretch, origin);
  let last = 0;
  for await (const events of log.events(origin, range, gone)) {
    for (const event of events) {
      // What came back after it had been lost may be stored twice.
      if (event.seq <= last || !wanted(event)) continue;
      last = event.seq;
      const place = placeOf(log.registers, event);
      if (from !== undefined && comparePlaces(generations, place, from) < 0) continue;
      if (to !== undefined && comparePlaces(generations, place, to) >= 0) continue;
      yield { place, event };
    }
  }
  return undefined;
}

/** The sequences that a stretch of time may lie in. */
async function rangeOf(
  { log, from, to, gone }: Stretch,
  origin: Incarnation,
): Promise<{ readonly from: number; readonly to: number }> {
  const { top = 0 } = log.histories.get(origin) ?? {};
  if (!isOrdered(log, origin)) return { from: 1, to: top };
  return {
    from: from === undefined ? 1 : (await log.lastAt(origin, from.time - 1, gone)) + 1,
    to: to === undefined ? top : await log.lastAt(origin, to.time, gone),
  };
}
