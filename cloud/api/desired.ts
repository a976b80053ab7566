/**
 * What is wanted of a device's properties, judged by its model. The same judgement decides what goes down to the node
 * and what the object's conditions say.
 */
import { type EventId, parseEventId } from "../../core/event.ts";
import { type Property, isValueType, refuseDesired } from "../../protocol/devices/values.ts";
import { type Json, type JsonObject, type KubeObject, isJsonObject } from "../../protocol/rest/objects.ts";
import { propertiesOf } from "./device-objects.ts";

/** A desired value: its text, and the time that came with it in ms since the epoch. */
export type DesiredValue = readonly [value: string] | readonly [value: string, timeMs: number];

export interface DesiredProblem {
  readonly property: string;
  readonly reason: "ModelNotFound" | "Undeclared" | "Refused";
  /** Why, without the property's name. */
  readonly message: string;
}

/** In `desired.metadata`: the conflict that the value was chosen to end. */
export const conflictField = "conflict";

export interface Judgement {
  /** By property, in the order in which the device lists them. */
  readonly wanted: ReadonlyMap<string, DesiredValue>;
  /** What led to a value, by property, where it says so itself. */
  readonly causes: ReadonlyMap<string, EventId>;
  /** Values that are not sent down. */
  readonly problems: readonly DesiredProblem[];
}

/** @param model undefined while there is none: then nothing is sent down */
export function judgeDesired(device: KubeObject, model: KubeObject | undefined): Judgement {
  const wanted = new Map<string, DesiredValue>();
  const causes = new Map<string, EventId>();
  const problems: DesiredProblem[] = [];
  const declared = declaredProperties(model);
  for (const { name, desired } of propertiesOf(device)) {
    if (typeof name !== "string" || !isJsonObject(desired) || typeof desired["value"] !== "string") continue;
    const problem = problemOf(name, desired["value"], model && declared);
    if (problem !== undefined) {
      problems.push(problem);
      continue;
    }
    wanted.set(name, withTime(desired["value"], desired["metadata"]));
    const cause = causeIn(desired["metadata"]);
    if (cause !== undefined) causes.set(name, cause);
  }
  return { wanted, causes, problems };
}

/** @param declared undefined while there is no model */
export function problemOf(
  property: string,
  value: string,
  declared: ReadonlyMap<string, Property> | undefined,
): DesiredProblem | undefined {
  if (declared === undefined) {
    return { property, reason: "ModelNotFound", message: "the device's model does not exist" };
  }
  const declaration = declared.get(property);
  if (declaration === undefined) {
    return { property, reason: "Undeclared", message: "the device's model does not declare this property" };
  }
  const refusal = refuseDesired(declaration, value);
  return refusal === undefined ? undefined : { property, reason: "Refused", message: refusal };
}

/** The properties that a DeviceModel declares, by name. */
export function declaredProperties(model: KubeObject | undefined): ReadonlyMap<string, Property> {
  const declared = new Map<string, Property>();
  for (const { name, type, accessMode, minimum, maximum } of propertiesOf(model)) {
    if (typeof name !== "string") continue;
    declared.set(name, {
      name,
      type: isValueType(type) ? type : undefined,
      readOnly: accessMode === "ReadOnly",
      minimum: bound(minimum),
      maximum: bound(maximum),
    });
  }
  return declared;
}

/** `status.conditions` of a Device. */
export function deviceConditions(device: KubeObject, model: KubeObject | undefined): readonly JsonObject[] {
  const { problems } = judgeDesired(device, model);
  const [first] = problems;
  const modelFound: JsonObject =
    model === undefined
      ? {
          type: "ModelFound",
          status: "False",
          reason: "ModelNotFound",
          message: "the DeviceModel that spec.deviceModelRef names does not exist",
        }
      : { type: "ModelFound", status: "True", reason: "ModelFound", message: "" };
  const desiredValid: JsonObject =
    first === undefined
      ? { type: "DesiredValid", status: "True", reason: "AllValid", message: "" }
      : {
          type: "DesiredValid",
          status: "False",
          reason: first.reason,
          message: `not sent to the node: ${problems.map(({ property, message }) => `${property}: ${message}`).join("; ")}`,
        };
  return [modelFound, desiredValid];
}

function withTime(value: string, metadata: Json | undefined): DesiredValue {
  const timestamp = isJsonObject(metadata) ? metadata["timestamp"] : undefined;
  const isTime = typeof timestamp === "string" && /^[0-9]{1,15}$/.test(timestamp);
  return isTime ? [value, Number(timestamp)] : [value];
}

function causeIn(metadata: Json | undefined): EventId | undefined {
  const said = isJsonObject(metadata) ? metadata[conflictField] : undefined;
  return typeof said === "string" && parseEventId(said) !== undefined ? (said as EventId) : undefined;
}

function bound(value: Json | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
