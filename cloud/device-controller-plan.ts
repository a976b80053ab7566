/** What a node's log still lacks of one object: the difference between what is wanted and what the cloud has said. */
import { type Body, type Draft, type EventId } from "../core/event.ts";
import { currentLife } from "../core/registers.ts";
import type { Replica } from "../core/replica.ts";
import { resourceApplied, resourceDeleted } from "../protocol/devices/changes.ts";
import { twinDesired } from "../protocol/devices/twin-update.ts";
import { desiredSlot } from "../protocol/devices/twin-view.ts";
import { type JsonObject, type KubeObject, sameJson, without } from "../protocol/rest/objects.ts";
import type { DesiredValue } from "./api/desired.ts";
import { propertiesOf } from "./api/device-objects.ts";
import { specSlot } from "./api/resources.ts";

/** What a node's log should say of a device or a device model. */
export interface Wanted {
  /** The object as nodes get it (`nodeCopy`). */
  readonly object: KubeObject;
  /** By property; empty for a model. */
  readonly desired: ReadonlyMap<string, DesiredValue>;
  /** By property, where the value says what led to it; otherwise it was `cause`. */
  readonly causes: ReadonlyMap<string, EventId>;
  /** The event of the cluster log that says so. */
  readonly cause: EventId;
}

/** What the cloud's own events, staged ones included, say in a node's log. The node's own events don't count. */
export interface Held {
  readonly life: EventId;
  readonly object: KubeObject;
  /** Null where a value was withdrawn. */
  readonly desired: ReadonlyMap<string, Body>;
}

export interface Plan {
  /** Ends of lives and at most one object applied, in this order. */
  readonly resources: readonly Draft[];
  /** To be appended under the life that `resources` leave: where they begin one, its id is not in these yet. */
  readonly desired: readonly Draft[];
}

/**
 * The events that make `held` what is `wanted`: none when it is. An object deleted and made anew has another uid, and
 * is another life: what the old one was told does not count for it.
 */
export function reconcile(
  key: string,
  wanted: Wanted | undefined,
  held: Held | undefined,
  older: readonly EventId[] = [],
): Plan {
  const resource = { class: "resource", key, slot: specSlot } as const;
  const resources: Draft[] = older.map((life) => ({
    ...resource,
    type: resourceDeleted,
    life,
    deletes: true,
  }));
  const goesOn =
    held !== undefined && wanted !== undefined && held.object.metadata.uid === wanted.object.metadata.uid;
  if (held !== undefined && !goesOn) {
    resources.push({ ...resource, type: resourceDeleted, life: held.life, deletes: true });
  }
  if (wanted === undefined) return { resources, desired: [] };
  const current = goesOn ? held : undefined;
  if (current === undefined || !sameJson(current.object, wanted.object)) {
    const body = wanted.object as Body;
    resources.push({ ...resource, type: resourceApplied, life: current?.life, body, cause: wanted.cause });
  }
  return { resources, desired: desiredDrafts(key, wanted, current) };
}

function desiredDrafts(key: string, wanted: Wanted, held: Held | undefined): readonly Draft[] {
  const drafts: Draft[] = [];
  const add = (property: string, body: Body): void => {
    const slot = desiredSlot(property);
    const cause = wanted.causes.get(property) ?? wanted.cause;
    drafts.push({ type: twinDesired, class: "twin", key, slot, life: held?.life, body, cause });
  };
  for (const [property, value] of wanted.desired) {
    if (!sameJson(held?.desired.get(property), value)) add(property, value);
  }
  for (const [property, value] of held?.desired ?? []) {
    if (value !== null && !wanted.desired.has(property)) add(property, null);
  }
  return drafts;
}

/** Reads what the cloud has said of an object in a node's log. */
export function heldIn(replica: Replica, key: string): Held | undefined {
  const life = replica.stagedLife(key);
  const object = replica.staged(key, specSlot)?.body as KubeObject | undefined;
  if (life === undefined || object === undefined) return undefined;
  const desired = new Map<string, Body>();
  for (const slot of desiredSlots(replica, key, object)) {
    const event = replica.staged(key, slot);
    if (event !== undefined) desired.set(slot.slice(desiredSlot("").length), event.body);
  }
  return { life, object, desired };
}

/**
 * Lives of an object that go on beside the current one. A cloud that was rolled back makes an object anew, and is then
 * given back the event with which it had made it before: two lives, of which one must not come up when the other ends.
 */
export function olderLives(replica: Replica, key: string): readonly EventId[] {
  const current = replica.stagedLife(key);
  const lives = [...(replica.registers.objects.get(key)?.values() ?? [])];
  return lives.filter(({ id, born, over }) => born && !over && id !== current).map(({ id }) => id);
}

/** Slots with a durable event, and those of the properties last told: a staged event can only be in one of these. */
function desiredSlots(replica: Replica, key: string, object: KubeObject): ReadonlySet<string> {
  const slots = new Set<string>();
  for (const { name } of propertiesOf(object)) if (typeof name === "string") slots.add(desiredSlot(name));
  for (const slot of currentLife(replica.registers, key)?.slots.keys() ?? []) {
    if (slot.startsWith(desiredSlot(""))) slots.add(slot);
  }
  return slots;
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

/**
 * An object as nodes get it: without the desired values, which are events of their own, and without what changes when
 * only those do.
 */
export function nodeCopy(object: KubeObject): KubeObject {
  const { annotations } = object.metadata;
  const metadata = {
    ...without(object.metadata, "generation", "annotations"),
    ...(annotations && { annotations: without(annotations, lastApplied) }),
  };
  const copy = { ...object, metadata } as KubeObject;
  if (!Array.isArray(object.spec?.["properties"])) return copy;
  const properties = propertiesOf(object).map((property: JsonObject) => without(property, "desired"));
  return { ...copy, spec: { ...object.spec, properties } };
}
