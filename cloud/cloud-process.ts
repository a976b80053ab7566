/** The cloud as a process: LevelDB, certificates, the link's listener and the API's. */
import { join } from "node:path";
import { type TidemarkError, hasCode } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Logger } from "../core/ports.ts";
import type { RetentionPolicy } from "../core/retention.ts";
import { Room } from "../core/room.ts";
import type { LevelStore } from "../core/store/level.ts";
import { openStore, openedSoundly } from "../core/store/opened-soundly.ts";
import { nodeDigest } from "../core/store/node-digest.ts";
import { writeAdmission } from "../protocol/adapters/admissions.ts";
import { backupOf } from "../protocol/adapters/backup-source.ts";
import { brotli } from "../protocol/adapters/brotli.ts";
import { Closers } from "../protocol/adapters/closers.ts";
import { deriveKey } from "../protocol/adapters/credentials.ts";
import { ReserveFile, diskOf, giveUpReserve } from "../protocol/adapters/disk.ts";
import { nodeEnvironment } from "../protocol/adapters/environment.ts";
import { type HttpListener, listenHttp } from "../protocol/adapters/http.ts";
import { refuseImported } from "../protocol/adapters/import-file.ts";
import { adminKubeconfig } from "../protocol/adapters/kubeconfig.ts";
import { ensureAuthority, ensureServerCertificate } from "../protocol/adapters/pki.ts";
import { type RunFile, removeRunFile, writeRunFile } from "../protocol/adapters/run-file.ts";
import { type LinkListener, listenLink } from "../protocol/adapters/websocket.ts";
import { serveBackup } from "../protocol/rest/backup-api.ts";
import { serveConflicts } from "../protocol/rest/conflict-api.ts";
import { Conflicts } from "../protocol/rest/conflicts.ts";
import { serveDevices } from "../protocol/rest/device-api.ts";
import { type HttpHandler, pathSegments } from "../protocol/rest/http.ts";
import { type LogSource, serveLogs } from "../protocol/rest/log-api.ts";
import { serveNodes } from "../protocol/rest/node-api.ts";
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
import { createApiHandler } from "./api/handler.ts";
import { Cloud } from "./cloud.ts";
import { nodeSource } from "./nodes.ts";

export interface CloudProcessOptions {
  /** The cloud's files are in its folder `cloud`. */
  readonly dataDir: string;
  readonly host: string;
  /** 0: any free one. */
  readonly linkPort: number;
  readonly apiPort: number;
  /** Names and addresses at which nodes reach this cloud, beside this machine's own. */
  readonly advertiseAddresses: readonly string[];
  /** What its log may take on the disk; without one, as much as there is. */
  readonly logLimitBytes?: number | undefined;
  /** How long what was replaced is kept. */
  readonly retain?: RetentionPolicy | undefined;
  readonly logger: Logger;
  /** Events replayed so far, while it opens. */
  readonly onProgress?: (events: number) => void;
}

export interface RunningCloud {
  readonly addresses: { readonly link: string; readonly api: string; readonly kubeconfig: string };
  /** Resolves when it can't go on: the disk failed. It must be stopped, and started again. */
  readonly failed: Promise<TidemarkError>;
  /** Drains, and ends. Idempotent. */
  stop(): Promise<void>;
}

/** Where a wildcard address is reached from this machine. */
function reachable(host: string): string {
  return host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
}

/** @throws PORT_TAKEN, LOG_LOCKED, FORMAT_NEWER, DISK_FULL, CONFIGURATION: nothing is left open */
export async function startCloud(options: CloudProcessOptions): Promise<RunningCloud> {
  const directory = join(options.dataDir, "cloud");
  const closers = new Closers();
  const log = join(directory, "log");
  try {
    return await openedSoundly(log, closers, () => start(options, directory, closers));
  } catch (error) {
    // Why it did not start says more than what went wrong on the way back.
    await closers.close().catch(() => undefined);
    if (hasCode(error, "DISK_FULL")) await giveUpReserve(directory, options.logger);
    throw error;
  }
}

async function start(
  options: CloudProcessOptions,
  directory: string,
  closers: Closers,
): Promise<RunningCloud> {
  const {
    host,
    linkPort,
    apiPort,
    advertiseAddresses,
    logLimitBytes: limitBytes,
    retain,
    logger,
    onProgress,
  } = options;
  await refuseImported(directory);
  const pkiDir = join(directory, "pki");
  const authority = await ensureAuthority(pkiDir);
  const names = [...advertiseAddresses, ...(reachable(host) === host ? [host] : [])];
  const credentials = await ensureServerCertificate(pkiDir, names);
  const environment = nodeEnvironment(logger, nodeDigest);
  const store = await openStore(join(directory, "log"), closers, logger);
  const reserve = new ReserveFile(directory);
  const room = await Room.open({ environment, store, disk: diskOf(directory), reserve, limitBytes });
  closers.add(() => room.close());
  let fail: (error: TidemarkError) => void = () => {};
  const failed = new Promise<TidemarkError>((resolve) => (fail = resolve));
  const cloud = await Cloud.open({
    environment,
    store,
    room,
    forgetting: { policy: retain },
    macKey: deriveKey(authority.key, "segment-mac"),
    product: productVersion,
    compressor: brotli,
    noteAdmission: (node, admission) => writeAdmission(pkiDir, node, admission),
    onFailure: (failure) => void room.failed(failure).then(() => fail(failure)),
    ...(onProgress && { onProgress }),
  });
  closers.add(() => cloud.close());
  const view: View = { cloud, room, store, directory, dataDir: options.dataDir, addresses: {} };
  const api: HttpListener = await listenHttp({
    host,
    port: apiPort,
    handler: handlerOf(view),
    logger,
    credentials,
  });
  closers.add(() => api.close());
  const link: LinkListener = await listenLink({ host, port: linkPort, credentials, logger });
  closers.add(() => link.close());
  link.onConnection(
    (transport, node, admission) => void cloud.accept(transport, node, admission),
    (node, admission) => cloud.membership.refusal(node, admission),
  );
  const at = reachable(host);
  const addresses = {
    link: `wss://${at}:${link.address.port}`,
    api: `https://${at}:${api.address.port}`,
    kubeconfig: join(directory, "admin.kubeconfig"),
  };
  await adminKubeconfig({ authority, file: addresses.kubeconfig, server: addresses.api });
  view.addresses = addresses;
  const run: RunFile = { pid: process.pid, version: productVersion, addresses };
  await writeRunFile(directory, run);
  closers.add(() => removeRunFile(directory));
  return { addresses, failed, stop: () => closers.close() };
}

interface View {
  readonly cloud: Cloud;
  readonly room: Room;
  readonly store: LevelStore;
  readonly directory: string;
  readonly dataDir: string;
  addresses: Readonly<Record<string, string>>;
}

function handlerOf(view: View): HttpHandler {
  const { cloud } = view;
  const { timers, clock } = cloud.environment;
  const conflicts = new Conflicts({
    logs: cloud,
    devices: cloud.devices,
    now: () => clock.now(),
    settled: () => cloud.settled(),
  });
  const kubernetes = createApiHandler({ resources: cloud.resources, timers, version: productVersion });
  const source: LogSource = {
    logs: () => cloud.logs(),
    log: (id) => cloud.log(id),
    now: () => cloud.environment.clock.now(),
  };
  const past = pastSourceOf(source, (node) => cloud.hub.link(node));
  return async (request, gone) => {
    const path = pathSegments(request.path) ?? [];
    return (
      serveStatus(() => statusOf(view), request, path) ??
      (await servePast(past, request, path, gone)) ??
      serveBackup(() => backup(view), request, path) ??
      (await serveNodes(nodeSource(cloud), request, path)) ??
      (await serveDevices({ devices: cloud.devices, heard: past }, request, path, gone)) ??
      (await serveLogs(source, request, path, gone)) ??
      (await serveConflicts(conflicts, request, path)) ??
      kubernetes(request, gone)
    );
  };
}

function missing({ id, problems }: Log): StatusRow["problems"] {
  return problems.map(({ code, origin, from, to }) => ({
    code,
    message: `the log of ${id} lacks ${origin ?? "positions"} ${from} to ${to}`,
  }));
}

function backup({ cloud, store, directory }: View): AsyncIterable<Uint8Array> {
  const { clock, digest } = cloud.environment;
  const manifest = { side: "cloud", node: undefined, product: productVersion, time: clock.now() } as const;
  return backupOf({ manifest, directory, store, digest });
}

function statusOf({ cloud, room, dataDir, addresses }: View): StatusRow {
  const logs = [...cloud.logs()];
  const unknown = {
    state: "Disconnected" as const,
    since: 0,
    reason: "not connected since the cloud started",
    acked: new Map(),
  };
  return {
    role: "cloud",
    version: productVersion,
    dataDir,
    pid: process.pid,
    addresses,
    nodes: [...cloud.nodes].map(([name, log]) => nodeRow(name, log, cloud.hub.link(name) ?? unknown)),
    queues: { waitingBytes: logs.reduce((sum, log) => sum + log.waitingBytes, 0) },
    retention: retentionRow(cloud.forgetting.policy, room),
    problems: [...roomProblems(room), ...logs.flatMap(missing)],
    logs: logRows(logs),
  };
}
