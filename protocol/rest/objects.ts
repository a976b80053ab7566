import { canonical } from "../../core/projection.ts";
import { bytesEqual } from "../../core/segment.ts";

/** What JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export type JsonObject = { readonly [key: string]: Json };

export type ObjectMeta = JsonObject & {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  /** Rises with each change of `spec`. */
  readonly generation?: number;
  /** RFC 3339, whole seconds. */
  readonly creationTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
};

/** An object of the Kubernetes API. */
export type KubeObject = JsonObject & {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec?: JsonObject;
};

export interface ObjectRef {
  /** Empty for a kind without namespaces. */
  readonly namespace: string;
  readonly name: string;
}

/** The key of an object's events: `devices/default/thermo-1`, or without the namespace where a kind has none. */
export function objectKey(plural: string, { namespace, name }: ObjectRef): string {
  return namespace === "" ? `${plural}/${name}` : `${plural}/${namespace}/${name}`;
}

/** @returns undefined when the key is not `PLURAL/NAMESPACE/NAME`. */
export function parseObjectKey(key: string): (ObjectRef & { readonly plural: string }) | undefined {
  const [plural, namespace, name, ...more] = key.split("/");
  if (plural === undefined || namespace === undefined || name === undefined || more.length > 0)
    return undefined;
  return { plural, namespace, name };
}

export function isJsonObject(value: unknown): value is JsonObject {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
  );
}

/** The object without some of its fields. */
export function without(object: JsonObject, ...fields: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([field]) => !fields.includes(field)));
}

/** Whether two plain values say the same, whatever the order of their keys. */
export function sameJson(a: unknown, b: unknown): boolean {
  return a === b || bytesEqual(canonical(a), canonical(b));
}
