import type { Draft } from "../../core/event.ts";
import type { Declaration } from "./declaration.ts";
import type { PropertyChange, PropertySaid } from "./payloads.ts";
import { desiredSlot, reportedSlot } from "./twin-view.ts";
import { refuseDesired, refuseName, refuseValue, typeOfMetadata } from "./values.ts";

export const twinReported = "twin.reported";
export const twinDesired = "twin.desired";
export const deviceState = "device.state";

/** Slots that one device may have: a publisher that makes up names must not fill the node's memory. */
const slotsMax = 4096;

/**
 * The events that a `twin/update` makes, one for each value that it says, in the order of the message.
 * @returns why, when one of its properties may not be so: then none of the message is taken
 */
export function draftsOfUpdate(
  declaration: Declaration,
  changes: ReadonlyMap<string, PropertyChange>,
): Draft[] | string {
  const drafts: Draft[] = [];
  for (const [name, change] of changes) {
    const reason = refuseName(name) ?? addDrafts(drafts, declaration, name, change);
    if (reason !== undefined) return `${name}: ${reason}`;
  }
  return drafts;
}

/** @returns why not, when the change is refused. */
function addDrafts(
  drafts: Draft[],
  declaration: Declaration,
  name: string,
  change: PropertyChange,
): string | undefined {
  const { key, life, properties } = declaration;
  const declared = properties.get(name);
  if (declared === undefined && life.slots.size >= slotsMax && !life.slots.has(reportedSlot(name))) {
    return `the device has ${slotsMax} values already; delete some, or declare the property in its model`;
  }
  if (change === null) {
    if (declared !== undefined) return "the property is declared, so it can't be deleted";
    drafts.push({
      type: twinReported,
      class: "twin",
      key,
      slot: reportedSlot(name),
      life: life.id,
      body: null,
    });
    const register = life.slots.get(desiredSlot(name));
    if (register !== undefined) {
      drafts.push({
        type: twinDesired,
        class: "twin",
        key,
        slot: desiredSlot(name),
        life: life.id,
        body: null,
      });
    }
    return undefined;
  }
  const { actual, expected } = change;
  if (actual !== undefined) {
    const said = change.type === undefined ? undefined : typeOfMetadata(change.type);
    if (declared === undefined && change.type !== undefined && said === undefined) {
      return `the type ${JSON.stringify(change.type.slice(0, 64))} is not known`;
    }
    const reason = refuseValue(declared?.type ?? said, actual.value);
    if (reason !== undefined) return reason;
    const body = reportedBody(change, actual, declared === undefined);
    drafts.push({ type: twinReported, class: "twin", key, slot: reportedSlot(name), life: life.id, body });
  }
  if (expected !== undefined) {
    if (declared === undefined) return "no such property is declared, so nothing can be wanted of it";
    const reason = refuseDesired(declared, expected.value);
    if (reason !== undefined) return reason;
    const body = expected.time === undefined ? [expected.value] : [expected.value, expected.time];
    drafts.push({ type: twinDesired, class: "twin", key, slot: desiredSlot(name), life: life.id, body });
  }
  return undefined;
}

/** `[value, time, type]`, without the nulls at its end. The type is kept only where no model says it. */
function reportedBody(
  { type }: PropertySaid,
  { value, time }: { readonly value: string; readonly time: number | undefined },
  undeclared: boolean,
): (string | number | null)[] {
  if (undeclared && type !== undefined) return [value, time ?? null, type];
  return time === undefined ? [value] : [value, time];
}
