/**
 * Conflicts over HTTP, the same at the cloud and on the node:
 *
 *     GET  /tidemark/v1/conflicts                                   of all nodes, oldest first
 *     GET  /tidemark/v1/nodes/NODE/conflicts                        of one
 *          ?device=NS/NAME &from= &to= (instants, or ORIGIN/SEQ) &limit=N (the newest, 1000 unless said)
 *     GET  /tidemark/v1/nodes/NODE/conflicts/ORIGIN/SEQ
 *     POST /tidemark/v1/nodes/NODE/conflicts/ORIGIN/SEQ/override    {"winner": "cloud" | "edge"} or {"value": "…"}
 */
import { TidemarkError } from "../../core/errors.ts";
import { type EventId, parseEventId } from "../../core/event.ts";
import type { Choice, ConflictQuery, Conflicts } from "./conflicts.ts";
import { type HttpRequest, type HttpResponse, jsonResponse, queryValue, statusResponse } from "./http.ts";

const limitDefault = 1000;
const limitMax = 10_000;

/** @returns undefined when the path is not one of these */
export async function serveConflicts(
  conflicts: Conflicts,
  request: HttpRequest,
  path: readonly string[],
): Promise<HttpResponse | undefined> {
  if (path[0] !== "tidemark" || path[1] !== "v1") return undefined;
  const [kind, ...rest] = path.slice(2);
  if (kind === "conflicts" && rest.length === 0) return list(conflicts, request, undefined);
  const [node, what, origin, seq, verb, ...more] = rest;
  if (kind !== "nodes" || node === undefined || what !== "conflicts" || more.length > 0) return undefined;
  if (origin === undefined) return list(conflicts, request, node);
  const id = `${origin}/${seq ?? ""}`;
  if (parseEventId(id) === undefined)
    return statusResponse(404, `${id} is no conflict: they are named ORIGIN/SEQ`);
  if (verb === undefined) {
    if (request.method !== "GET") return notAllowed(request);
    return jsonResponse(200, await conflicts.show(node, id as EventId));
  }
  if (verb !== "override") return undefined;
  if (request.method !== "POST") return notAllowed(request);
  return jsonResponse(200, await conflicts.override(node, id as EventId, choiceOf(request.body)));
}

async function list(
  conflicts: Conflicts,
  request: HttpRequest,
  node: string | undefined,
): Promise<HttpResponse> {
  if (request.method !== "GET") return notAllowed(request);
  const query: ConflictQuery = {
    node,
    device: deviceOf(queryValue(request, "device")),
    from: queryValue(request, "from"),
    to: queryValue(request, "to"),
    limit: limitOf(queryValue(request, "limit")),
  };
  return jsonResponse(200, await conflicts.list(query));
}

function notAllowed({ method }: HttpRequest): HttpResponse {
  return statusResponse(
    405,
    `${method} is not for conflicts: they can be read, and overridden by POST …/override`,
  );
}

function deviceOf(text: string | undefined): ConflictQuery["device"] {
  if (text === undefined) return undefined;
  const [namespace = "", name = "", ...more] = text.split("/");
  if (namespace !== "" && name !== "" && more.length === 0) return { namespace, name };
  throw new TidemarkError("USAGE", `device=${text} is no device: write NAMESPACE/NAME`);
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return limitDefault;
  const limit = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= limitMax) return limit;
  throw new TidemarkError("USAGE", `limit=${text} is no count from 1 to ${limitMax}`);
}

function choiceOf(body: Uint8Array): Choice {
  try {
    const said = JSON.parse(new TextDecoder().decode(body)) as { winner?: unknown; value?: unknown } | null;
    const { winner, value } = said ?? {};
    if ((winner === "cloud" || winner === "edge") && value === undefined) return { winner };
    if (typeof value === "string" && winner === undefined) return { value };
  } catch {
    // Told below, with what is expected.
  }
  throw new TidemarkError(
    "USAGE",
    'the body must be {"winner": "cloud"}, {"winner": "edge"} or {"value": "…"}',
  );
}
