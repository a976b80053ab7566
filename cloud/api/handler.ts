/** The embedded API server's requests: paths and methods, to objects of the kinds in the table. */
import type { Timers } from "../../core/ports.ts";
import {
  type Cancellation,
  type HttpHandler,
  type HttpRequest,
  type HttpResponse,
  jsonResponse,
  pathSegments,
  queryValue,
} from "../../protocol/rest/http.ts";
import { type Kind, apiVersionOf } from "../../protocol/rest/kind.ts";
import { mergePatch } from "../../protocol/rest/merge-patch.ts";
import { type JsonObject, type ObjectRef, isJsonObject } from "../../protocol/rest/objects.ts";
import { parseResourcePath } from "../../protocol/rest/paths.ts";
import { type Selector, fieldSelector, labelSelector } from "../../protocol/rest/selectors.ts";
import {
  type Failure,
  badRequest,
  failure,
  isFailure,
  methodNotAllowed,
  notFound,
  pathNotFound,
  unsupportedMediaType,
} from "../../protocol/rest/status.ts";
import {
  type Decoded,
  type FieldValidation,
  decode,
  fieldValidationOf,
  parseBody,
  warningHeader,
} from "./decode.ts";
import { discover } from "./discovery.ts";
import { findKind, kinds as allKinds } from "./kinds.ts";
import type { Resources, Written } from "./resources.ts";
import { watch } from "./watch.ts";

const json = "application/json";
const mergePatchJson = "application/merge-patch+json";

export interface ApiOptions {
  readonly resources: Resources;
  readonly timers: Timers;
  /** Tidemark's version. */
  readonly version: string;
  readonly kinds?: readonly Kind[];
}

/** What a request is about: a kind, and where. */
interface Target {
  readonly kind: Kind;
  /** Undefined for all namespaces. */
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

/**
 * Answers `/api…`, `/apis…`, `/openapi…`, `/version` and the health checks; 404 for every other path.
 * Refusals are answered as `Status`; errors of the log are thrown, for the server to answer.
 */
export function createApiHandler(options: ApiOptions): HttpHandler {
  const { kinds = allKinds, version } = options;
  return async (request, gone) => {
    const document = request.method === "GET" ? discover({ kinds, version }, request) : undefined;
    if (document !== undefined) return document;
    const target = targetOf(kinds, request.path);
    if (isFailure(target)) return refuse(target);
    return target.name === undefined
      ? answerCollection(options, target, request, gone)
      : answerItem(options.resources, target, request);
  };
}

function targetOf(kinds: readonly Kind[], path: string): Target | Failure {
  const segments = pathSegments(path);
  const at = segments === undefined ? undefined : parseResourcePath(segments);
  const kind = at === undefined ? undefined : findKind(kinds, at, at.plural);
  if (at === undefined || kind === undefined || at.subresource !== undefined) return pathNotFound();
  const { namespace, name } = at;
  // A slash can't be in a key's parts: it would name another object.
  if (name?.includes("/") === true || namespace?.includes("/") === true) return pathNotFound();
  const misplaced = kind.namespaced ? name !== undefined && namespace === undefined : namespace !== undefined;
  return misplaced ? pathNotFound() : { kind, namespace, name };
}

function answerCollection(
  options: ApiOptions,
  target: Target,
  request: HttpRequest,
  gone: Cancellation,
): HttpResponse | Promise<HttpResponse> {
  if (request.method === "GET") {
    return isTrue(queryValue(request, "watch"))
      ? startWatch(options, target, request, gone)
      : list(options.resources, target, request);
  }
  const { kind, namespace } = target;
  if (request.method !== "POST" || (kind.namespaced && namespace === undefined))
    return refuse(methodNotAllowed());
  return create(options.resources, { kind, namespace: namespace ?? "" }, request);
}

async function create(
  resources: Resources,
  at: { kind: Kind; namespace: string },
  request: HttpRequest,
): Promise<HttpResponse> {
  const asked = writeAsked(request, [json]);
  if (isFailure(asked)) return refuse(asked);
  const decoded = decode({ ...at, name: undefined }, asked.body, asked.validation);
  if (isFailure(decoded)) return refuse(decoded);
  return wrote(await resources.create(at.kind, at.namespace, decoded.object, asked), decoded.warnings);
}

function answerItem(
  resources: Resources,
  { kind, namespace = "", name = "" }: Target,
  request: HttpRequest,
): HttpResponse | Promise<HttpResponse> {
  const at = { kind, namespace, name };
  switch (request.method) {
    case "GET":
      return get(resources, at);
    case "PUT":
      return put(resources, at, request);
    case "PATCH":
      return patch(resources, at, request);
    case "DELETE":
      return remove(resources, at, request);
    default:
      return refuse(methodNotAllowed());
  }
}

type At = ObjectRef & { readonly kind: Kind };

function get(resources: Resources, at: At): HttpResponse {
  const found = resources.get(at.kind, at);
  return found === undefined ? refuse(notFound(at.kind, at.name)) : jsonResponse(200, found);
}

async function put(resources: Resources, at: At, request: HttpRequest): Promise<HttpResponse> {
  const asked = writeAsked(request, [json]);
  if (isFailure(asked)) return refuse(asked);
  const decoded = decode(at, asked.body, asked.validation);
  if (isFailure(decoded)) return refuse(decoded);
  return wrote(await resources.put(at.kind, at, decoded.object, asked), decoded.warnings);
}

async function patch(resources: Resources, at: At, request: HttpRequest): Promise<HttpResponse> {
  const asked = writeAsked(request, [mergePatchJson]);
  if (isFailure(asked)) return refuse(asked);
  let decoded: Decoded | Failure | undefined;
  const written = await resources.modify(
    at.kind,
    at,
    (current) => {
      decoded = decode(at, mergePatch(current, asked.body) as JsonObject, asked.validation);
      return isFailure(decoded) ? decoded : decoded.object;
    },
    asked,
  );
  return wrote(written, decoded === undefined || isFailure(decoded) ? [] : decoded.warnings);
}

async function remove(resources: Resources, at: At, request: HttpRequest): Promise<HttpResponse> {
  const options = request.body.length === 0 ? {} : bodyOf(request, [json]);
  if (isFailure(options)) return refuse(options);
  const preconditions = isJsonObject(options["preconditions"]) ? options["preconditions"] : {};
  const dry = dryRunAsked([...(request.query.get("dryRun") ?? []), ...listOf(options["dryRun"])]);
  if (typeof dry !== "boolean") return refuse(dry);
  const answer = await resources.delete(at.kind, at, {
    dryRun: dry,
    uid: textOf(preconditions["uid"]),
    resourceVersion: textOf(preconditions["resourceVersion"]),
  });
  return isFailure(answer) ? refuse(answer) : jsonResponse(200, answer);
}

function list(resources: Resources, target: Target, request: HttpRequest): HttpResponse {
  const selected = selectorOf(request);
  if (typeof selected !== "function") return refuse(selected);
  const { kind, namespace } = target;
  return jsonResponse(200, {
    kind: `${kind.kind}List`,
    apiVersion: apiVersionOf(kind),
    metadata: { resourceVersion: String(resources.version) },
    items: resources.list(kind, namespace, selected),
  });
}

function startWatch(
  { resources, timers }: ApiOptions,
  { kind, namespace }: Target,
  request: HttpRequest,
  gone: Cancellation,
): HttpResponse {
  if (queryValue(request, "sendInitialEvents") !== undefined) {
    return refuse(failure(422, "Invalid", "sendInitialEvents is not supported: list first, then watch"));
  }
  const selected = selectorOf(request);
  if (typeof selected !== "function") return refuse(selected);
  const version = queryValue(request, "resourceVersion") ?? "";
  if (!/^[0-9]{0,15}$/.test(version))
    return refuse(badRequest(`invalid resourceVersion ${JSON.stringify(version)}`));
  const timeout = Number(queryValue(request, "timeoutSeconds") ?? "");
  const body = watch(resources, {
    kind,
    namespace,
    selected,
    version: version === "" ? undefined : Number(version),
    gone,
    timeoutMs: timeout > 0 ? timeout * 1000 : undefined,
    timers,
  });
  if (isFailure(body)) return refuse(body);
  return { status: 200, headers: { "content-type": json }, body };
}

interface WriteAsked {
  readonly body: JsonObject;
  readonly validation: FieldValidation;
  readonly dryRun: boolean;
}

function writeAsked(request: HttpRequest, accepted: readonly string[]): WriteAsked | Failure {
  const validation = fieldValidationOf(queryValue(request, "fieldValidation"));
  if (typeof validation !== "string") return validation;
  const dryRun = dryRunAsked(request.query.get("dryRun") ?? []);
  if (typeof dryRun !== "boolean") return dryRun;
  const body = bodyOf(request, accepted);
  return isFailure(body) ? body : { body, validation, dryRun };
}

function bodyOf(request: HttpRequest, accepted: readonly string[]): JsonObject | Failure {
  const [type = ""] = (request.headers["content-type"] ?? "").split(";");
  const isAccepted = accepted.includes(type.trim().toLowerCase()) || (type === "" && accepted.includes(json));
  return isAccepted ? parseBody(request.body) : unsupportedMediaType(accepted);
}

function dryRunAsked(values: readonly unknown[]): boolean | Failure {
  const wrong = values.find((value) => value !== "All" && value !== "");
  if (wrong !== undefined)
    return failure(
      422,
      "Invalid",
      `dryRun: Unsupported value: ${JSON.stringify(wrong)}: supported values: "All"`,
    );
  return values.includes("All");
}

function selectorOf(request: HttpRequest): Selector | Failure {
  const labels = queryValue(request, "labelSelector") ?? "";
  const byLabel = labelSelector(labels);
  if (byLabel === undefined)
    return badRequest(`unable to parse the label selector ${JSON.stringify(labels)}`);
  const byField = fieldSelector(queryValue(request, "fieldSelector") ?? "");
  if (typeof byField !== "function") return badRequest(`field label not supported: ${byField.unsupported}`);
  return (metadata) => byLabel(metadata) && byField(metadata);
}

function refuse(status: Failure): HttpResponse {
  return jsonResponse(status.code, status);
}

function wrote(written: Written | Failure, warnings: readonly string[]): HttpResponse {
  if (isFailure(written)) return refuse(written);
  const response = jsonResponse(written.created ? 201 : 200, written.object);
  const warning = warningHeader(warnings);
  return warning === undefined ? response : { ...response, headers: { warning } };
}

function isTrue(value: string | undefined): boolean {
  return value === "true" || value === "1";
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
