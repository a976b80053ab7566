/** `GET /tidemark/v1/status`: what `tidemark status` shows, of the cloud and of a node. */
import type { Log } from "../../core/log.ts";
import { type EventClass, type Side, sideOf } from "../../core/event.ts";
import type { Pressure } from "../../core/pressure.ts";
import { type RetentionPolicy, retentionTexts } from "../../core/retention.ts";
import type { Room } from "../../core/room.ts";
import { rfc3339 } from "../../core/time.ts";
import { type HttpRequest, type HttpResponse, jsonResponse, statusResponse } from "./http.ts";
import { type StatsRow, statsOf } from "./log-api.ts";

export interface StatusRow {
  readonly role: "cloud" | "edge";
  readonly version: string;
  readonly dataDir: string;
  readonly pid: number;
  readonly addresses: Readonly<Record<string, string>>;
  readonly nodes: readonly NodeRow[];
  readonly queues: Readonly<Record<string, number>>;
  readonly retention: RetentionRow;
  /** What keeps this process from doing its whole work, and what to do about it. */
  readonly problems: readonly { readonly code: string; readonly message: string }[];
  readonly logs: readonly StatsRow[];
}

/** What is kept, and the room that there is for it: the latter of a running process. */
export interface RetentionRow extends Partial<RoomRow> {
  /** How long what was replaced is kept, by class, as `--retain` reads it; null of a log that no process runs on. */
  readonly policy: Readonly<Record<EventClass, string>> | null;
}

export function retentionRow(policy: RetentionPolicy, room: Pick<Room, "state">): RetentionRow {
  return { policy: retentionTexts(policy), ...roomRow(room) };
}

/** `Room`, in bytes; what is not set, or could not be measured, is null. */
export interface RoomRow {
  readonly limitBytes: number | null;
  readonly usedBytes: number | null;
  readonly freeBytes: number | null;
  /** Whether the reserve is there. */
  readonly reserve: boolean;
  readonly pressure: Pressure;
}

function roomRow({ state }: Pick<Room, "state">): RoomRow {
  const { limitBytes = null, usedBytes = null, freeBytes = null, reserve, pressure } = state;
  return { limitBytes, usedBytes, freeBytes, reserve, pressure };
}

/** What stands in the way of appends. */
export function roomProblems({ problem }: Pick<Room, "problem">): StatusRow["problems"] {
  return problem === undefined ? [] : [{ code: problem.code, message: problem.message }];
}

export interface NodeRow {
  readonly name: string;
  readonly state: "Connected" | "Disconnected" | "Forked";
  readonly since: string;
  /** Events not known to be durable on the other side. */
  readonly lag: { readonly toNode: number; readonly toCloud: number };
  readonly vector: Readonly<Record<string, number>>;
  readonly reason: string | null;
}

export interface LinkView {
  readonly state: NodeRow["state"];
  /** Ms since the epoch. */
  readonly since: number;
  readonly reason: string | undefined;
  /** What the peer has durable of each origin of this side, as far as it said. */
  readonly acked: ReadonlyMap<string, number>;
}

export function nodeRow(name: string, log: Log, link: LinkView): NodeRow {
  const behind = unacked(log, link.acked);
  return {
    name,
    state: link.state,
    since: rfc3339(link.since),
    // Each side knows what the other has of its own events; what it lacks itself only the other can say.
    lag: { toNode: log.side === "cloud" ? behind : 0, toCloud: log.side === "node" ? behind : 0 },
    vector: log.vector(),
    reason: link.reason ?? null,
  };
}

function unacked(log: Log, acked: ReadonlyMap<string, number>): number {
  let count = 0;
  for (const { origin, end } of log.histories.values()) {
    if (isOf(log.side, origin)) count += Math.max(0, end - (acked.get(origin) ?? 0));
  }
  return count;
}

function isOf(side: Side, origin: Parameters<typeof sideOf>[0]): boolean {
  return sideOf(origin) === side;
}

export function logRows(logs: Iterable<Log>): StatsRow[] {
  return [...logs].map(statsOf);
}

export function serveStatus(
  status: () => StatusRow,
  request: HttpRequest,
  path: readonly string[],
): HttpResponse | undefined {
  if (path.join("/") !== "tidemark/v1/status") return undefined;
  if (request.method !== "GET") return statusResponse(405, "the status can only be read");
  return jsonResponse(200, status());
}
