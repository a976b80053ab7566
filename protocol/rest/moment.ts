/** Instants as a query names them, in one log. */
import { type Cut, cutOfEvent } from "../../core/cut.ts";
import { TidemarkError } from "../../core/errors.ts";
import { type Event, type Seen, parseEventId } from "../../core/event.ts";
import type { Cancelled } from "../../core/follow.ts";
import { type PastLog, type Place, cutAt, cutNow, placeOf } from "../../core/past.ts";
import { parseInstant, rfc3339 } from "../../core/time.ts";

/** What was asked for, before it is looked up in a log. */
export type Moment =
  | { readonly text: string; readonly time: number; readonly id?: undefined }
  | { readonly text: string; readonly time?: undefined; readonly id: Seen };

/**
 * RFC 3339, ms since the epoch, `now`, a time ago such as `-15m`, or an event's id.
 * @param name of the parameter, for the message
 * @throws USAGE
 */
export function parseMoment(name: string, text: string, nowMs: number): Moment {
  const id = parseEventId(text);
  if (id !== undefined) return { text, id };
  const time = parseInstant(text, nowMs);
  if (time !== undefined) return { text, time };
  throw new TidemarkError(
    "USAGE",
    `${name}=${text} is no instant: write 2026-09-01T12:00:00Z, ms since the epoch, -15m, now, or ORIGIN/SEQ`,
  );
}

/** A moment, found in a log. */
export interface Found {
  readonly cut: Cut;
  /** Where it lies among the log's events. */
  readonly place: Place;
  /** As people see it. */
  readonly text: string;
  /** Whether it is an event: then what it had seen is all that counts in. */
  readonly isEvent: boolean;
  /** Whether it is all that is held now. */
  readonly isNow: boolean;
}

/** @throws NOT_FOUND for an event that the log does not hold */
export async function findMoment(
  log: PastLog,
  moment: Moment,
  nowMs: number,
  gone: Cancelled,
): Promise<Found> {
  if (moment.id !== undefined) {
    const event = await eventOf(log, moment.id);
    const place = placeOf(log.registers, event);
    return { cut: cutOfEvent(event), place, text: moment.text, isEvent: true, isNow: false };
  }
  const { time } = moment;
  // What is held by now may carry the times of a clock that runs a little ahead.
  const isNow = time === nowMs;
  const cut = isNow ? cutNow(log) : await cutAt(log, time, gone);
  return { cut, place: { time, event: undefined }, text: rfc3339(time), isEvent: false, isNow };
}

/** Where a moment lies in the order of time. @throws NOT_FOUND for an event that the log does not hold */
export async function placeOfMoment(log: PastLog, moment: Moment): Promise<Place> {
  if (moment.id === undefined) return { time: moment.time, event: undefined };
  return placeOf(log.registers, await eventOf(log, moment.id));
}

async function eventOf(log: PastLog, { origin, seq }: Seen): Promise<Event> {
  const event = await log.eventAt(origin, seq);
  if (event !== undefined) return event;
  throw new TidemarkError("NOT_FOUND", `event ${origin}/${seq} is not in the log of ${log.id}`, {
    data: { event: `${origin}/${seq}` },
  });
}
