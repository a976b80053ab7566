/** What there is in a data directory, and which of it a command that reads should ask. */
import { readdir } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { TidemarkError } from "../core/errors.ts";
import type { Side } from "../core/event.ts";
import { hasErrno } from "../protocol/adapters/files.ts";
import { type RunFile, readRunFile } from "../protocol/adapters/run-file.ts";

export interface Place {
  /** Undefined for the cloud. */
  readonly node: string | undefined;
  /** `DATA/cloud` or `DATA/edge/NODE`. */
  readonly directory: string;
  /** Undefined when nothing of it runs. */
  readonly run: RunFile | undefined;
  /** Whether there is a log to read. */
  readonly hasLog: boolean;
}

export interface Places {
  readonly dataDir: string;
  readonly cloud: Place;
  /** By name. */
  readonly nodes: readonly Place[];
}

export interface Wanted {
  readonly node?: string | undefined;
  /** Only this side; either, when undefined. */
  readonly side?: Side | undefined;
}

export async function findPlaces(dataDir: string): Promise<Places> {
  const names = await entriesOf(join(dataDir, "edge"));
  const [cloud, ...nodes] = await Promise.all([
    findPlace(join(dataDir, "cloud"), undefined),
    ...names.toSorted().map((name) => findPlace(join(dataDir, "edge", name), name)),
  ]);
  return { dataDir, cloud, nodes };
}

async function findPlace(directory: string, node: string | undefined): Promise<Place> {
  const run = await readRunFile(directory);
  const answers = run !== undefined && (await isListening(run.addresses["api"] ?? run.addresses["edgeApi"]));
  const log = await entriesOf(join(directory, "log"));
  return { node, directory, run: answers ? run : undefined, hasLog: log.includes("CURRENT") };
}

async function entriesOf(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasErrno(error, "ENOENT") || hasErrno(error, "ENOTDIR")) return [];
    throw error;
  }
}

const probeMsMax = 2000;

/** The process number in a file left behind may be another's by now: what counts is whether someone listens. */
function isListening(url: string | undefined): Promise<boolean> {
  if (url === undefined || !URL.canParse(url)) return Promise.resolve(false);
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(port) });
    const end = (answers: boolean): void => {
      socket.destroy();
      resolve(answers);
    };
    // One that is too busy to take a connection is there all the same.
    socket.setTimeout(probeMsMax, () => end(true));
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

/**
 * The side whose copy of a log is looked at where none is named: the cloud's, where the data directory has one, else any.
 * While the cloud starts again the node does not answer for it.
 */
export function usualSide({ cloud }: Places): Side | undefined {
  return cloud.run !== undefined || cloud.hasLog ? "cloud" : undefined;
}

/**
 * The running cloud, else the running node, else the cloud's stopped log, else the node's.
 * @throws TidemarkError USAGE when several nodes would do, NOT_REACHABLE when there is nothing
 */
export function choosePlace({ dataDir, cloud, nodes }: Places, wanted: Wanted): Place {
  const candidates = wanted.node === undefined ? nodes : nodes.filter(({ node }) => node === wanted.node);
  const [clouds, edges] = [wanted.side === "node" ? [] : [cloud], wanted.side === "cloud" ? [] : candidates];
  const isRunning = ({ run }: Place): boolean => run !== undefined;
  const isReadable = ({ hasLog }: Place): boolean => hasLog;
  const place =
    clouds.find(isRunning) ??
    only(edges.filter(isRunning)) ??
    clouds.find(isReadable) ??
    only(edges.filter(isReadable));
  if (place !== undefined) return place;
  const whose =
    wanted.side === "cloud" ? "the cloud" : wanted.node === undefined ? "a node" : `the node ${wanted.node}`;
  throw new TidemarkError(
    "NOT_REACHABLE",
    wanted.side === undefined && wanted.node === undefined
      ? `nothing of ${dataDir} runs, and no log is there to read: start it with \`npx tidemark up\`, or say where to look with --data-dir or --server`
      : `${whose} does not run from ${dataDir}, and has no log there to read: say where to look with --data-dir or --server`,
    { data: { dataDir } },
  );
}

function only(places: readonly Place[]): Place | undefined {
  if (places.length < 2) return places[0];
  const names = places.map(({ node }) => node).join(", ");
  throw new TidemarkError("USAGE", `there are several nodes here (${names}): say which with --node NAME`);
}
