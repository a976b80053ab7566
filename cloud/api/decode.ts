/** From the bytes of a request to an object of a kind, pruned and of the right shape. */
import { type Kind, apiVersionOf } from "../../protocol/rest/kind.ts";
import { metadataSchema } from "../../protocol/rest/metadata.ts";
import {
  type Json,
  type JsonObject,
  type KubeObject,
  type ObjectMeta,
  isJsonObject,
} from "../../protocol/rest/objects.ts";
import { shape } from "../../protocol/rest/schema.ts";
import { type Failure, badRequest, failure, invalid, tooLarge } from "../../protocol/rest/status.ts";
import { messageOf } from "../../core/errors.ts";
import { objectBytesMax } from "./resources.ts";

/** Deeper than any object needs, and far from what recursion can bear. */
const nestingMax = 100;
const warningsMax = 10;

/** What happens to fields that the kind does not have: refused, pruned with a warning, or just pruned. */
export type FieldValidation = "Strict" | "Warn" | "Ignore";

export interface Decoded {
  readonly object: KubeObject;
  /** For people, one for each pruned field. */
  readonly warnings: readonly string[];
}

/** An object in JSON, whatever it is. */
export function parseBody(body: Uint8Array): JsonObject | Failure {
  if (body.length > objectBytesMax) return tooLarge(objectBytesMax);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (error) {
    return badRequest(`the request's body is not JSON: ${messageOf(error)}`);
  }
  if (!isJsonObject(value)) return badRequest("the request's body is not a JSON object");
  if (isDeeper(value, nestingMax)) {
    return badRequest(`the request's body is nested more than ${nestingMax} levels deep`);
  }
  return value;
}

function isDeeper(value: Json, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((inner: Json) => isDeeper(inner, levels - 1));
}

/** Where a request's path says that the object is; `name` is undefined when it makes a new one. */
export interface Place {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string | undefined;
}

export function decode(place: Place, value: JsonObject, validation: FieldValidation): Decoded | Failure {
  const { kind } = place;
  const mismatch = refuseKind(kind, value);
  if (mismatch !== undefined) return mismatch;
  const shaped = shape(
    {
      fields: {
        apiVersion: "string",
        kind: "string",
        metadata: metadataSchema,
        spec: kind.spec,
        status: "object",
      },
      required: ["spec"],
    },
    { ...value, metadata: value["metadata"] ?? {} },
    "",
  );
  const unknown = shaped.unknown.map((path) => `unknown field ${JSON.stringify(path)}`);
  if (unknown.length > 0 && validation === "Strict") {
    return badRequest(
      `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: strict decoding error: ${unknown.join(", ")}`,
    );
  }
  const object = shaped.value as KubeObject;
  const name = isJsonObject(object.metadata) ? (object.metadata.name ?? place.name ?? "") : "";
  if (shaped.causes.length > 0) return invalid(kind, name, shaped.causes);
  const misplaced = refusePlace(place, object);
  if (misplaced !== undefined) return misplaced;
  return { object, warnings: validation === "Warn" ? unknown : [] };
}

function refuseKind(kind: Kind, value: JsonObject): Failure | undefined {
  const expected = apiVersionOf(kind);
  for (const field of ["apiVersion", "kind"]) {
    if (typeof value[field] !== "string" || value[field] === "") {
      return badRequest(`Object '${field === "kind" ? "Kind" : field}' is missing in the request's body`);
    }
  }
  if (value["apiVersion"] !== expected) {
    return badRequest(
      `the API version in the data (${value["apiVersion"] as string}) does not match the expected API version (${expected})`,
    );
  }
  if (value["kind"] === kind.kind) return undefined;
  return badRequest(
    `the kind in the data (${value["kind"] as string}) does not match the expected kind (${kind.kind})`,
  );
}

function refusePlace(place: Place, { metadata }: KubeObject): Failure | undefined {
  const { name, namespace = place.namespace } = metadata as Partial<ObjectMeta>;
  if (namespace !== "" && namespace !== place.namespace) {
    return badRequest(
      "the namespace of the provided object does not match the namespace sent on the request",
    );
  }
  if (place.name === undefined || name === undefined || name === "" || name === place.name) return undefined;
  return badRequest(`the name of the object (${name}) does not match the name on the URL (${place.name})`);
}

/** The query parameter `fieldValidation`; Kubernetes warns unless told otherwise. */
export function fieldValidationOf(text: string | undefined): FieldValidation | Failure {
  if (text === undefined || text === "") return "Warn";
  if (text === "Strict" || text === "Warn" || text === "Ignore") return text;
  const message = `fieldValidation: Unsupported value: ${JSON.stringify(text)}: supported values: "Ignore", "Strict", "Warn"`;
  return failure(422, "Invalid", message);
}

/** The value of a `warning` header, which kubectl shows; undefined without warnings. */
export function warningHeader(warnings: readonly string[]): string | undefined {
  if (warnings.length === 0) return undefined;
  const shown = warnings.slice(0, warningsMax);
  // Field names come from outside: a header holds printable ASCII only.
  const quoted = shown.map((text) => JSON.stringify(text.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 256)));
  return quoted.map((text) => `299 - ${text}`).join(", ");
}
