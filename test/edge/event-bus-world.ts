import { once } from "node:events";
import { type Socket, connect as connectSocket } from "node:net";
import { type IClientOptions, type MqttClient, connectAsync } from "mqtt";
import mqttPacket from "mqtt-packet";
import type { TidemarkError } from "../../core/errors.ts";
import type { CommandReceiver, Message } from "../../edge/device-twin-port.ts";
import { type EventBus, type EventBusLimits, createEventBus } from "../../edge/event-bus.ts";
import type { Command } from "../../protocol/devices/topics.ts";

export const update = "$hw/events/device/default/t1/twin/update";

export interface Taken {
  readonly command: Command;
  readonly text: string;
  readonly done: (error?: TidemarkError) => void;
}

/** Stands in for DeviceTwin: keeps what it is given; done at once, or when the test says so. */
export class Receiver implements CommandReceiver {
  readonly taken: Taken[] = [];
  pending: Message[] = [];
  held = false;
  #waiting: (() => void)[] = [];

  receive(command: Command, payload: Buffer, done: (error?: TidemarkError) => void): void {
    this.taken.push({ command, text: payload.toString(), done });
    if (!this.held) done();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  pendingFor(): Iterable<Message> {
    return this.pending;
  }

  async count(count: number): Promise<void> {
    while (this.taken.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

export interface World {
  readonly bus: EventBus;
  readonly receiver: Receiver;
  readonly port: number;
  readonly lines: string[];
  readonly client: (options?: IClientOptions) => Promise<MqttClient>;
  readonly raw: (options?: { clientId?: string; clean?: boolean }) => Promise<RawClient>;
}

export async function given(
  t: { teardown(task: () => unknown): void },
  limits: Partial<EventBusLimits> = {},
): Promise<World> {
  const lines: string[] = [];
  const bus = createEventBus({
    port: 0,
    logger: { log: (level, message) => void lines.push(`${level}: ${message}`) },
    limits: { closeMs: 300, ...limits },
  });
  const receiver = new Receiver();
  bus.attach(receiver);
  const { port } = await bus.open();
  t.teardown(() => bus.close());
  return {
    bus,
    receiver,
    port,
    lines,
    async client(options = {}) {
      const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, ...options });
      client.on("error", () => {});
      t.teardown(() => client.endAsync(true));
      return client;
    },
    async raw(options = {}) {
      const client = await RawClient.connect(port, options);
      t.teardown(() => client.socket.destroy());
      return client;
    },
  };
}

/** Speaks MQTT packet by packet, so that a test sees what arrives and when. */
export class RawClient {
  readonly socket: Socket;
  readonly packets: mqttPacket.Packet[] = [];
  closed = false;
  #waiting: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    const parser = mqttPacket.parser();
    parser.on("packet", (packet) => {
      this.packets.push(packet);
      this.#wake();
    });
    socket.on("data", (chunk) => parser.parse(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  static async connect(port: number, options: { clientId?: string; clean?: boolean }): Promise<RawClient> {
    const socket = connectSocket(port, "127.0.0.1");
    await once(socket, "connect");
    const client = new RawClient(socket);
    client.send({ cmd: "connect", clientId: "raw", clean: true, keepalive: 0, ...options });
    await client.until(() => client.packets.length === 1);
    client.packets.length = 0;
    return client;
  }

  send(...packets: mqttPacket.Packet[]): void {
    this.socket.write(Buffer.concat(packets.map((packet) => mqttPacket.generate(packet))));
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

export function publish(
  topic: string,
  messageId: number,
  options: { readonly qos?: 0 | 1 | 2; readonly payload?: string; readonly dup?: boolean } = {},
): mqttPacket.Packet {
  const { qos = 1, payload = "{}", dup = false } = options;
  return { cmd: "publish", topic, payload, qos, messageId, dup, retain: false };
}

export const idsOf = (client: RawClient, cmd: string): (number | undefined)[] =>
  client.packets.filter((packet) => packet.cmd === cmd).map((packet) => packet.messageId);

/** Long enough for what should not happen to happen. */
export const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

/** The next message that a client gets. */
export function heardBy(
  client: MqttClient,
): Promise<{ topic: string; payload: string; qos: number; retain: boolean }> {
  return new Promise((resolve) => {
    client.once("message", (topic, payload, { qos, retain }) => {
      resolve({ topic, payload: payload.toString(), qos, retain });
    });
  });
}
