import { TidemarkError } from "../core/errors.ts";
import { parseInstant } from "../core/time.ts";

/** One end of a range of events. */
export type Bound =
  | { readonly position: number }
  /** Ms since the epoch. */
  | { readonly time: number }
  /** `ORIGIN/SEQ`. */
  | { readonly event: string };

/** Numbers below this are positions, others ms since the epoch: the one begins in 1973, no log has so many events. */
const instantMin = 100_000_000_000;

/** @throws TidemarkError USAGE */
export function parseBound(text: string, nowMs: number): Bound {
  if (/^[cn][0-9a-z]+\/[0-9]+$/.test(text)) return { event: text };
  if (/^[0-9]{1,11}$/.test(text)) return { position: Number(text) };
  const time = parseInstant(text, nowMs);
  if (time !== undefined && time >= (/^[0-9]+$/.test(text) ? instantMin : 0)) return { time };
  throw new TidemarkError(
    "USAGE",
    `${JSON.stringify(text)} is no place in a log: write a position, an instant (2026-09-01T12:00:00Z, -15m, now), or ORIGIN/SEQ`,
  );
}

/** What the server is asked for: positions and, which need not follow them, times. */
export type RangeQuery = Readonly<Partial<Record<"from" | "to" | "since" | "until", string>>>;

/** Both ends count in. @param positionOf where an event lies */
export async function rangeQuery(
  from: Bound | undefined,
  to: Bound | undefined,
  positionOf: (event: string) => Promise<number>,
): Promise<RangeQuery> {
  const position = async (bound: Bound): Promise<number | undefined> => {
    if ("event" in bound) return positionOf(bound.event);
    return "position" in bound ? bound.position : undefined;
  };
  const [first, last] = [from && (await position(from)), to && (await position(to))];
  return {
    ...(first !== undefined && { from: String(Math.max(1, first)) }),
    ...(last !== undefined && { to: String(last) }),
    ...(from !== undefined && "time" in from && { since: String(from.time) }),
    ...(to !== undefined && "time" in to && { until: String(to.time) }),
  };
}
