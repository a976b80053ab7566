/**
 * EventBus: the MQTT broker of a node.
 *
 * A message to a device topic is acknowledged when its events are durable; any other at once, but never before one of
 * the same client that came before it. Ordinary traffic passes through untouched.
 */
import { type Server, type Socket, createServer } from "node:net";
import type { Client, PublishPacket, Subscription } from "aedes";
import { TidemarkError, messageOf } from "../core/errors.ts";
import type { Logger } from "../core/ports.ts";
import { type Command, TopicReader } from "../protocol/devices/topics.ts";
import type { CommandReceiver, DeviceBus } from "./device-twin-port.ts";
import { AckLane, type Release, type Turn } from "./mqtt-acks.ts";
import { AnswerPace } from "./mqtt-pace.ts";
import { Broker, isTopicTooLong } from "./mqtt-broker.ts";
import { PacketReading } from "./mqtt-reading.ts";
import { type Persistence, type SessionLimits, Sessions } from "./mqtt-sessions.ts";

export interface EventBusOptions {
  /** The address to listen on; loopback unless said. */
  readonly host?: string | undefined;
  /** 0 takes any free port. */
  readonly port: number;
  readonly logger: Logger;
  readonly limits?: Partial<EventBusLimits> | undefined;
}

export interface EventBusLimits extends SessionLimits {
  readonly clientsMax: number;
  /** A larger packet closes its connection. */
  readonly packetBytesMax: number;
  /** What one client may have unacknowledged; nothing more is read from it then. */
  readonly pendingMax: number;
  readonly pendingBytesMax: number;
  readonly subscriptionsPerClientMax: number;
  /** Messages of ours under way to subscribers; past it they are dropped. */
  readonly publishingMax: number;
  /** A subscriber that has taken nothing for so long, while something waits for it, is disconnected. */
  readonly drainMs: number;
  /** How long `close` waits for acknowledgements. */
  readonly closeMs: number;
}

export const eventBusLimits: EventBusLimits = {
  clientsMax: 10_000,
  packetBytesMax: 1024 * 1024,
  pendingMax: 1024,
  pendingBytesMax: 4 * 1024 * 1024,
  subscriptionsPerClientMax: 1000,
  publishingMax: 10_000,
  drainMs: 15_000,
  closeMs: 2000,
  queuedMax: 1000,
  queuedBytesMax: 64 * 1024 * 1024,
  sessionsMax: 10_000,
  retainedMax: 10_000,
  retainedBytesMax: 64 * 1024 * 1024,
};

export interface EventBus extends DeviceBus {
  /** Where messages to device topics go. To be called once, before `open`. */
  attach(receiver: CommandReceiver): void;
  /**
   * Listens. Idempotent.
   * @throws PORT_TAKEN when it can't listen there
   */
  open(): Promise<MqttAddress>;
  /** Reads no more, waits a little for acknowledgements under way, then disconnects. Idempotent. */
  close(): Promise<void>;
  readonly counts: EventBusCounts;
}

export interface MqttAddress {
  readonly host: string;
  readonly port: number;
}

export interface EventBusCounts {
  readonly clients: number;
  /** Messages not acknowledged yet. */
  readonly pending: number;
  /** Messages of ours that slow subscribers did not get, and messages for which there was no room to keep them. */
  readonly dropped: number;
}

export function createEventBus(options: EventBusOptions): EventBus {
  return new EmbeddedEventBus(options);
}

interface Connection {
  readonly lane: AckLane;
  readonly reading: PacketReading;
}

class EmbeddedEventBus implements EventBus {
  readonly #options: EventBusOptions;
  readonly #limits: EventBusLimits;
  readonly #logger: Logger;
  readonly #broker: Broker;
  readonly #server: Server;
  readonly #topics = new TopicReader();
  readonly #connections = new Map<Client, Connection>();
  #sessions: Sessions | undefined;
  #receiver: CommandReceiver | undefined;
  #opening: Promise<MqttAddress> | undefined;
  #closing: Promise<void> | undefined;
  readonly #pace: AnswerPace;
  #publishing = 0;
  #dropped = 0;
  #refusedClients = 0;

  constructor(options: EventBusOptions) {
    this.#options = options;
    this.#limits = { ...eventBusLimits, ...options.limits };
    this.#logger = options.logger;
    this.#pace = new AnswerPace(this.#limits.publishingMax / 2);
    this.#broker = new Broker({
      drainTimeout: this.#limits.drainMs,
      authorizePublish: (client, packet, callback) => {
        this.#published(client, packet, callback);
      },
      authorizeSubscribe: (client, subscription, callback) => {
        callback(null, this.#maySubscribe(client, subscription.topic) ? subscription : null);
      },
    });
    this.#broker.on("subscribe", (subscriptions, client) => {
      this.#subscribed(subscriptions, client);
    });
    this.#broker.on("clientError", (client, error) => {
      this.#logger.log("debug", "an MQTT connection failed", { client: client.id, reason: error.message });
    });
    // Noise from the network: scanners, clients of another protocol or version.
    this.#broker.on("connectionError", (_client, error) => {
      this.#logger.log("debug", "an MQTT connection failed before it was one", { reason: error.message });
    });
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#connected(socket);
    });
    this.#server.maxConnections = this.#limits.clientsMax;
    this.#server.on("drop", () => {
      this.#refusedClients += 1;
      if (this.#refusedClients > 1) return;
      this.#logger.log("warn", "MQTT clients are turned away: too many are connected", {
        clientsMax: this.#limits.clientsMax,
      });
    });
  }

  get counts(): EventBusCounts {
    return {
      clients: this.#connections.size,
      pending: this.#pending,
      dropped: this.#dropped + (this.#sessions?.dropped ?? 0),
    };
  }

  attach(receiver: CommandReceiver): void {
    this.#receiver = receiver;
  }

  open(): Promise<MqttAddress> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  async #open(): Promise<MqttAddress> {
    const { host = "127.0.0.1", port } = this.#options;
    await this.#broker.listen();
    this.#sessions = new Sessions({
      persistence: (this.#broker as unknown as { persistence: Persistence }).persistence,
      filters: this.#broker.filters,
      limits: this.#limits,
      logger: this.#logger,
      isConnected: (clientId) => this.#clients[clientId] !== undefined,
    });
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once("error", reject);
        this.#server.listen({ host, port }, () => {
          this.#server.off("error", reject);
          resolve();
        });
      });
    } catch (error) {
      this.#broker.close();
      throw new TidemarkError(
        "PORT_TAKEN",
        `MQTT can't listen on ${host}:${port} (${messageOf(error)}); free that port or choose another`,
        { cause: error, data: { host, port } },
      );
    }
    this.#server.on("error", (error) => {
      this.#logger.log("error", "the MQTT listener failed", { reason: error.message });
    });
    const address = this.#server.address();
    return { host, port: typeof address === "object" && address !== null ? address.port : port };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#opening === undefined) return;
    const opened = await this.#opening.then(
      () => true,
      () => false,
    );
    if (!opened) return;
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    for (const { reading } of this.#connections.values()) reading.reading = false;
    this.#pace.close();
    const deadline = performance.now() + this.#limits.closeMs;
    while (this.#pending > 0 && performance.now() < deadline) await pause(10);
    // Acknowledgements are written at the end of the turn in which they are given.
    await pause(0);
    await new Promise<void>((resolve) => {
      this.#broker.close(resolve);
    });
    await closed;
  }

  hasSubscriber(topic: string, besides?: string): boolean {
    return this.#broker.hasSubscriber(topic, besides);
  }

  publish(topic: string, payload: string): boolean {
    if (this.#publishing >= this.#limits.publishingMax) {
      if (this.#dropped === 0) {
        this.#logger.log("warn", "answers are dropped: MQTT subscribers are too slow", { topic });
      }
      this.#dropped += 1;
      return false;
    }
    this.#publishing += 1;
    const packet = { cmd: "publish", topic, payload: Buffer.from(payload), ...ownFlags } as const;
    this.#broker.publish(packet, this.#onPublished);
    return true;
  }

  readonly #onPublished = (): void => {
    this.#publishing -= 1;
    this.#pace.published(this.#publishing);
  };

  get #pending(): number {
    let pending = 0;
    for (const { lane } of this.#connections.values()) pending += lane.pending;
    return pending;
  }

  get #clients(): Readonly<Record<string, Client | undefined>> {
    return (this.#broker as unknown as { clients: Record<string, Client> }).clients;
  }

  #connected(socket: Socket): void {
    if (this.#closing !== undefined) {
      socket.destroy();
      return;
    }
    const { packetBytesMax } = this.#limits;
    const reading = new PacketReading(socket, packetBytesMax, (sizeBytes) => {
      this.#logger.log("warn", "an MQTT connection was closed: a packet is over the limit", {
        client: client.id,
        sizeBytes,
        packetBytesMax,
      });
      socket.destroy();
    });
    const lane = new AckLane(this.#limits, (isReading) => {
      if (this.#closing === undefined) reading.reading = isReading;
    });
    const client = this.#broker.handle(socket);
    this.#connections.set(client, { lane, reading });
    socket.once("close", () => {
      lane.close();
      this.#connections.delete(client);
    });
  }

  /** A client's message, before it is acknowledged; or its will, after it is gone. */
  #published(client: Client | null, packet: PublishPacket, release: Release): void {
    const { topic } = packet;
    const command = this.#topics.read(topic);
    const connection = client === null ? undefined : this.#connections.get(client);
    const sizeBytes = packet.payload.length;
    if (connection === undefined || packet.messageId === undefined) {
      // The end of this broker says nothing about a device, so no will is taken then.
      const isLate = this.#closing !== undefined && client?.closed !== false;
      if (command === undefined || isLate) release(null);
      else this.#unacknowledged(command, packet, connection?.lane, release);
    } else if (command === undefined) {
      if (isTopicTooLong(topic)) {
        this.#logger.log("warn", "an MQTT message was dropped: its topic is too long", {
          client: client?.id,
          topic: `${topic.slice(0, 64)}…`,
        });
      }
      connection.lane.pass(release, sizeBytes);
    } else if (packet.qos === 2) {
      this.#onceOnly(command, packet, (client as Client).id, { lane: connection.lane, release });
    } else {
      const { lane } = connection;
      const turn = lane.hold(release, sizeBytes);
      this.#receive(command, packet, (error) => {
        if (error !== undefined) fail(lane, turn, error);
        else this.#pace.settle(lane, turn, this.#publishing);
      });
    }
  }

  /** QoS 0, or a will. */
  #unacknowledged(
    command: Command,
    packet: PublishPacket,
    lane: AckLane | undefined,
    release: Release,
  ): void {
    const sizeBytes = packet.payload.length;
    lane?.entered(sizeBytes);
    this.#receive(command, packet, (error) => {
      if (lane?.closed !== true) lane?.left(sizeBytes);
      release(error ?? null);
    });
  }

  /** At QoS 2 a message may come again before it is known to have arrived: it makes its events once. */
  #onceOnly(
    command: Command,
    packet: PublishPacket,
    clientId: string,
    { lane, release }: { readonly lane: AckLane; readonly release: Release },
  ): void {
    const sessions = this.#sessions as Sessions;
    const messageId = packet.messageId as number;
    const before = sessions.repeated(clientId, messageId);
    if (before?.settled === true) {
      lane.pass(release, packet.payload.length);
      return;
    }
    const turn = lane.hold(release, packet.payload.length);
    if (before !== undefined) {
      before.waiting.push({ lane, turn });
      return;
    }
    const received = sessions.remember(clientId, messageId);
    received.waiting.push({ lane, turn });
    this.#receive(command, packet, (error) => {
      const waiting = received.waiting.splice(0);
      if (error === undefined) {
        received.settled = true;
        for (const { lane, turn } of waiting) lane.settle(turn);
      } else {
        sessions.forget(clientId, messageId);
        for (const { lane, turn } of waiting) fail(lane, turn, error);
      }
    });
  }

  #receive(command: Command, packet: PublishPacket, done: (error?: TidemarkError) => void): void {
    const { payload } = packet;
    if (this.#receiver === undefined) done();
    else this.#receiver.receive(command, typeof payload === "string" ? Buffer.from(payload) : payload, done);
  }

  #maySubscribe(client: Client, filter: string): boolean {
    if (isTopicTooLong(filter)) return false;
    const { subscriptions } = client as Client & { subscriptions: Record<string, unknown> };
    return (
      subscriptions[filter] !== undefined ||
      Object.keys(subscriptions).length < this.#limits.subscriptionsPerClientMax
    );
  }

  /** What stands now and this subscriber has missed, it gets like a retained message. */
  #subscribed(subscriptions: readonly Subscription[], client: Client): void {
    for (const { topic: filter, qos } of subscriptions) {
      if (!filter.startsWith("$hw/") || (qos !== 0 && qos !== 1 && qos !== 2)) continue;
      for (const { topic, payload } of this.#receiver?.pendingFor(filter) ?? []) {
        client.publish(
          {
            cmd: "publish",
            topic,
            payload: Buffer.from(payload),
            qos: qos === 0 ? 0 : 1,
            retain: true,
            dup: false,
          },
          // A client that went away in the meantime asks again when it is back.
          ignore,
        );
      }
    }
  }
}

const ownFlags = { qos: 1, retain: false, dup: false } as const;

/** The log did not take the message: its client must not believe it did. */
function fail(lane: AckLane, turn: Turn, error: TidemarkError): void {
  if (lane.closed) return;
  lane.close();
  turn.release(error);
}

function ignore(): void {}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
