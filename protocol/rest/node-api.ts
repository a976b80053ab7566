/**
 * The nodes of a cloud:
 *
 *     GET    /tidemark/v1/nodes         those it knows, and those it has removed
 *     DELETE /tidemark/v1/nodes/NODE    forgets one, and answers when its log is erased
 */
import { type HttpRequest, type HttpResponse, type Identity, jsonResponse, statusResponse } from "./http.ts";

export interface NodeListRow {
  readonly name: string;
  readonly state: "Connected" | "Disconnected" | "Forked" | "Removed";
  /** RFC 3339: since when it is so. */
  readonly since: string;
  /** In the cloud's replica of its log. */
  readonly events: number;
  /** How many devices name it. */
  readonly devices: number;
  /** Who removed it, where it was. */
  readonly by: string | null;
}

export interface NodeSource {
  list(): NodeListRow[];
  /** @throws TidemarkError NODE_UNKNOWN */
  remove(node: string, by: string): Promise<void>;
}

/** @returns undefined when the path is not one of these */
export async function serveNodes(
  source: NodeSource,
  request: HttpRequest,
  path: readonly string[],
): Promise<HttpResponse | undefined> {
  if (path[0] !== "tidemark" || path[1] !== "v1" || path[2] !== "nodes" || path.length > 4) return undefined;
  const { method, identity } = request;
  const [, , , node] = path;
  if (node === undefined) {
    if (method !== "GET") return statusResponse(405, `${method} is for one node: name it`);
    return jsonResponse(200, { items: source.list() });
  }
  if (method !== "DELETE") return statusResponse(405, `${method} is not for a node; DELETE is`);
  await source.remove(node, nameOf(identity));
  return jsonResponse(200, { node });
}

function nameOf(identity: Identity): string {
  switch (identity.kind) {
    case "admin":
      return identity.name;
    case "node":
      return identity.node;
    case "local":
      return "local";
    default:
      return identity satisfies never;
  }
}
