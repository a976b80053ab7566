/**
 * A place in the past of one log: of each side, the event up to which it counts in. Each side by itself, because what a
 * node did while it was offline arrives late, and yet belongs to its own time.
 */
import { type Event, type Seen, type Side, otherSide, sideOf } from "./event.ts";
import { type Generations, compareOfSide } from "./generations.ts";

/** All events of a side up to this one, in that side's order, count in; none of a side that has none. */
export interface Cut {
  readonly cloud: Seen | undefined;
  readonly node: Seen | undefined;
}

export const emptyCut: Cut = { cloud: undefined, node: undefined };

/**
 * Orders two events of one side, by generation, then by sequence. Where neither generation is known, by name: a cut has
 * to have one answer.
 */
export function compareInSide(generations: Generations, a: Seen, b: Seen): number {
  const order = compareOfSide(generations, a, b);
  if (!Number.isNaN(order)) return order;
  return a.origin < b.origin ? -1 : 1;
}

/** Whether an event counts in. */
export function isWithin(cut: Cut, event: Seen, generations: Generations): boolean {
  const last = cut[sideOf(event.origin)];
  return last !== undefined && compareInSide(generations, event, last) <= 0;
}

/** The cut, moved on to an event that lies past it. */
export function extendCut(cut: Cut, { origin, seq }: Seen, generations: Generations): Cut {
  if (isWithin(cut, { origin, seq }, generations)) return cut;
  return withSide(cut, sideOf(origin), { origin, seq });
}

/** An event, and what its writer had seen of the other side. */
export function cutOfEvent(event: Pick<Event, "origin" | "seq" | "seen">): Cut {
  const side = sideOf(event.origin);
  const own = withSide(emptyCut, side, { origin: event.origin, seq: event.seq });
  return withSide(
    own,
    otherSide(side),
    event.seen.find(({ origin }) => sideOf(origin) !== side),
  );
}

function withSide(cut: Cut, side: Side, last: Seen | undefined): Cut {
  return side === "cloud" ? { ...cut, cloud: last } : { ...cut, node: last };
}
