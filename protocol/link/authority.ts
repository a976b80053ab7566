/** Envelope authority: which side may author which event. Which origins a side may send is the session's to check. */
import { TidemarkError } from "../../core/errors.ts";
import { type Event, type EventClass, type Side, eventId, sideOf } from "../../core/event.ts";
import type { Authority } from "../../core/rules.ts";

interface Authorship {
  readonly authors: readonly Side[];
  /** Class and slot are asked of nodes; the cloud is taken at its word. */
  readonly class: EventClass;
  /** The slot it writes, or how that begins when it ends in a slash; undefined for events without one. */
  readonly slot: string | undefined;
}

const cloud: readonly Side[] = ["cloud"];
const node: readonly Side[] = ["node"];
const either: readonly Side[] = ["cloud", "node"];

export const authorship: Readonly<Record<string, Authorship>> = {
  "resource.applied": { authors: cloud, class: "resource", slot: "spec" },
  "resource.deleted": { authors: cloud, class: "resource", slot: "spec" },
  "twin.desired": { authors: either, class: "twin", slot: "desired/" },
  "twin.reported": { authors: node, class: "twin", slot: "reported/" },
  "device.state": { authors: node, class: "twin", slot: "state" },
  "conflict.resolved": { authors: cloud, class: "audit", slot: undefined },
  "origin.opened": { authors: cloud, class: "audit", slot: undefined },
  "origin.reset": { authors: cloud, class: "audit", slot: undefined },
  "lives.ended": { authors: cloud, class: "resource", slot: undefined },
  "log.dropped": { authors: either, class: "audit", slot: undefined },
  "clock.corrected": { authors: either, class: "audit", slot: undefined },
};

/** Asked for every event that is replayed. */
const rules: ReadonlyMap<string, Authorship> = new Map(Object.entries(authorship));

/** What a node of a newer version may send that this version does not know. */
const openToNodes: ReadonlySet<EventClass> = new Set<EventClass>(["twin", "telemetry", "message"]);

/** Rises when what is done with the table changes; what is in it is told by itself. */
const readingVersion = 1;

/** What this version knows of who may author what, in a node's log. */
export const authority: Authority = {
  rules: JSON.stringify([readingVersion, authorship, [...openToNodes]]),
  mayApply: (event) => checkAuthority(sideOf(event.origin), event) === undefined,
};

export type Authored = Pick<Event, "origin" | "seq" | "type" | "class" | "slot" | "life" | "deletes">;

/**
 * Whether `side` may author this event.
 *
 * The cloud may author every type that is not the node's alone, known here or not. A node's event must have its type's
 * class and slot; a type this version does not know is taken from a node only as twin, telemetry or message, and only
 * where it writes no slot that belongs to a known type. Nothing of a node makes an object (a slot without a life) or ends one (`deletes`).
 *
 * @returns the AUTHORITY error, or undefined when it may
 */
export function checkAuthority(side: Side, event: Authored): TidemarkError | undefined {
  const reason = objection(side, event);
  if (reason === undefined) return undefined;
  const id = eventId(event.origin, event.seq);
  return new TidemarkError("AUTHORITY", `${id}, ${event.type} of the ${side}, is not applied: ${reason}`, {
    data: { event: id, type: event.type, side },
  });
}

function objection(side: Side, event: Authored): string | undefined {
  const rule = rules.get(event.type);
  if (rule !== undefined && !rule.authors.includes(side)) return `only the ${rule.authors.join()} may say so`;
  if (side === "cloud") return undefined;
  if (rule !== undefined) {
    if (event.class !== rule.class) return `its class is ${event.class}, not ${rule.class}`;
    if (!isSlotOf(rule, event.slot)) return `it may not write the slot ${event.slot ?? "(none)"}`;
  } else {
    if (!openToNodes.has(event.class)) return `a node may not author unknown types of class ${event.class}`;
    if (Object.values(authorship).some((known) => known.slot !== undefined && isSlotOf(known, event.slot))) {
      return `the slot ${event.slot} belongs to another type`;
    }
  }
  if (event.deletes === true) return "a node may not end a life";
  if (event.slot !== undefined && event.life === undefined) return "a node may not begin a life";
  return undefined;
}

function isSlotOf(rule: Authorship, slot: string | undefined): boolean {
  if (rule.slot === undefined || slot === undefined) return rule.slot === slot;
  return rule.slot.endsWith("/")
    ? slot.length > rule.slot.length && slot.startsWith(rule.slot)
    : rule.slot === slot;
}
