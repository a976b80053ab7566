/**
 * Event bytes: a msgpack positional array (`docs/log-format.md`).
 *
 *     [seq, time, class, type, key, slot, life, body, cause, deletes]
 *
 * Absent fields are nil, and trailing nils are left out. A reader takes longer arrays from newer writers and ignores
 * what it does not know.
 */
import { Packr, Unpackr } from "msgpackr";
import { TidemarkError, messageOf } from "./errors.ts";
import {
  type Body,
  type Draft,
  type Event,
  type EventId,
  type Incarnation,
  type Seen,
  eventClasses,
  parseEventId,
} from "./event.ts";
import { endOfPlain } from "./plain.ts";

/** One event, body and all: a Kubernetes object may be 1.5 MiB, and its envelope is small. */
export const maxEventBytes = 1_600_000;

const packr = new Packr({ useRecords: false, int64AsType: "number" });
// Bytes in a body are copied out: a view would keep the whole segment, or the frame it came in.
const unpackr = new Unpackr({ useRecords: false, int64AsType: "number", copyBuffers: true });

/** Any plain value as msgpack. The bytes are the caller's. */
export function pack(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** @throws whatever msgpackr throws when the bytes are not msgpack. */
export function unpack(bytes: Uint8Array): unknown {
  return unpackr.unpack(bytes);
}

const classCodes = new Map<string, number>(eventClasses.map((name, code) => [name, code]));

/** @throws EVENT_TOO_LARGE; EVENT_INVALID for what a reader would refuse */
export function encodeEvent(
  draft: Draft,
  seq: number,
  time: number,
  maxBytes: number = maxEventBytes,
): Uint8Array {
  const row: unknown[] = [
    seq,
    time,
    classCodes.get(draft.class),
    draft.type,
    draft.key,
    draft.slot ?? null,
    draft.life ?? null,
    draft.body ?? null,
  ];
  if (draft.deletes === true) row.push(draft.cause ?? null, true);
  else if (draft.cause !== undefined) row.push(draft.cause);
  else if (row[7] === null) trimNils(row);
  const bytes = packed(row);
  if (bytes.length > maxBytes) {
    throw new TidemarkError(
      "EVENT_TOO_LARGE",
      `${draft.type} of ${draft.key} is ${bytes.length} bytes; the limit is ${maxBytes}`,
    );
  }
  // Once it is in the log it is too late: the peer would refuse it, and everything after it.
  endOfPlain(bytes, 0);
  return bytes;
}

function packed(row: readonly unknown[]): Uint8Array {
  try {
    return packr.pack(row);
  } catch (error) {
    throw invalid(messageOf(error), error);
  }
}

function trimNils(row: unknown[]): void {
  while (row.at(-1) === null) row.pop();
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

export interface EventContext {
  readonly origin: Incarnation;
  /** Sequence that the first event must have. */
  readonly lo: number;
  readonly count: number;
  readonly seen: readonly Seen[];
  /** Position of the first event in this replica. */
  readonly position: number;
}

/**
 * The events of one segment, checked: shapes, dense sequences, their number.
 * @throws EVENT_INVALID
 */
export function decodeEvents(bytes: Uint8Array, context: EventContext): Event[] {
  const { origin, lo, count, seen, position } = context;
  checkCount(bytes, count);
  const events: Event[] = [];
  const take = (row: unknown): void => {
    const index = events.length;
    events.push(readRow(row, { origin, seq: lo + index, seen, position: position + index }));
  };
  try {
    unpackr.unpackMultiple(bytes, (row: unknown) => {
      take(row);
    });
  } catch (error) {
    if (error instanceof TidemarkError) throw error;
    throw invalid(messageOf(error), error);
  }
  return events;
}

/** Whether the bytes are so many plain values: nothing is built from them before. */
function checkCount(bytes: Uint8Array, count: number): void {
  let found = 0;
  for (let at = 0; at < bytes.length; found += 1) at = endOfPlain(bytes, at);
  if (found !== count) throw invalid(`${found} events where the segment declares ${count}`);
}

function readRow(row: unknown, place: Pick<Event, "origin" | "seq" | "seen" | "position">): Event {
  const { origin, seq, seen, position } = place;
  if (!Array.isArray(row) || row.length < 5) throw invalid("an event is not an array of at least five");
  const [rowSeq, time, classCode, type, key, slot, life, body, cause, deletes] = row as unknown[];
  if (rowSeq !== seq) throw invalid(`sequence ${String(rowSeq)} where ${seq} was expected`);
  if (typeof time !== "number" || !Number.isFinite(time)) throw invalid("time is not a number");
  const name = typeof classCode === "number" ? eventClasses[classCode] : undefined;
  if (name === undefined) throw invalid(`class ${String(classCode)} is not known`);
  if (typeof type !== "string" || typeof key !== "string") throw invalid("type or key is not text");
  return {
    type,
    class: name,
    key,
    slot: optionalText(slot, "slot"),
    life: optionalId(life, "life"),
    body: (body ?? null) as Body,
    cause: optionalId(cause, "cause"),
    deletes: deletes === true ? true : undefined,
    origin,
    seq,
    time,
    seen,
    position,
  };
}

function optionalText(value: unknown, field: string): string | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value !== "string") throw invalid(`${field} is not text`);
  return value;
}

// Almost every event names one of a few lives: remembering the last one that parsed saves a regular expression each.
let lastId: string | undefined;

function optionalId(value: unknown, field: string): EventId | undefined {
  const text = optionalText(value, field);
  if (text === undefined || text === lastId) return text as EventId | undefined;
  if (parseEventId(text) === undefined) throw invalid(`${field} is not an event id`);
  lastId = text;
  return text as EventId;
}

function invalid(reason: string, cause?: unknown): TidemarkError {
  return new TidemarkError("EVENT_INVALID", `not a valid event: ${reason}`, { cause });
}
