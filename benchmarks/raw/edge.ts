/**
 * The floor's edge: an MQTT broker that acknowledges after the group's sync, one LevelDB value a commit, and each value
 * over `wss` as it is. Nothing is validated, projected or read back.
 */
import { Aedes, type AedesPublishPacket } from "aedes";
import { type AddressInfo, createServer } from "node:net";
import { WebSocket } from "ws";
import { serve } from "../child.ts";
import { type Backlogged, commitsOf } from "../reports.ts";
import { type Database, GroupLog, keyOf, openDatabase, valueOf } from "./append.ts";
import type { Identity } from "./certificates.ts";
import { encodeReport } from "./events.ts";

export interface EdgeOptions {
  readonly directory: string;
  readonly identity: Identity;
  readonly linkPort: number;
}

interface Twin {
  readonly actual: { readonly value: string };
  readonly metadata: { readonly type: string };
}

interface Update {
  readonly timestamp: number;
  readonly twin: Readonly<Record<string, Twin>>;
}

/** Values that the cloud has not acknowledged; then commits, and with them the publishers, wait. */
const window = 64;
const updateTopic = /^\$hw\/events\/device\/([^/]+)\/([^/]+)\/twin\/update$/;

let database: Database | undefined;
let link: WebSocket | undefined;
let options: EdgeOptions | undefined;
let sent = 0;
let sentBytes = 0;
let acknowledged = 0;
let roomFound: (() => void) | undefined;

function send(value: Uint8Array): Promise<void> | undefined {
  link?.send(value);
  sent++;
  sentBytes += value.length;
  if (sent - acknowledged < window) return undefined;
  return new Promise((resolve) => {
    roomFound = resolve;
  });
}

async function open(given: EdgeOptions): Promise<void> {
  options = given;
  database = await openDatabase(`${given.directory}/edge`);
}

async function connect(): Promise<void> {
  const { identity, linkPort } = must(options);
  const socket = new WebSocket(`wss://127.0.0.1:${linkPort}/`, { ...identity, perMessageDeflate: false });
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  socket.on("message", (ack: Buffer) => {
    acknowledged = Number(ack.readBigUInt64BE());
    const found = roomFound;
    roomFound = undefined;
    found?.();
  });
  link = socket;
}

/** @returns the broker's port. */
async function listen(): Promise<number> {
  const log = new GroupLog(must(database), send);
  let seq = 0;
  // Results go to whoever subscribed, once there is a subscription; the floor sends the update back as it came.
  let subscribers = 0;
  const broker = await Aedes.createBroker({
    authorizePublish: (_client, packet, callback) => {
      const [, namespace, device] = updateTopic.exec(packet.topic) ?? [];
      if (namespace === undefined || device === undefined) {
        callback(null);
        return;
      }
      const update = JSON.parse(packet.payload.toString()) as Update;
      // The load reports one property a message.
      const [property, twin] = Object.entries(update.twin)[0] as [string, Twin];
      const event = encodeReport({
        seq: ++seq,
        device: `devices/${namespace}/${device}`,
        property,
        value: twin.actual.value,
        time: update.timestamp,
        type: twin.metadata.type,
      });
      log.append(event, () => {
        // The acknowledgement waits for the result, or results would gather in the broker without a bound.
        if (subscribers === 0) callback(null);
        else broker.publish(resultOf(packet.topic, packet.payload), callback);
      });
    },
  });
  broker.on("subscribe", () => subscribers++);
  const server = createServer({ noDelay: true }, broker.handle);
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function resultOf(topic: string, payload: string | Buffer): AedesPublishPacket {
  return {
    cmd: "publish",
    topic: `${topic}/result`,
    payload,
    qos: 0,
    dup: false,
    retain: false,
  } as AedesPublishPacket;
}

/** Puts events where a run of updates during an outage would have left them. */
async function fill(shape: Backlogged): Promise<void> {
  let values = 0;
  let seq = 0;
  for (const reports of commitsOf(shape, Date.now())) {
    const events = reports.map(({ device, ...report }) =>
      encodeReport({ seq: ++seq, device: `devices/default/dev-${device}`, ...report }),
    );
    const sync = seq === shape.events;
    await must(database).batch().put(keyOf(++values), valueOf(events)).write({ sync });
  }
}

/** Connects and sends every value in the log, as fast as the window lets it. */
async function drain(): Promise<void> {
  await connect();
  const values = must(database).values({ highWaterMarkBytes: 1024 ** 2 });
  for (;;) {
    const some = await values.nextv(100);
    if (some.length === 0) break;
    for (const value of some) {
      const room = send(value);
      if (room !== undefined) await room;
    }
  }
  await values.close();
}

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("asked before `open`");
  return value;
}

serve({ open, connect, listen, fill, drain, sentBytes: () => sentBytes });
