import { TidemarkError } from "../core/errors.ts";
import { parseInstant } from "../core/time.ts";
import type { EventRow } from "../protocol/rest/log-api.ts";

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

/** What the server is asked for, and what is left to do with its answer. */
export interface Range {
  readonly query: { readonly from?: string; readonly to?: string };
  /** By the events' own times, which need not follow the order of arrival. */
  readonly holds: (event: EventRow) => boolean;
}

/** Both ends count in. @param positionOf where an event lies */
export async function rangeOf(
  from: Bound | undefined,
  to: Bound | undefined,
  positionOf: (event: string) => Promise<number>,
): Promise<Range> {
  const position = async (bound: Bound | undefined): Promise<number | undefined> => {
    if (bound === undefined || "time" in bound) return undefined;
    return "position" in bound ? bound.position : positionOf(bound.event);
  };
  const [first, last] = [await position(from), await position(to)];
  const earliest = from !== undefined && "time" in from ? from.time : -Infinity;
  const latest = to !== undefined && "time" in to ? to.time : Infinity;
  return {
    query: {
      ...(first !== undefined && { from: String(Math.max(1, first)) }),
      ...(last !== undefined && { to: String(last) }),
    },
    holds({ time }) {
      const at = Date.parse(time);
      return at >= earliest && at <= latest;
    },
  };
}
