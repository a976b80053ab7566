/**
 * Lives that are forgotten. A delete says of one life that it is over; `lives.ended` says it of ranges: whatever life one of
 * these events of the cloud began, is over for good. Each one says all that those before it said, so the last is all that
 * is needed; and ranges part only where a life began that goes on, so it grows with those, not with all there ever were.
 */
import { type Draft, type Event, type Incarnation, type Seen, isIncarnation, sideOf } from "./event.ts";
import { type Range, joined } from "./history.ts";

export const livesEnded = "lives.ended";
/** Of all of them: each takes the place of the one before it. */
export const endedKey = "lives";

/** Of each incarnation of the cloud, in order: nothing between two ranges could be said too. */
export type Ended = ReadonlyMap<Incarnation, readonly Range[]>;

/** Whether the life that this event began is one of them. */
export function isEnded(ended: Ended, { origin, seq }: Seen): boolean {
  const ranges = ended.get(origin) ?? [];
  let [low, high] = [0, ranges.length - 1];
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const { from, to } = ranges[middle] as Range;
    if (seq < from) high = middle - 1;
    else if (seq > to) low = middle + 1;
    else return true;
  }
  return false;
}

export function joinEnded(some: Ended, more: Ended): Ended {
  const both = new Map(some);
  for (const [origin, ranges] of more) both.set(origin, joined([...(some.get(origin) ?? []), ...ranges]));
  return both;
}

/** Body: of each incarnation `[from, to, from, to, …]`. */
export function endedDraft(ended: Ended): Draft {
  const rows = [...ended].sort(([a], [b]) => (a < b ? -1 : 1));
  const flat = rows.map(([origin, ranges]) => [origin, ranges.flatMap(({ from, to }) => [from, to])]);
  return { type: livesEnded, class: "resource", key: endedKey, body: Object.fromEntries(flat) };
}

/**
 * What a `lives.ended` of the cloud says. One that was appended again says nothing: of what the rolled-back side had
 * appended others hold something else under the same ids.
 * @returns undefined for any other event
 */
export function readEnded({
  type,
  origin,
  cause,
  body,
}: Pick<Event, "type" | "origin" | "cause" | "body">): Ended | undefined {
  if (type !== livesEnded || sideOf(origin) !== "cloud" || cause !== undefined) return undefined;
  if (typeof body !== "object" || body === null) return undefined;
  const ended = new Map<Incarnation, Range[]>();
  for (const [name, flat] of Object.entries(body)) {
    const ranges = isIncarnation(name) && sideOf(name) === "cloud" ? readRanges(flat) : [];
    if (ranges.length > 0) ended.set(name as Incarnation, ranges);
  }
  return ended;
}

function readRanges(flat: unknown): Range[] {
  if (!Array.isArray(flat)) return [];
  const ranges: Range[] = [];
  for (let index = 0; index + 1 < flat.length; index += 2) {
    const [from, to] = [flat[index] as unknown, flat[index + 1] as unknown];
    if (isSequence(from) && isSequence(to) && from <= to) ranges.push({ from, to });
  }
  return joined(ranges);
}

function isSequence(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
