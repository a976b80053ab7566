import type { Event } from "../../core/event.ts";
import { type Life, type Registers, currentLife } from "../../core/registers.ts";
import { type PolicySaid, conflictPolicyAnnotation, parsePolicies } from "./conflict-policy.ts";
import { deviceKey, modelKey, parseDeviceKey } from "./topics.ts";
import { type Property, isValueType } from "./values.ts";

/** What was declared of a device that exists: its own object, and its model's as far as there is one. */
export interface Declaration {
  readonly namespace: string;
  readonly name: string;
  /** The device's key in the log. */
  readonly key: string;
  readonly life: Life;
  /** The device model's name. */
  readonly model: string | undefined;
  /** The label `description`, which KubeEdge shows in memberships; empty without one. */
  readonly description: string;
  /** The model's, by name: what only the device lists is not declared. */
  readonly properties: ReadonlyMap<string, Property>;
  /** What is said of conflicts: by the device, then by its model, as far as they say something. */
  readonly policies: readonly PolicySaid[];
}

/** @returns undefined when the device does not exist in this log. */
export function readDeclaration(
  registers: Registers,
  namespace: string,
  name: string,
): Declaration | undefined {
  const key = deviceKey(namespace, name);
  const life = currentLife(registers, key);
  if (life === undefined) return undefined;
  const object = bodyOf(life);
  const spec = field(object, "spec");
  const model = text(field(field(spec, "deviceModelRef"), "name"));
  const description = text(field(field(field(object, "metadata"), "labels"), "description")) ?? "";
  const properties = new Map<string, Property>();
  const modelObject =
    model === undefined ? undefined : bodyOf(currentLife(registers, modelKey(namespace, model)));
  for (const item of list(field(field(modelObject, "spec"), "properties"))) {
    const property = readProperty(item);
    if (property !== undefined) properties.set(property.name, property);
  }
  const policies = [...readPolicies(object), ...readPolicies(modelObject)];
  return { namespace, name, key, life, model, description, properties, policies };
}

/** The devices that exist in this log, by namespace and name. */
export function declaredDevices(registers: Registers): { namespace: string; name: string }[] {
  const found: { namespace: string; name: string }[] = [];
  for (const key of registers.objects.keys()) {
    const device = parseDeviceKey(key);
    if (device !== undefined && currentLife(registers, key) !== undefined) found.push(device);
  }
  return found.sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
}

function bodyOf(life: Life | undefined): unknown {
  const spec: Event | undefined = life?.slots.get("spec")?.cloud;
  return spec?.body;
}

function readPolicies(object: unknown): readonly PolicySaid[] {
  const said = text(field(field(field(object, "metadata"), "annotations"), conflictPolicyAnnotation));
  const policies = said === undefined ? undefined : parsePolicies(said);
  return policies === undefined || typeof policies === "string" ? [] : [policies];
}

function readProperty(item: unknown): Property | undefined {
  const name = text(field(item, "name"));
  if (name === undefined) return undefined;
  const type = field(item, "type");
  return {
    name,
    type: isValueType(type) ? type : undefined,
    readOnly: field(item, "accessMode") === "ReadOnly",
    minimum: bound(field(item, "minimum")),
    maximum: bound(field(item, "maximum")),
  };
}

// What a peer wrote may have any shape: whatever is not as it should be counts as absent.

function field(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function bound(value: unknown): string | undefined {
  return typeof value === "number" ? String(value) : text(value);
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
