/** The log of a stopped process, read from a copy and served by the same handlers that the process would use. */
import { join } from "node:path";
import { Committer } from "../core/committer.ts";
import { TidemarkError } from "../core/errors.ts";
import { type LogId, clusterLog, nodeLog, nodeOfLog } from "../core/event.ts";
import type { ExportPart } from "../core/export-format.ts";
import { writeExport } from "../core/export-write.ts";
import { Log } from "../core/log.ts";
import { verifyLog } from "../core/log-verify.ts";
import type { Environment } from "../core/ports.ts";
import { LevelStore } from "../core/store/level.ts";
import { nodeDigest } from "../core/store/node-digest.ts";
import { nodeEnvironment } from "../protocol/adapters/environment.ts";
import { readImportFile } from "../protocol/adapters/import-file.ts";
import { authority } from "../protocol/link/authority.ts";
import { serveConflicts } from "../protocol/rest/conflict-api.ts";
import { Conflicts } from "../protocol/rest/conflicts.ts";
import { type DeviceSource, serveDevices } from "../protocol/rest/device-api.ts";
import {
  type HttpRequest,
  type HttpResponse,
  errorOfResponse,
  parseJsonLine,
  pathSegments,
  statusResponse,
} from "../protocol/rest/http.ts";
import { type LogSource, exportOf, serveLogs, verifyRow } from "../protocol/rest/log-api.ts";
import { pastSourceOf, servePast } from "../protocol/rest/past-api.ts";
import { type StatusRow, logRows, nodeRow, serveStatus } from "../protocol/rest/status-api.ts";
import { productVersion } from "../protocol/version.ts";
import type { Context } from "./context.ts";
import type { Place } from "./places.ts";
import { Progress } from "./progress.ts";
import { copyLog } from "./stopped-copy.ts";
import type { LogRef, Query, Target } from "./target.ts";

/** The logs of one stopped process. */
interface Stopped {
  readonly logs: ReadonlyMap<LogId, Log>;
  readonly devices: DeviceSource;
  readonly status: StatusRow;
  /** Ms since the epoch. */
  readonly now: () => number;
}

/** @throws TidemarkError LOG_LOCKED, FORMAT_NEWER, SEGMENT_CORRUPT, DISK_FULL */
export async function openStopped(context: Context, place: Place): Promise<Target> {
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (let step = closers.pop(); step !== undefined; step = closers.pop()) await step();
  };
  const progress = new Progress({
    output: context.world.stderr,
    label: "Reading the log",
    paint: context.paintError,
  });
  try {
    const copy = await copyLog(join(place.directory, "log"), context.world);
    closers.push(() => copy.remove());
    const store = new LevelStore(copy.directory);
    await store.open();
    closers.push(() => store.close());
    const stopped = await openLogs(context, place, {
      store,
      onProgress: (events) => progress.update(events),
    });
    return targetOf(`the stopped log ${join(place.directory, "log")}`, stopped, close);
  } catch (error) {
    await close();
    throw error;
  } finally {
    progress.end();
  }
}

async function openLogs(
  context: Context,
  place: Place,
  { store, onProgress }: { store: LevelStore; onProgress: (events: number) => void },
): Promise<Stopped> {
  const environment = nodeEnvironment({ log: () => {} }, nodeDigest);
  const committer = new Committer(store, environment.timers);
  const imported = await readImportFile(place.directory);
  const side = imported?.side ?? (place.node === undefined ? "cloud" : "node");
  const ids = place.node === undefined ? await store.logs() : [nodeLog(place.node)];
  const logs = new Map<LogId, Log>();
  let events = 0;
  for (const id of place.node === undefined ? new Set([clusterLog, ...ids]) : ids) {
    const before = events;
    const log = await Log.open({
      id,
      side,
      committer,
      environment,
      ...(id !== clusterLog && { authority }),
      onProgress: (walked) => onProgress((events = before + walked)),
    });
    logs.set(id, log);
  }
  const devices = await devicesOf(place, logs, environment);
  return { logs, devices, status: statusOf(context, place, logs), now: () => context.world.now() };
}

async function devicesOf(
  { node }: Place,
  logs: ReadonlyMap<LogId, Log>,
  environment: Environment,
): Promise<DeviceSource> {
  if (node !== undefined) {
    const { EdgeDevices } = await import("../edge/devices.ts");
    const log = logs.get(nodeLog(node)) as Log;
    return new EdgeDevices({ node, log }, environment.clock);
  }
  const [{ CloudDevices }, { Resources }] = await Promise.all([
    import("../cloud/devices.ts"),
    import("../cloud/api/resources.ts"),
  ]);
  const cluster = logs.get(clusterLog) as Log;
  const nodes = new Map<string, Log>();
  for (const [id, log] of logs) if (id !== clusterLog) nodes.set(nodeOfLog(id) as string, log);
  const { clock, random } = environment;
  const view = {
    cluster,
    nodes,
    environment,
    resources: new Resources({ log: cluster, clock, random }),
    logs: () => logs.values(),
    onNode: () => () => {},
  };
  return new CloudDevices(view);
}

function statusOf({ dataDir }: Context, { node }: Place, logs: ReadonlyMap<LogId, Log>): StatusRow {
  const link = { state: "Disconnected" as const, since: 0, reason: "it is not running", acked: new Map() };
  return {
    role: node === undefined ? "cloud" : "edge",
    version: productVersion,
    dataDir,
    pid: 0,
    addresses: {},
    nodes: [...logs].flatMap(([id, log]) =>
      id === clusterLog ? [] : [nodeRow(nodeOfLog(id) as string, log, link)],
    ),
    queues: {},
    retention: { policy: null },
    problems: [{ code: "NOT_REACHABLE", message: "it is not running: this is what its log says" }],
    logs: logRows(logs.values()),
  };
}

function targetOf(name: string, stopped: Stopped, close: () => Promise<void>): Target {
  const never = new AbortController().signal;
  const source: LogSource = {
    logs: () => stopped.logs.values(),
    log: (id: LogId) => stopped.logs.get(id),
    now: stopped.now,
  };
  const conflicts = new Conflicts({ logs: source, devices: stopped.devices, now: stopped.now });
  const past = pastSourceOf(source, () => undefined);
  const answer = async (path: string, query: Query, signal: AbortSignal): Promise<HttpResponse> => {
    const request = requestOf(path, query);
    const segments = pathSegments(path) ?? [];
    const found =
      serveStatus(() => stopped.status, request, segments) ??
      (await servePast(past, request, segments, signal)) ??
      (await serveDevices({ devices: stopped.devices, heard: past }, request, segments, signal)) ??
      (await serveConflicts(conflicts, request, segments)) ??
      (await serveLogs(source, request, segments, signal)) ??
      statusResponse(404, `${name} has nothing at ${path}`);
    if (found.status >= 400) throw errorOfResponse(found.status, wholeOf(found));
    return found;
  };
  const logOf = (ref: LogRef): Log => {
    const log = source.log(ref.isCluster ? clusterLog : nodeLog(ref.name));
    if (log !== undefined) return log;
    throw new TidemarkError("NOT_FOUND", `there is no log of ${ref.name} in ${name}`);
  };
  async function* exportParts(ref: LogRef, query: Query): AsyncGenerator<readonly ExportPart[]> {
    yield* await exportOf(logOf(ref), requestOf("", query), source.now());
  }
  return {
    name,
    isRunning: false,
    get: async (path, query = {}) => wholeOf(await answer(path, query, never)),
    lines: (path, query, signal = never) => linesOf(answer(path, query, signal)),
    exportBytes: (ref, query) => writeExport(exportParts(ref, query), nodeDigest),
    exportParts,
    send: () =>
      Promise.reject(new TidemarkError("NOT_REACHABLE", `${name} can only be read: start the process`)),
    verify: async (ref, onProgress) => verifyRow(await verifyLog(logOf(ref), onProgress)),
    close,
  };
}

function requestOf(path: string, query: Query): HttpRequest {
  const pairs = Object.entries(query).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, [value]] as const],
  );
  return {
    method: "GET",
    path,
    query: new Map(pairs),
    headers: {},
    body: new Uint8Array(),
    identity: { kind: "local" },
  };
}

/** An answer that is no stream. */
function wholeOf({ body }: HttpResponse): unknown {
  return typeof body === "string" ? JSON.parse(body) : undefined;
}

async function* linesOf(answer: Promise<HttpResponse>): AsyncGenerator {
  const { body = "" } = await answer;
  const chunks = typeof body === "string" || body instanceof Uint8Array ? [body] : body;
  for await (const chunk of chunks) {
    for (const line of String(chunk).split("\n")) if (line !== "") yield parseJsonLine(line);
  }
}
