/** Refusals of the Kubernetes API as values, in words that kubectl's users know. */
import type { StatusBody } from "./http.ts";
import { type KindNames, qualifiedPlural } from "./kind.ts";
import type { JsonObject } from "./objects.ts";

/** Tells a refusal from an object that a client made look like one; JSON does not show it. */
const refusal: unique symbol = Symbol("refusal");

export type Failure = StatusBody & { readonly [refusal]: true };

/** One thing that is wrong with one field. */
export interface Cause {
  readonly reason: string;
  readonly message: string;
  /** `spec.properties[2].name` */
  readonly field: string;
}

export function isFailure(value: object): value is Failure {
  return refusal in value;
}

/** A failure of any code; `details` as Kubernetes has them: `name`, `group`, `kind`, `uid`, `causes`. */
export function failure(
  code: number,
  reason: string,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): Failure {
  return {
    [refusal]: true,
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    reason,
    ...(details && { details }),
    code,
  };
}

export function badRequest(message: string): Failure {
  return failure(400, "BadRequest", message);
}

export function forbidden(message: string): Failure {
  return failure(403, "Forbidden", message);
}

export function notFound(kind: KindNames, name: string): Failure {
  return failure(404, "NotFound", `${qualifiedPlural(kind)} "${name}" not found`, detailsOf(kind, name));
}

/** No object, but the path or the kind itself is not served. */
export function pathNotFound(): Failure {
  return failure(404, "NotFound", "the server could not find the requested resource", {});
}

export function methodNotAllowed(): Failure {
  return failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
}

export function alreadyExists(kind: KindNames, name: string): Failure {
  const message = `${qualifiedPlural(kind)} "${name}" already exists`;
  return failure(409, "AlreadyExists", message, detailsOf(kind, name));
}

/** The object changed since the writer read it, or is not the one that was meant. */
export function conflict(kind: KindNames, name: string, why: string = modified): Failure {
  const message = `Operation cannot be fulfilled on ${qualifiedPlural(kind)} "${name}": ${why}`;
  return failure(409, "Conflict", message, detailsOf(kind, name));
}

const modified =
  "the object has been modified; please apply your changes to the latest version and try again";

/** A watch asks for changes that the log no longer, or not yet, holds: the client lists again. */
export function expired(asked: number, latest: number): Failure {
  return failure(410, "Expired", `too old resource version: ${asked} (${latest})`);
}

export function tooLarge(limitBytes: number): Failure {
  return failure(413, "RequestEntityTooLarge", `Request entity too large: limit is ${limitBytes}`);
}

export function unsupportedMediaType(accepted: readonly string[]): Failure {
  const list = accepted.join(", ");
  return failure(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${list}`,
  );
}

export function invalid(kind: KindNames, name: string, causes: readonly Cause[]): Failure {
  const sentences = causes.map(({ field, message }) => `${field}: ${message}`);
  const what = sentences.length === 1 ? sentences[0] : `[${sentences.join(", ")}]`;
  const title = kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
  return failure(422, "Invalid", `${title} "${name}" is invalid: ${what}`, {
    name,
    ...(kind.group !== "" && { group: kind.group }),
    kind: kind.kind,
    causes,
  });
}

/** The answer to a delete. */
export function deleted(kind: KindNames, name: string, uid: string): JsonObject {
  const details = { name, group: kind.group, kind: kind.plural, uid };
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
}

function detailsOf(kind: KindNames, name: string): Record<string, unknown> {
  return { name, ...(kind.group !== "" && { group: kind.group }), kind: kind.plural };
}

export function invalidValue(field: string, value: unknown, why: string): Cause {
  return { reason: "FieldValueInvalid", message: `Invalid value: ${JSON.stringify(value)}: ${why}`, field };
}

export function requiredValue(field: string, why?: string): Cause {
  const message = why === undefined ? "Required value" : `Required value: ${why}`;
  return { reason: "FieldValueRequired", message, field };
}

export function duplicateValue(field: string, value: string): Cause {
  return { reason: "FieldValueDuplicate", message: `Duplicate value: ${JSON.stringify(value)}`, field };
}

export function unsupportedValue(field: string, value: string, supported: readonly string[]): Cause {
  const list = supported.map((text) => JSON.stringify(text)).join(", ");
  const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`;
  return { reason: "FieldValueNotSupported", message, field };
}
