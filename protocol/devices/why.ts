/** The chain of causes that led to an event. */
import { cutOfEvent } from "../../core/cut.ts";
import { type Event, type EventId, type Side, eventId, parseEventId, sideOf } from "../../core/event.ts";
import type { Cancelled } from "../../core/follow.ts";
import type { PastLog } from "../../core/past.ts";
import { readDeclaration } from "./declaration.ts";
import { type HistoryItem, historyItem } from "./history.ts";
import { deviceRegistersAt } from "./past.ts";
import { parseDeviceKey } from "./topics.ts";
import { twinReported } from "./twin-update.ts";
import { isInSync, readTwin } from "./twin-view.ts";

/**
 * How a link comes before the one above it:
 * - `asked`: it is what was asked about;
 * - `cause`: the event above names it as its cause;
 * - `again`: the event above is the same one, appended again after a rollback;
 * - `followed`: it wanted what the event above reported, which had seen it;
 * - `despite`: something else was wanted than what the event above reported, which had seen that.
 */
export type WhyRelation = "asked" | "cause" | "again" | "followed" | "despite";

export interface WhyLink extends HistoryItem {
  readonly relation: WhyRelation;
  /** The node whose log holds it; null for the cluster's. */
  readonly log: string | null;
  readonly side: Side;
  readonly key: string;
}

export interface Why {
  /** From the event asked about to the first cause. */
  readonly chain: readonly WhyLink[];
  /** What goes before the last link, and is not held here. */
  readonly missing: EventId | null;
}

export interface FoundEvent {
  readonly log: PastLog;
  /** Null for the cluster. */
  readonly node: string | null;
  readonly event: Event;
}

/** Finds an event in the log that named it, or in another that this process holds. */
export type FindEvent = (near: PastLog, id: EventId) => Promise<FoundEvent | undefined>;

/** Longer chains are made by nothing that Tidemark writes. */
const linksMax = 64;

export async function why(asked: FoundEvent, find: FindEvent, gone?: Cancelled): Promise<Why> {
  const chain: WhyLink[] = [whyLink(asked, "asked")];
  let at: FoundEvent | undefined = asked;
  while (at !== undefined && chain.length < linksMax) {
    const before = await causeOf(at, gone);
    if (before === undefined) break;
    const found: FoundEvent | undefined = before.event ?? (await find(at.log, before.id));
    if (found === undefined || (before.relation === "again" && !isSame(found.event, at.event))) {
      return { chain, missing: before.id };
    }
    chain.push(whyLink(found, before.relation));
    at = before.relation === "despite" || before.relation === "again" ? undefined : found;
  }
  return { chain, missing: null };
}

export function whyLink({ log, node, event }: FoundEvent, relation: WhyRelation): WhyLink {
  const { origin, key } = event;
  return { relation, log: node, side: sideOf(origin), key, ...historyItem(log.registers, event) };
}

interface Before {
  readonly relation: WhyRelation;
  readonly id: EventId;
  readonly event?: FoundEvent;
}

async function causeOf(at: FoundEvent, gone: Cancelled | undefined): Promise<Before | undefined> {
  const { event, log } = at;
  if (event.cause !== undefined) {
    const named = parseEventId(event.cause);
    const isAgain =
      named !== undefined &&
      named.origin !== event.origin &&
      sideOf(named.origin) === sideOf(event.origin) &&
      log.histories.has(named.origin);
    return { relation: isAgain ? "again" : "cause", id: event.cause };
  }
  return event.type === twinReported ? wantedBefore(at, gone) : undefined;
}

/** What was wanted of the property, as far as who reported it had seen. */
async function wantedBefore(
  { log, node, event }: FoundEvent,
  gone: Cancelled | undefined,
): Promise<Before | undefined> {
  const device = parseDeviceKey(event.key);
  const property = event.slot?.slice(event.slot.indexOf("/") + 1);
  if (device === undefined || property === undefined) return undefined;
  const registers = await deviceRegistersAt(log, device, cutOfEvent(event), gone);
  const declaration = readDeclaration(registers, device.namespace, device.name);
  if (declaration === undefined) return undefined;
  const twin = readTwin(registers, declaration, property);
  if (twin.desired === undefined || twin.desired.value === "") return undefined;
  const relation = isInSync(twin) && twin.reported?.event === idOf(event) ? "followed" : "despite";
  const named = parseEventId(twin.desired.event);
  const wanted = named === undefined ? undefined : await log.eventAt(named.origin, named.seq);
  return {
    relation,
    id: twin.desired.event,
    ...(wanted !== undefined && { event: { log, node, event: wanted } }),
  };
}

/** After a rollback others may hold something else under the name that an event had; its time it keeps. */
function isSame(a: Event, b: Event): boolean {
  return a.type === b.type && a.key === b.key && a.slot === b.slot && a.time === b.time;
}

function idOf({ origin, seq }: Event): EventId {
  return eventId(origin, seq);
}
