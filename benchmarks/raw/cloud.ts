/** The floor's cloud: values in over `wss`, one put each, acknowledged after the sync. Nothing is validated. */
import { createServer } from "node:https";
import type { ServerResponse } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { serve } from "../child.ts";
import { type Database, headerLength, keyOf, openDatabase } from "./append.ts";
import type { Identity } from "./certificates.ts";
import { decodeValues } from "./events.ts";

export interface CloudOptions {
  readonly directory: string;
  readonly identity: Identity;
}

export interface CloudPorts {
  readonly link: number;
  readonly api: number;
}

/** Values that arrived and are not yet in the log. A sync takes all that came during the one before it. */
let arrived: Buffer[] = [];
let values = 0;
let events = 0;
let committing = false;
const watchers = new Set<ServerResponse>();

async function commit(database: Database, edge: WebSocket): Promise<void> {
  committing = true;
  while (arrived.length > 0) {
    const group = arrived;
    arrived = [];
    const batch = database.batch();
    for (const value of group) batch.put(keyOf(++values), value);
    await batch.write({ sync: true });
    edge.send(keyOf(values));
    for (const value of group) events += value.readUInt32BE(0);
    if (watchers.size > 0) tell(group);
  }
  committing = false;
}

/** One line for each event that became readable, as a watch of an API gives them. */
function tell(group: readonly Buffer[]): void {
  const lines = group
    .flatMap((value) => decodeValues(value.subarray(headerLength)))
    .map((value) => `${JSON.stringify({ value })}\n`)
    .join("");
  for (const watcher of watchers) watcher.write(lines);
}

async function start({ directory, identity }: CloudOptions): Promise<CloudPorts> {
  const database = await openDatabase(`${directory}/cloud`);
  const { ca, cert, key } = identity;
  const links = createServer({ ca, cert, key, requestCert: true, rejectUnauthorized: true });
  new WebSocketServer({ server: links, perMessageDeflate: false }).on("connection", (edge) => {
    edge.on("message", (value: Buffer) => {
      arrived.push(value);
      if (!committing) commit(database, edge);
    });
  });
  const api = createServer({ cert, key, noDelay: true }, (request, response) => {
    if (request.url === "/stored") {
      response.end(String(events));
      return;
    }
    response.writeHead(200, { "content-type": "application/x-ndjson" }).flushHeaders();
    watchers.add(response);
    response.once("close", () => watchers.delete(response));
  });
  return { link: await listen(links), api: await listen(api) };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}

serve({ start });
