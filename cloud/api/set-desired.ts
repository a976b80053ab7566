import type { EventId } from "../../core/event.ts";
import type { Clock } from "../../core/ports.ts";
import { type Json, type KubeObject, type ObjectRef, without } from "../../protocol/rest/objects.ts";
import { type Failure, invalid, invalidValue } from "../../protocol/rest/status.ts";
import { conflictField, declaredProperties, problemOf } from "./desired.ts";
import { deviceKind } from "./device-kinds.ts";
import { modelKeyOf, propertiesOf } from "./device-objects.ts";
import type { Resources, Written } from "./resources.ts";

export interface DesiredChange {
  readonly property: string;
  /** Null withdraws what is wanted. */
  readonly value: string | null;
  /** The conflict that this is to end. */
  readonly conflict?: EventId | undefined;
}

/**
 * Says what is wanted of one property of a device, and when that was said, so that saying it again is a new wish.
 * Resolves when durable.
 * @returns 404 without such a device; 422 when its model does not declare the property, or the value can't be wanted
 */
export async function setDesired(
  resources: Resources,
  clock: Clock,
  device: ObjectRef,
  change: DesiredChange,
): Promise<Written | Failure> {
  return resources.modify(deviceKind, device, (current) => {
    const { property, value } = change;
    if (value !== null) {
      const key = modelKeyOf(current);
      const model = key === undefined ? undefined : resources.staged(key);
      const problem = problemOf(property, value, model && declaredProperties(model));
      if (problem !== undefined) {
        const field = `spec.properties[${property}].desired.value`;
        return invalid(deviceKind, device.name, [invalidValue(field, value, problem.message)]);
      }
    }
    return withDesired(current, change, String(Math.floor(clock.now())));
  });
}

function withDesired(
  device: KubeObject,
  { property, value, conflict }: DesiredChange,
  timestamp: string,
): KubeObject {
  const metadata = { timestamp, ...(conflict && { [conflictField]: conflict }) };
  const desired: Json = value === null ? null : { value, metadata };
  const properties = propertiesOf(device);
  const isListed = properties.some(({ name }) => name === property);
  const listed = isListed || value === null ? properties : [...properties, { name: property }];
  const changed = listed.map((item) => {
    if (item["name"] !== property) return item;
    return desired === null ? without(item, "desired") : { ...item, desired };
  });
  return { ...device, spec: { ...device.spec, properties: changed } };
}
