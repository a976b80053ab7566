/**
 * Devices over HTTP, the same at the cloud and on the node:
 *
 *     GET /tidemark/v1/devices                                      ?namespace=
 *     GET /tidemark/v1/devices?watch=true                           ?namespace= &name=   changes from now on, NDJSON; first a `bookmark`
 *     GET /tidemark/v1/namespaces/NS/devices/NAME
 *     PUT /tidemark/v1/namespaces/NS/devices/NAME/desired/PROPERTY  {"value": "…"}
 */
import { TidemarkError } from "../../core/errors.ts";
import { type Event, type EventId, eventId, nodeLog } from "../../core/event.ts";
import type { Cancelled } from "../../core/follow.ts";
import { rfc3339 } from "../../core/time.ts";
import { whatChanged } from "../devices/history.ts";
import { parseDeviceKey } from "../devices/topics.ts";
import type { AsOf, DeviceView } from "../devices/twin-view.ts";
import { silenceOf } from "./completeness.ts";
import {
  type HttpRequest,
  type HttpResponse,
  jsonLine,
  jsonResponse,
  queryValue,
  statusResponse,
} from "./http.ts";
import type { PastSource } from "./past-source.ts";

/** The devices that one process knows. */
export interface DeviceSource {
  list(namespace: string | undefined): DeviceView[];
  get(namespace: string, name: string): DeviceView | undefined;
  asOf(): AsOf;
  /** Whether nothing that was asked for is known to be missing. */
  complete(): boolean;
  /** Calls `listener` with durable events of devices, and the node whose log they are in. @returns what ends that */
  onEvents(listener: (node: string, events: readonly Event[]) => void): () => void;
  /** Resolves when durable. @throws NOT_FOUND, INVALID */
  readonly setDesired: (desired: DesiredValue) => Promise<void>;
}

/** What tells since when the other side of a node's log has not been heard here. */
export type Heard = Pick<PastSource, "log" | "link" | "now">;

export interface DesiredValue {
  readonly namespace: string;
  readonly name: string;
  readonly property: string;
  readonly value: string;
  /** The conflict that this is to end. */
  readonly conflict?: EventId | undefined;
}

/** One change, as `device watch` gives it. */
export interface ChangeRow {
  readonly time: string;
  readonly event: string;
  readonly type: string;
  readonly node: string;
  readonly namespace: string;
  readonly name: string;
  readonly property: string | null;
  readonly value: string | null;
}

/** @returns undefined when the path is not one of these */
export async function serveDevices(
  { devices: source, heard }: { readonly devices: DeviceSource; readonly heard: Heard },
  request: HttpRequest,
  path: readonly string[],
  gone: Cancelled,
): Promise<HttpResponse | undefined> {
  if (path[0] !== "tidemark" || path[1] !== "v1") return undefined;
  const rest = path.slice(2);
  if (rest.length === 1 && rest[0] === "devices") {
    if (request.method !== "GET")
      return statusResponse(405, "devices are declared through the Kubernetes API");
    const namespace = queryValue(request, "namespace");
    if (queryValue(request, "watch") === "true") return watch(source, request, namespace, gone);
    return jsonResponse(200, {
      items: source.list(namespace),
      asOf: source.asOf(),
      complete: source.complete(),
    });
  }
  if (rest[0] !== "namespaces" || rest[2] !== "devices" || rest.length < 4) return undefined;
  const [namespace, name] = [rest[1] as string, rest[3] as string];
  if (rest.length === 4 && request.method === "GET") {
    const view = source.get(namespace, name);
    if (view === undefined) return statusResponse(404, `there is no device ${namespace}/${name} here`);
    const log = view.node === null ? undefined : heard.log(nodeLog(view.node));
    const silent = log ? await silenceOf(log, heard.link(view.node ?? ""), heard.now()) : null;
    return jsonResponse(200, { ...view, asOf: source.asOf(), complete: source.complete(), silent });
  }
  if (rest.length === 6 && rest[4] === "desired" && request.method === "PUT") {
    return set(source, request, { namespace, name, property: rest[5] as string });
  }
  return undefined;
}

async function set(
  source: DeviceSource,
  request: HttpRequest,
  place: Omit<DesiredValue, "value">,
): Promise<HttpResponse> {
  const value = valueOf(request.body);
  await source.setDesired({ ...place, value });
  return jsonResponse(200, { ...place, value });
}

function valueOf(body: Uint8Array): string {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder().decode(body));
    const value = (parsed as { value?: unknown } | null)?.value;
    if (typeof value === "string") return value;
  } catch {
    // Told below, with what is expected.
  }
  throw new TidemarkError("USAGE", 'the body must be {"value": "…"}');
}

/** More rows than this waiting for a slow reader, and its watch ends: it can ask again. */
const waitingRowsMax = 65_536;

function watch(
  source: DeviceSource,
  request: HttpRequest,
  namespace: string | undefined,
  gone: Cancelled,
): HttpResponse {
  const name = queryValue(request, "name");
  const wanted = (row: ChangeRow): boolean =>
    (namespace === undefined || row.namespace === namespace) && (name === undefined || row.name === name);
  return {
    status: 200,
    headers: { "content-type": "application/x-ndjson" },
    body: changes(source, wanted, gone),
  };
}

async function* changes(
  source: DeviceSource,
  wanted: (row: ChangeRow) => boolean,
  gone: Cancelled,
): AsyncGenerator<string> {
  let rows: ChangeRow[] = [];
  let wake: (() => void) | undefined;
  const wakeUp = (): void => wake?.();
  const stop = source.onEvents((node, events) => {
    for (const event of events) {
      const row = changeRow(node, event);
      if (row !== undefined && wanted(row)) rows.push(row);
    }
    wake?.();
  });
  gone.addEventListener("abort", wakeUp);
  try {
    // The watch is in force: what happens from here on will be told.
    yield jsonLine({ type: "bookmark", asOf: source.asOf() });
    while (!gone.aborted && rows.length <= waitingRowsMax) {
      if (rows.length === 0) {
        await new Promise<void>((resolve) => (wake = resolve));
        wake = undefined;
        continue;
      }
      const batch = rows;
      rows = [];
      yield batch.map((row) => jsonLine(row)).join("");
    }
  } finally {
    stop();
    gone.removeEventListener("abort", wakeUp);
  }
}

/** @returns undefined for an event that is not about a device */
export function changeRow(node: string, event: Event): ChangeRow | undefined {
  const device = parseDeviceKey(event.key);
  if (device === undefined) return undefined;
  return {
    time: rfc3339(event.time),
    event: eventId(event.origin, event.seq),
    type: event.type,
    node,
    namespace: device.namespace,
    name: device.name,
    ...whatChanged(event),
  };
}
