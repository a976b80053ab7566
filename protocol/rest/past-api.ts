/**
 * The past of devices over HTTP, the same at the cloud and on the node. `DEVICE` is `nodes/NODE/devices/NS/NAME`, in the
 * log of that node, or `namespaces/NS/devices/NAME`, in the log where the device is or was:
 *
 *     GET /tidemark/v1/DEVICE             ?at=INSTANT
 *     GET /tidemark/v1/DEVICE/history     ?from= &to= (instants) &property= &order=asc|desc &limit= &cursor= &format=ndjson
 *     GET /tidemark/v1/DEVICE/diff        ?from= &to=
 *     GET /tidemark/v1/DEVICE/blame       ?property= &at=
 *     GET /tidemark/v1/DEVICE/why         ?property=
 *     GET /tidemark/v1/nodes/NODE/why     ?event=ORIGIN/SEQ
 *     GET /tidemark/v1/why                ?event=ORIGIN/SEQ   in whichever log holds it
 *
 * An instant is RFC 3339, ms since the epoch, `-15m`, `now`, or `ORIGIN/SEQ`: that event and what it had seen. Every answer
 * says `complete`, `gaps`, `earliest` and `warnings`.
 */
import type { Cancelled } from "../../core/follow.ts";
import type { DeviceName } from "../devices/past.ts";
import { type HttpRequest, type HttpResponse, statusResponse } from "./http.ts";
import { answerBlame, answerDiff, answerState } from "./past-state.ts";
import { answerHistory } from "./past-history.ts";
import { answerEventWhy, answerPropertyWhy } from "./past-why.ts";
import { type Asked, type PastSource, logOfNode } from "./past-source.ts";

export { type PastSource, pastSourceOf } from "./past-source.ts";

type Answer = (source: PastSource, asked: Asked) => Promise<HttpResponse>;

const verbs = new Map<string | undefined, Answer>([
  [undefined, answerState],
  ["history", answerHistory],
  ["diff", answerDiff],
  ["blame", answerBlame],
  ["why", answerPropertyWhy],
]);

/** @returns undefined when the path is not one of these */
export async function servePast(
  source: PastSource,
  request: HttpRequest,
  path: readonly string[],
  gone: Cancelled,
): Promise<HttpResponse | undefined> {
  if (path[0] !== "tidemark" || path[1] !== "v1") return undefined;
  const rest = path.slice(2);
  const why = whyPath(rest);
  const device = devicePath(rest);
  if (why === undefined && device === undefined) return undefined;
  const answer = verbs.get(device?.verb);
  // The device as it is now is not the past.
  const isNow = device?.verb === undefined && device?.node === undefined && !request.query.has("at");
  if (why === undefined && (answer === undefined || isNow)) return undefined;
  if (request.method !== "GET") return statusResponse(405, "the past can only be read");
  if (why !== undefined) return answerEventWhy(source, { node: why.node, request, gone });
  const { namespace = "", name = "", node } = device ?? {};
  if (node !== undefined) logOfNode(source, node);
  return answer?.(source, { namespace, name, node, request, gone });
}

function whyPath(rest: readonly string[]): { readonly node: string | undefined } | undefined {
  if (rest.length === 1 && rest[0] === "why") return { node: undefined };
  return rest.length === 3 && rest[0] === "nodes" && rest[2] === "why" ? { node: rest[1] } : undefined;
}

function devicePath(
  rest: readonly string[],
): (DeviceName & { readonly node: string | undefined; readonly verb: string | undefined }) | undefined {
  const [first, second = "", third, fourth = "", fifth] = rest;
  if (third !== "devices") return undefined;
  if (first === "namespaces" && rest.length >= 4 && rest.length <= 5) {
    return { node: undefined, namespace: second, name: fourth, verb: fifth };
  }
  if (first === "nodes" && rest.length >= 5 && rest.length <= 6) {
    return { node: second, namespace: fourth, name: fifth ?? "", verb: rest[5] };
  }
  return undefined;
}
