/** Whom a command asks: a process over HTTP, or the log that a stopped one has left. */
import { TidemarkError } from "../core/errors.ts";
import type { Side } from "../core/event.ts";
import type { ExportPart } from "../core/export-format.ts";
import type { Credentials } from "../protocol/adapters/credentials.ts";
import type { RunFile } from "../protocol/adapters/run-file.ts";
import type { VerifyRow } from "../protocol/rest/log-api.ts";
import { type Context, absolute } from "./context.ts";
import { type Place, choosePlace, findPlaces, usualSide } from "./places.ts";
import type { RunningTarget } from "./running-target.ts";

export type Query = Readonly<Record<string, string | undefined>>;

/** One of the logs that a target holds. */
export interface LogRef {
  /** The node's, or `cluster`. */
  readonly name: string;
  readonly isCluster: boolean;
}

/** Where a log is under every API. */
export function logPath({ name }: LogRef, rest = ""): string {
  return `/tidemark/v1/logs/${encodeURIComponent(name)}${rest}`;
}

/** What tells the cluster log from that of a node of the same name. */
export function logQuery({ isCluster }: LogRef): Query {
  return isCluster ? { cluster: "true" } : {};
}

export interface Target {
  /** `the cloud at https://127.0.0.1:6443` */
  readonly name: string;
  /** False for a stopped one. */
  readonly isRunning: boolean;
  /** @throws TidemarkError of the answer, or why there was none */
  get(path: string, query?: Query): Promise<unknown>;
  /** Objects of a stream as they come, until it or `signal` ends it. */
  lines(path: string, query: Query, signal?: AbortSignal): AsyncIterable<unknown>;
  /** An export of a log (`exportOf` says what the query may ask for), as bytes and as parts. */
  exportBytes(log: LogRef, query: Query): AsyncIterable<Uint8Array>;
  exportParts(log: LogRef, query: Query): AsyncIterable<readonly ExportPart[]>;
  /** Changes something; `body` is sent as JSON. */
  send(
    method: "PUT" | "POST" | "DELETE",
    path: string,
    options?: { body?: unknown; query?: Query; timeoutMs?: number },
  ): Promise<unknown>;
  /** Walks a log, and tells how many events it has walked, where that can be seen from here. */
  verify(log: LogRef, onProgress: (events: number) => void): Promise<VerifyRow>;
  close(): Promise<void>;
}

/** Chooses whom to ask. @throws TidemarkError NOT_REACHABLE, USAGE, CONFIGURATION, and what reading a stopped log throws */
export async function openTarget(context: Context, side?: Side): Promise<Target> {
  const named = await namedServer(context);
  if (named !== undefined) return named;
  return targetOf(context, choosePlace(await findPlaces(context.dataDir), { node: context.node, side }));
}

/** As `openTarget`, where it counts whose copy of a log is looked at: that of one side, whichever runs. */
export async function openSide(context: Context, side?: Side): Promise<Target> {
  const named = await namedServer(context);
  return named ?? targetOf(context, await placeOfSide(context, side));
}

/** The place that `openSide` asks where no server is named. */
export async function placeOfSide(context: Context, side?: Side): Promise<Place> {
  const places = await findPlaces(context.dataDir);
  return choosePlace(places, { node: context.node, side: side ?? usualSide(places) });
}

/** As `openTarget`, for what only a running cloud can do. */
export async function openCloud(context: Context): Promise<Target> {
  const named = await namedServer(context);
  if (named !== undefined) return named;
  const { cloud } = await findPlaces(context.dataDir);
  if (cloud.run !== undefined) return targetOf(context, cloud);
  throw new TidemarkError(
    "NOT_REACHABLE",
    `no cloud runs from ${context.dataDir}, and it takes one: start it with \`npx tidemark cloud\`, or name one with --server`,
    { data: { dataDir: context.dataDir } },
  );
}

/** Where values are set: at the cloud unless `--server` or `--side` says otherwise. */
export function openWriter(context: Context, side: Side | undefined): Promise<Target> {
  return side === "node" ? openTarget(context, side) : openCloud(context);
}

export async function targetOf(context: Context, place: Place): Promise<Target> {
  if (place.run !== undefined) return runningTargetOf(context, place.node, place.run);
  const { openStopped } = await import("./stopped-target.ts");
  return openStopped(context, place);
}

/** @param node undefined for the cloud */
export async function runningTargetOf(
  context: Context,
  node: string | undefined,
  { addresses }: RunFile,
): Promise<RunningTarget> {
  const { api, edgeApi, kubeconfig } = addresses;
  const { runningTarget } = await import("./running-target.ts");
  if (node !== undefined) {
    return runningTarget(`node ${node} at ${edgeApi}`, { server: edgeApi ?? "" });
  }
  const file = context.kubeconfig ?? kubeconfig ?? "";
  return runningTarget(`the cloud at ${api}`, { server: api ?? "", credentials: await credentialsOf(file) });
}

/** The process that `--server` or `--kubeconfig` names, if one does. */
export async function namedServer(context: Context): Promise<RunningTarget | undefined> {
  const { server, kubeconfig, dataDir, world } = context;
  if (server === undefined && kubeconfig === undefined) return undefined;
  const { runningTarget } = await import("./running-target.ts");
  if (server !== undefined && !server.startsWith("https:")) return runningTarget(server, { server });
  const file = kubeconfig ?? absolute(world, `${dataDir}/cloud/admin.kubeconfig`);
  const { readKubeconfig } = await import("../protocol/adapters/admin-access.ts");
  const access = await readKubeconfig(file).catch((cause: unknown) => {
    if (kubeconfig !== undefined || !(cause instanceof TidemarkError) || cause.code !== "NOT_FOUND")
      throw cause;
    const message = `${server} asks who you are, and there is no ${file}: name a kubeconfig of that cloud with --kubeconfig`;
    throw new TidemarkError("CONFIGURATION", message, { cause });
  });
  const url = server ?? access.server;
  return runningTarget(url, { server: url, credentials: access.credentials });
}

async function credentialsOf(file: string): Promise<Credentials> {
  const { readKubeconfig } = await import("../protocol/adapters/admin-access.ts");
  return (await readKubeconfig(file)).credentials;
}
