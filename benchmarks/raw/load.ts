/** The load: publishers over bare sockets, with packets written by hand, so that it takes little of the cores. */
import { type Socket, connect as dial } from "node:net";
import { serve } from "../child.ts";
import { now } from "../clock.ts";
import { Template, connectPacket, subscribePacket } from "./mqtt.ts";

export interface LoadOptions {
  readonly port: number;
  readonly publishers: number;
  /** Messages of one publisher that are sent and not acknowledged. */
  readonly window: number;
  /** One more client subscribes to every device's `…/twin/update/result`. */
  readonly results: boolean;
}

export interface Counts {
  readonly acknowledged: number;
  readonly results: number;
}

export interface OpenLoop {
  /** Messages a second, of all publishers together, evenly spaced. */
  readonly rate: number;
  readonly seconds: number;
}

export interface Sent {
  /** The value of the first message; the others count up from it. */
  readonly firstValue: number;
  /** When each message was written, ms on the clock of `now()`. */
  readonly at: Float64Array;
  /** Time to each message's PUBACK, ms; NaN where there was none within 5 s. */
  readonly ackMs: Float64Array;
  /** How late the generator itself was, at worst, ms. */
  readonly lateMs: number;
}

/** Nine digits that no message before had: values stay unique and of one length. */
let nextValue = 100_000_000;
let stopped = false;
let acknowledged = 0;
let results = 0;
let publishers: Publisher[] = [];
/** Open loop: index of the message that a publisher's packet id belongs to. */
let ackOf: ((publisher: Publisher, id: number) => void) | undefined;

class Publisher {
  readonly socket: Socket;
  readonly #template: Template;
  readonly inFlight: Map<number, number> = new Map();
  #nextId = 1;
  #rest: Buffer | undefined;

  constructor(socket: Socket, device: number) {
    this.socket = socket;
    this.#template = new Template(device);
    socket.on("data", (chunk: Buffer) => {
      this.#take(chunk);
    });
  }

  /** @returns the packet id of the first of them. */
  publish(count: number): number {
    const firstId = this.#nextId;
    const packets = this.#template.write({ count, firstId, firstValue: nextValue, time: Date.now() });
    this.#nextId = ((firstId + count - 1) % 65_535) + 1;
    nextValue += count;
    this.socket.write(packets);
    return firstId;
  }

  /** After CONNACK a publisher is sent PUBACKs only: four bytes each. */
  #take(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    const count = Math.floor(bytes.length / 4);
    this.#rest = count * 4 === bytes.length ? undefined : bytes.subarray(count * 4);
    if (count === 0) return;
    if (bytes[0] !== 0x40) throw new Error(`packet of type ${bytes[0]} where a PUBACK was expected`);
    acknowledged += count;
    if (ackOf === undefined) {
      if (!stopped) this.publish(count);
      return;
    }
    for (let index = 0; index < count; index++) ackOf(this, bytes.readUInt16BE(index * 4 + 2));
  }
}

async function open(port: number, client: string): Promise<Socket> {
  const socket = dial({ port, host: "127.0.0.1", noDelay: true });
  socket.write(connectPacket(client));
  const answer = await new Promise<Buffer>((resolve, reject) => {
    socket.once("data", resolve);
    socket.once("error", reject);
  });
  if (answer.toString("hex") !== "20020000") throw new Error(`refused: ${answer.toString("hex")}`);
  socket.on("close", () => {
    throw new Error(`the broker closed ${client}`);
  });
  return socket;
}

let windowOf = 1;

async function connect({ port, publishers: count, window, results: wanted }: LoadOptions): Promise<void> {
  windowOf = window;
  publishers = [];
  for (let device = 0; device < count; device++) {
    publishers.push(new Publisher(await open(port, `bench-${device}`), device));
  }
  if (wanted) await subscribe(port);
}

async function subscribe(port: number): Promise<void> {
  const socket = await open(port, "bench-results");
  socket.write(subscribePacket("$hw/events/device/default/+/twin/update/result"));
  await new Promise<void>((resolve) => {
    socket.once("data", () => {
      resolve();
    });
  });
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    rest = bytes.subarray(countPackets(bytes));
  });
}

/** Counts whole packets. @returns where the first packet begins that is not whole. */
function countPackets(bytes: Buffer): number {
  let offset = 0;
  for (;;) {
    let length = 0;
    let at = offset + 1;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) return offset;
      length |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    if (at + length > bytes.length) return offset;
    offset = at + length;
    results++;
  }
}

/** Every publisher keeps its window full until `stop`. */
function saturate(): void {
  ackOf = undefined;
  stopped = false;
  for (const publisher of publishers) publisher.publish(windowOf);
}

function stop(): void {
  stopped = true;
}

function count(): Counts {
  return { acknowledged, results };
}

/** Publishes at a fixed rate, whatever comes back. */
async function openLoop({ rate, seconds }: OpenLoop): Promise<Sent> {
  const total = Math.round(rate * seconds);
  const firstValue = nextValue;
  const at = new Float64Array(total);
  const ackMs = new Float64Array(total).fill(Number.NaN);
  let left = total;
  let lateMs = 0;
  ackOf = (publisher, id) => {
    const index = publisher.inFlight.get(id);
    publisher.inFlight.delete(id);
    if (index === undefined) throw new Error(`PUBACK for ${id}, which is not in flight`);
    ackMs[index] = now() - (at[index] ?? Number.NaN);
    left--;
  };
  const began = now();
  for (let index = 0; index < total;) {
    const due = began + (index / rate) * 1000;
    const early = due - now();
    if (early > 0) {
      await pause(early);
      continue;
    }
    lateMs = Math.max(lateMs, -early);
    const publisher = publishers[index % publishers.length] as Publisher;
    at[index] = now();
    publisher.inFlight.set(publisher.publish(1), index++);
  }
  const isOver = (): boolean => left === 0;
  for (let waited = 0; !isOver() && waited < 5000; waited += 10) await pause(10);
  return { firstValue, at, ackMs, lateMs };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

serve({ connect, saturate, stop, count, openLoop });
