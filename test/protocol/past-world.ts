/** Questions about the past, asked of logs that are made up. */
import type { Draft, EventId, LogId } from "../../core/event.ts";
import { clusterLog, nodeLog } from "../../core/event.ts";
import type { Cancelled } from "../../core/follow.ts";
import type { PastLog } from "../../core/past.ts";
import type { HttpRequest } from "../../protocol/rest/http.ts";
import { pathSegments, responseOfError } from "../../protocol/rest/http.ts";
import { type PastSource, servePast } from "../../protocol/rest/past-api.ts";
import type { LinkView } from "../../protocol/rest/status-api.ts";
import { n1 } from "../core/drafts.ts";
import { MadeLog } from "../core/past-log.ts";

export const nowMs = 1_000_000;
export const device = "/tidemark/v1/nodes/edge-1/devices/default/thermo-1";

const neverGone: Cancelled = { aborted: false, addEventListener: () => {}, removeEventListener: () => {} };

export class PastWorld {
  readonly cluster: MadeLog = new MadeLog([], clusterLog);
  readonly node: MadeLog = new MadeLog([], nodeLog("edge-1"));
  readonly links: Map<string, LinkView> = new Map();
  readonly more: PastLog[] = [];
  now: number = nowMs;

  /** The cloud has heard all that the node did. */
  connected(acked: readonly (readonly [string, number])[] = [[n1, 0]]): void {
    this.links.set("edge-1", { state: "Connected", since: 0, reason: undefined, acked: new Map(acked) });
  }

  get source(): PastSource {
    const logs: PastLog[] = [this.cluster, this.node, ...this.more];
    return {
      logs: () => logs,
      log: (id: LogId) => logs.find((log) => log.id === id),
      link: (node) => this.links.get(node),
      now: () => this.now,
    };
  }

  /** Answers a GET as a process would. `body` is read, lines as an array of objects. */
  async get(path: string, query: Readonly<Record<string, string>> = {}): Promise<Answered> {
    const request: HttpRequest = {
      method: "GET",
      path,
      query: new Map(Object.entries(query).map(([name, value]) => [name, [value]])),
      headers: {},
      body: new Uint8Array(),
      identity: { kind: "local" },
    };
    const answer = await servePast(this.source, request, pathSegments(path) ?? [], neverGone).catch(
      responseOfError,
    );
    if (answer === undefined) return { status: 0, body: {}, lines: [] };
    if (typeof answer.body === "string") {
      return { status: answer.status, body: JSON.parse(answer.body) as Answered["body"], lines: [] };
    }
    let text = "";
    for await (const chunk of answer.body as AsyncIterable<string>) text += chunk;
    const lines = text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    return { status: answer.status, body: {}, lines };
  }
}

export interface Answered {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly lines: readonly Record<string, unknown>[];
}

export const model: Draft = {
  type: "resource.applied",
  class: "resource",
  key: "devicemodels/default/thermo",
  slot: "spec",
  body: { spec: { properties: [{ name: "temperature", type: "INT", accessMode: "ReadWrite" }] } },
};

export function declared(life?: EventId, cause?: EventId): Draft {
  const body = { spec: { deviceModelRef: { name: "thermo" }, nodeName: "edge-1" } };
  return { ...model, key: "devices/default/thermo-1", body, life, cause };
}
