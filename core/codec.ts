/**
 * Event bytes: a msgpack positional array (`docs/log-format.md`).
 *
 *     [seq, time, class, type, key, slot, life, body, cause, deletes]
 *
 * Absent fields are nil, and trailing nils are left out. A reader takes longer arrays from newer writers and ignores
 * what it does not know.
 */
import type { Draft, Event } from "./event.ts";
import { type EventContext, EventReader } from "./event-reader.ts";
import { EventWriter } from "./event-writer.ts";

export type { EventContext } from "./event-reader.ts";
export { pack, unpack } from "./msgpack.ts";

/** One event, body and all: a Kubernetes object may be 1.5 MiB, and its envelope is small. */
export const maxEventBytes = 1_600_000;

/**
 * One event's bytes. The log itself writes them where they are to be (`EventWriter`).
 * @throws EVENT_TOO_LARGE; EVENT_INVALID for what a reader would refuse
 */
export function encodeEvent(draft: Draft, seq: number, time: number): Uint8Array {
  const writer = new EventWriter();
  writer.write(draft, seq, time, maxEventBytes);
  return writer.bytes.slice();
}

/** The event that a draft becomes; its position comes when its segment is sealed. */
export function eventOf(draft: Draft, place: Pick<Event, "origin" | "seq" | "time" | "seen">): Event {
  return {
    type: draft.type,
    class: draft.class,
    key: draft.key,
    slot: draft.slot,
    life: draft.life,
    body: draft.body ?? null,
    cause: draft.cause,
    deletes: draft.deletes === true ? true : undefined,
    origin: place.origin,
    seq: place.seq,
    time: place.time,
    seen: place.seen,
    position: 0,
  };
}

/**
 * The events of one segment, checked: shapes, dense sequences, their number.
 * @throws EVENT_INVALID
 */
export function decodeEvents(bytes: Uint8Array, context: EventContext): Event[] {
  return new EventReader(bytes).readAll(context);
}
