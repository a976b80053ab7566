/** A device's changes, in order of time: what was reported, wanted, declared and deleted, in all its lives. */
import { TidemarkError } from "../../core/errors.ts";
import { type Event, type EventId, eventId, parseEventId } from "../../core/event.ts";
import { type PastLog, type Place, placeOf } from "../../core/past.ts";
import { selectEvents } from "../../core/past-select.ts";
import type { Registers } from "../../core/registers.ts";
import type { Cancelled } from "../../core/follow.ts";
import { rfc3339 } from "../../core/time.ts";
import { readConflict } from "./conflicts.ts";
import type { DeviceName } from "./past.ts";
import { deviceKey } from "./topics.ts";
import { desiredSlot, reportedSlot } from "./twin-view.ts";

export interface HistoryItem {
  /** As the clocks that were put right since would have said it. */
  readonly time: string;
  readonly event: EventId;
  readonly type: string;
  readonly property: string | null;
  readonly value: string | null;
}

export interface HistoryQuery {
  readonly from: Place | undefined;
  readonly to: Place | undefined;
  /** Only what was reported and wanted of this property. */
  readonly property: string | undefined;
  readonly limit: number;
  /** `next` of the page before. */
  readonly cursor: string | undefined;
  readonly descending: boolean;
}

export interface HistoryPage {
  readonly items: readonly HistoryItem[];
  /** The cursor of the next page; null at the end. */
  readonly next: string | null;
}

/**
 * One page of changes. All pages are of the log as it was when the first one was read: what is appended, or arrives,
 * while somebody reads is in none of them.
 * @throws USAGE for a cursor that is none
 */
export async function deviceHistory(
  log: PastLog,
  { namespace, name }: DeviceName,
  query: HistoryQuery,
  gone?: Cancelled,
): Promise<HistoryPage> {
  const { property, limit, from, to, descending } = query;
  const key = deviceKey(namespace, name);
  const slots = property === undefined ? undefined : [reportedSlot(property), desiredSlot(property)];
  const { after, position } = await readCursor(log, query.cursor);
  const selection = {
    wanted: (event: Event) => event.key === key && (slots === undefined || slots.includes(event.slot ?? "")),
    from,
    to,
    after,
    descending,
    limit: limit + 1,
    position,
  };
  const events = await selectEvents(log, selection, gone);
  const page = events.slice(0, limit);
  const last = page.at(-1);
  const isMore = events.length > limit && last !== undefined;
  return {
    items: page.map((event) => historyItem(log.registers, event)),
    next: isMore ? `${last.origin}/${last.seq}@${position}` : null,
  };
}

/** A cursor names the last event given, and how far the log was visible at the first page. */
async function readCursor(
  log: PastLog,
  cursor: string | undefined,
): Promise<{ after: Place | undefined; position: number }> {
  if (cursor === undefined) return { after: undefined, position: log.position };
  const [id = "", position = ""] = cursor.split("@");
  const named = parseEventId(id);
  const event = named === undefined ? undefined : await log.eventAt(named.origin, named.seq);
  if (event !== undefined && /^[0-9]{1,15}$/.test(position)) {
    return { after: placeOf(log.registers, event), position: Number(position) };
  }
  throw new TidemarkError(
    "USAGE",
    `cursor=${cursor} is not of this log: use \`next\` as it was given, or begin again without one`,
  );
}

export function historyItem(registers: Registers, event: Event): HistoryItem {
  return {
    time: rfc3339(placeOf(registers, event).time),
    event: eventId(event.origin, event.seq),
    type: event.type,
    ...whatChanged(event),
  };
}

/** The property that an event of a device is about, and the value that it says: of a conflict's record, the one that won. */
export function whatChanged(event: Event): {
  readonly property: string | null;
  readonly value: string | null;
} {
  const conflict = readConflict(event);
  if (conflict !== undefined) {
    return { property: conflict.property, value: conflict[conflict.winner].value ?? null };
  }
  const { slot, body } = event;
  const slash = slot?.indexOf("/") ?? -1;
  const value: unknown = Array.isArray(body) ? body[0] : null;
  return {
    property: slot === undefined || slash === -1 ? null : slot.slice(slash + 1),
    value: typeof value === "string" ? value : null,
  };
}
