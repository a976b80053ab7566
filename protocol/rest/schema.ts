/** Shapes of objects as small tables: what is kept, what is pruned, what has the wrong type. */
import { type Json, type JsonObject, isJsonObject } from "./objects.ts";
import { type Cause, invalidValue, requiredValue, unsupportedValue } from "./status.ts";

export type Schema =
  | "string"
  | "integer"
  | "boolean"
  /** An object whose fields are the user's business. */
  | "object"
  | { readonly oneOf: readonly string[] }
  | { readonly list: Schema }
  /** An object of any names, whose values have one shape. */
  | { readonly map: Schema }
  | { readonly fields: Readonly<Record<string, Schema>>; readonly required?: readonly string[] };

export interface Shaped {
  /** The value without the fields that the schema does not know, and without nulls where it names a field. */
  readonly value: Json;
  /** Paths of the fields that were pruned. */
  readonly unknown: readonly string[];
  readonly causes: readonly Cause[];
}

export function shape(schema: Schema, value: Json, path: string): Shaped {
  const found = { unknown: [] as string[], causes: [] as Cause[] };
  return { value: shaped(schema, value, path, found), ...found };
}

type Found = { readonly unknown: string[]; readonly causes: Cause[] };

function shaped(schema: Schema, value: Json, path: string, found: Found): Json {
  const expected = typeName(schema);
  if (!hasType(expected, value)) {
    const given = JSON.stringify(nameOf(value));
    found.causes.push(
      invalidValue(path, nameOf(value), `${path} in body must be of type ${expected}: ${given}`),
    );
    return value;
  }
  if (typeof schema === "string") return value;
  if ("oneOf" in schema) {
    if (!schema.oneOf.includes(value as string)) {
      found.causes.push(unsupportedValue(path, value as string, schema.oneOf));
    }
    return value;
  }
  if ("list" in schema) {
    return (value as readonly Json[]).map((item, index) =>
      shaped(schema.list, item, `${path}[${index}]`, found),
    );
  }
  const entries = Object.entries(value as JsonObject).filter(([, field]) => field !== null);
  if ("map" in schema) {
    return Object.fromEntries(
      entries.map(([name, field]) => [name, shaped(schema.map, field, `${path}.${name}`, found)]),
    );
  }
  for (const name of schema.required ?? []) {
    const field = (value as JsonObject)[name];
    if (field === undefined || field === null || field === "")
      found.causes.push(requiredValue(join(path, name)));
  }
  const kept: [string, Json][] = [];
  for (const [name, field] of entries) {
    const inner = Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined;
    if (inner === undefined) found.unknown.push(join(path, name));
    else kept.push([name, shaped(inner, field, join(path, name), found)]);
  }
  return Object.fromEntries(kept);
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function typeName(schema: Schema): string {
  if (typeof schema === "string") return schema;
  if ("oneOf" in schema) return "string";
  return "list" in schema ? "array" : "object";
}

function hasType(type: string, value: Json): boolean {
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isJsonObject(value);
  if (type === "integer") return Number.isSafeInteger(value);
  return typeof value === type;
}

function nameOf(value: Json): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/** The schema in OpenAPI's words, so that `kubectl explain` and the clients' own checks can use it. */
export function openApiSchema(schema: Schema): JsonObject {
  if (schema === "object") return { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  if (schema === "integer") return { type: "integer", format: "int64" };
  if (typeof schema === "string") return { type: schema };
  if ("oneOf" in schema) return { type: "string", enum: schema.oneOf };
  if ("list" in schema) return { type: "array", items: openApiSchema(schema.list) };
  if ("map" in schema) return { type: "object", additionalProperties: openApiSchema(schema.map) };
  const properties = Object.fromEntries(
    Object.entries(schema.fields).map(([name, field]) => [name, openApiSchema(field)]),
  );
  return { type: "object", properties, ...(schema.required && { required: schema.required }) };
}
