/** A node as a process: LevelDB, the MQTT broker, the local API, and the way to the cloud. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { type TidemarkError, hasCode } from "../core/errors.ts";
import type { Logger } from "../core/ports.ts";
import type { RetentionPolicy } from "../core/retention.ts";
import { Room } from "../core/room.ts";
import { openStore, openedSoundly } from "../core/store/opened-soundly.ts";
import { nodeDigest } from "../core/store/node-digest.ts";
import { backupOf } from "../protocol/adapters/backup-source.ts";
import { brotli } from "../protocol/adapters/brotli.ts";
import { Closers } from "../protocol/adapters/closers.ts";
import { readNodeFiles } from "../protocol/adapters/credentials.ts";
import { ReserveFile, diskOf, giveUpReserve } from "../protocol/adapters/disk.ts";
import { nodeEnvironment } from "../protocol/adapters/environment.ts";
import { listenHttp } from "../protocol/adapters/http.ts";
import { refuseImported } from "../protocol/adapters/import-file.ts";
import { checkNodeName } from "../protocol/adapters/identity.ts";
import { removeRunFile, writeRunFile } from "../protocol/adapters/run-file.ts";
import { dialLink } from "../protocol/adapters/websocket.ts";
import { serveBackup } from "../protocol/rest/backup-api.ts";
import { serveConflicts } from "../protocol/rest/conflict-api.ts";
import { Conflicts } from "../protocol/rest/conflicts.ts";
import { serveDevices } from "../protocol/rest/device-api.ts";
import { type HttpHandler, pathSegments, statusResponse } from "../protocol/rest/http.ts";
import { type LogSource, serveLogs } from "../protocol/rest/log-api.ts";
import { pastSourceOf, servePast } from "../protocol/rest/past-api.ts";
import {
  type StatusRow,
  logRows,
  nodeRow,
  roomProblems,
  retentionRow,
  serveStatus,
} from "../protocol/rest/status-api.ts";
import { productVersion } from "../protocol/version.ts";
import { Edge } from "./edge.ts";
import { type EventBus, createEventBus } from "./event-bus.ts";

export interface EdgeProcessOptions {
  /** The node's files are in its folder `edge/NODE`. */
  readonly dataDir: string;
  readonly node: string;
  /** `wss://HOST:PORT` */
  readonly cloudUrl: string;
  readonly mqttHost: string;
  /** 0: any free one. */
  readonly mqttPort: number;
  /** Of the local API, on 127.0.0.1. */
  readonly apiPort: number;
  /** What its log may take on the disk; without one, as much as there is. */
  readonly logLimitBytes?: number | undefined;
  /** How long what was replaced is kept. */
  readonly retain?: RetentionPolicy | undefined;
  readonly logger: Logger;
  /** Events replayed so far, while it opens. */
  readonly onProgress?: (events: number) => void;
}

export interface RunningEdge {
  readonly addresses: { readonly mqtt: string; readonly edgeApi: string };
  /** Resolves when it can't go on: the disk failed. It must be stopped, and started again. */
  readonly failed: Promise<TidemarkError>;
  /** Drains, and ends. Idempotent. */
  stop(): Promise<void>;
}

const dialTimeoutMs = 10_000;

/** @throws PORT_TAKEN, LOG_LOCKED, FORMAT_NEWER, DISK_FULL, INVALID for a bad name: nothing is left open */
export async function startEdge(options: EdgeProcessOptions): Promise<RunningEdge> {
  checkNodeName(options.node);
  const closers = new Closers();
  const directory = join(options.dataDir, "edge", options.node);
  try {
    return await openedSoundly(join(directory, "log"), closers, () => start(options, closers));
  } catch (error) {
    // Why it did not start says more than what went wrong on the way back.
    await closers.close().catch(() => undefined);
    if (hasCode(error, "DISK_FULL")) await giveUpReserve(directory, options.logger);
    throw error;
  }
}

async function start(options: EdgeProcessOptions, closers: Closers): Promise<RunningEdge> {
  const {
    node,
    mqttHost,
    mqttPort,
    apiPort,
    logLimitBytes: limitBytes,
    retain,
    logger,
    onProgress,
  } = options;
  const directory = join(options.dataDir, "edge", node);
  await refuseImported(directory);
  const environment = nodeEnvironment(logger, nodeDigest);
  const store = await openStore(join(directory, "log"), closers, logger);
  const reserve = new ReserveFile(directory);
  const room = await Room.open({ environment, store, disk: diskOf(directory), reserve, limitBytes });
  closers.add(() => room.close());
  let fail: (error: TidemarkError) => void = () => {};
  const failed = new Promise<TidemarkError>((resolve) => (fail = resolve));
  const dialling = new AbortController();
  const bus = createEventBus({ host: mqttHost, port: mqttPort, logger });
  const edge = await Edge.open({
    environment,
    node,
    store,
    room,
    forgetting: { policy: retain },
    bus,
    // Read at each try, so that a certificate that is put there is used without a restart.
    dial: async () => {
      const credentials = await readNodeFiles(join(directory, "pki"), node);
      const { signal } = dialling;
      return dialLink({ url: options.cloudUrl, credentials, timeoutMs: dialTimeoutMs, signal });
    },
    bootId: randomUUID(),
    product: productVersion,
    compressor: brotli,
    onFailure: (failure) => void room.failed(failure).then(() => fail(failure)),
    ...(onProgress && { onProgress }),
  });
  closers.add(() => edge.close());
  closers.add(async () => {
    dialling.abort();
  });
  bus.attach(edge.twin);
  const mqtt = await bus.open();
  closers.add(() => bus.close());
  const backup = (): AsyncIterable<Uint8Array> => {
    const manifest = { side: "node", node, product: productVersion, time: environment.clock.now() } as const;
    return backupOf({ manifest, directory, store, digest: environment.digest });
  };
  const view: View = { edge, room, bus, backup, dataDir: options.dataDir, addresses: {} };
  const api = await listenHttp({ host: "127.0.0.1", port: apiPort, handler: handlerOf(view), logger });
  closers.add(() => api.close());
  await edge.start();
  const addresses = {
    mqtt: `mqtt://${mqtt.host}:${mqtt.port}`,
    edgeApi: `http://127.0.0.1:${api.address.port}`,
  };
  view.addresses = addresses;
  await writeRunFile(directory, { pid: process.pid, version: productVersion, addresses });
  closers.add(() => removeRunFile(directory));
  return { addresses, failed, stop: () => closers.close() };
}

interface View {
  readonly edge: Edge;
  readonly room: Room;
  readonly bus: EventBus;
  readonly backup: () => AsyncIterable<Uint8Array>;
  readonly dataDir: string;
  addresses: Readonly<Record<string, string>>;
}

function handlerOf(view: View): HttpHandler {
  const { edge } = view;
  const source: LogSource = {
    logs: () => [edge.log],
    log: (id) => (id === edge.log.id ? edge.log : undefined),
    now: () => edge.environment.clock.now(),
  };
  const conflicts = new Conflicts({
    logs: source,
    devices: edge.devices,
    now: () => edge.environment.clock.now(),
  });
  const past = pastSourceOf(source, () => edge.hub.link);
  return async (request, gone) => {
    const path = pathSegments(request.path) ?? [];
    return (
      serveStatus(() => statusOf(view), request, path) ??
      (await servePast(past, request, path, gone)) ??
      serveBackup(view.backup, request, path) ??
      (await serveDevices({ devices: edge.devices, heard: past }, request, path, gone)) ??
      (await serveConflicts(conflicts, request, path)) ??
      (await serveLogs(source, request, path, gone)) ??
      statusResponse(404, "the server could not find the requested resource")
    );
  };
}

function statusOf({ edge, room, bus, dataDir, addresses }: View): StatusRow {
  const { link } = edge.hub;
  const { log } = edge;
  const problems = log.problems.map(({ code, origin, from, to }) => ({
    code: code as string,
    message: `the log of ${log.id} lacks ${origin ?? "positions"} ${from} to ${to}`,
  }));
  if (link.state !== "Connected" && link.code !== undefined && link.reason !== undefined) {
    problems.push({ code: link.code, message: link.reason });
  }
  const { messages, unknownDevice, refused, waiting } = edge.twin.counts;
  return {
    role: "edge",
    version: productVersion,
    dataDir,
    pid: process.pid,
    addresses,
    nodes: [nodeRow(edge.node, log, link)],
    queues: {
      waitingBytes: log.waitingBytes,
      messages,
      unknownDevice,
      refused,
      waiting,
      clients: bus.counts.clients,
      dropped: bus.counts.dropped,
    },
    retention: retentionRow(edge.forgetting.policy, room),
    problems: [...roomProblems(room), ...problems],
    logs: logRows([log]),
  };
}
