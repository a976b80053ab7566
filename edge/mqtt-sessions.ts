/**
 * What the broker keeps for clients, within bounds: aedes by itself queues for absent clients, and remembers clients
 * and retained messages, without end.
 */
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/ports.ts";
import type { FilterSet } from "../protocol/devices/filters.ts";
import type { AckLane, Turn } from "./mqtt-acks.ts";

interface ClientRef {
  readonly id: string;
}

interface PacketRef {
  readonly topic?: string | undefined;
  readonly payload?: Buffer | string | undefined;
  readonly messageId?: number | undefined;
}

interface SubscriberRef {
  readonly clientId: string;
}

/** The part of an aedes persistence that is bounded or listened to here. */
export interface Persistence {
  addSubscriptions(client: ClientRef, subs: readonly { readonly topic: string }[]): Promise<unknown>;
  removeSubscriptions(client: ClientRef, topics: readonly string[]): Promise<unknown>;
  cleanSubscriptions(client: ClientRef): Promise<unknown>;
  outgoingEnqueue(subscriber: SubscriberRef, packet: PacketRef): Promise<unknown>;
  outgoingEnqueueCombi(subscribers: readonly SubscriberRef[], packet: PacketRef): Promise<unknown>;
  outgoingClearMessageId(client: ClientRef, packet: PacketRef): Promise<PacketRef | undefined>;
  outgoingStream(client: ClientRef): AsyncIterable<PacketRef>;
  incomingStorePacket(client: ClientRef, packet: PacketRef): Promise<unknown>;
  incomingDelPacket(client: ClientRef, packet: PacketRef): Promise<unknown>;
  cleanIncoming(client: ClientRef): Promise<unknown>;
  storeRetained(packet: PacketRef): Promise<unknown>;
}

export interface SessionLimits {
  /** Messages kept for one client that is not there; the newest are dropped past it. */
  readonly queuedMax: number;
  /** Bytes kept for all clients together; the newest messages are dropped past it. */
  readonly queuedBytesMax: number;
  /** Persistent sessions; past it the one that was made first, of clients that are not there, is dropped. */
  readonly sessionsMax: number;
  /** Topics with a retained message; the newest are dropped past it. */
  readonly retainedMax: number;
  readonly retainedBytesMax: number;
}

/** A client that is there has at most this many messages unacknowledged: there are no more message ids. */
const unacknowledgedMax = 65_535;

/** A message at QoS 2 that made events: until its PUBREL, the same message id is the same message. */
export interface Received {
  settled: boolean;
  /** Acknowledgements that wait for it: the first one's, and those of the message sent again. */
  readonly waiting: { readonly lane: AckLane; readonly turn: Turn }[];
}

interface Session {
  readonly filters: Set<string>;
  queued: number;
  bytes: number;
}

export interface SessionsOptions {
  /** Its methods are replaced. */
  readonly persistence: Persistence;
  /** Gets the subscriptions of persistent sessions: messages are kept for them while their clients are away. */
  readonly filters: FilterSet;
  readonly limits: SessionLimits;
  readonly logger: Logger;
  readonly isConnected: (clientId: string) => boolean;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #original: Persistence;
  readonly #sessions = new Map<string, Session>();
  readonly #received = new Map<string, Map<number, Received>>();
  /** Clients of which the broker remembers messages at QoS 2. */
  readonly #incoming = new Set<string>();
  /** Bytes of each retained message, by topic. */
  readonly #retained = new Map<string, number>();
  #retainedBytes = 0;
  #bytes = 0;
  #dropped = 0;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#original = originals(options.persistence);
    this.#boundSubscriptions(options.persistence);
    this.#boundOutgoing(options.persistence);
    this.#boundIncoming(options.persistence);
    options.persistence.storeRetained = (packet) => this.#storeRetained(packet);
  }

  /** Messages dropped for want of room. */
  get dropped(): number {
    return this.#dropped;
  }

  /** The message at QoS 2 that this one repeats, if it does. */
  repeated(clientId: string, messageId: number): Received | undefined {
    return this.#received.get(clientId)?.get(messageId);
  }

  remember(clientId: string, messageId: number): Received {
    let messages = this.#received.get(clientId);
    if (messages === undefined) {
      messages = new Map();
      this.#received.set(clientId, messages);
    }
    const received: Received = { settled: false, waiting: [] };
    messages.set(messageId, received);
    return received;
  }

  forget(clientId: string, messageId: number): void {
    const messages = this.#received.get(clientId);
    messages?.delete(messageId);
    if (messages?.size === 0) this.#received.delete(clientId);
  }

  #boundSubscriptions(persistence: Persistence): void {
    persistence.addSubscriptions = (client, subs) => {
      const session = this.#sessionOf(client.id);
      for (const { topic } of subs) {
        if (session.filters.has(topic)) continue;
        session.filters.add(topic);
        this.#options.filters.add(topic);
      }
      return this.#original.addSubscriptions(client, subs);
    };
    persistence.removeSubscriptions = (client, topics) => {
      const session = this.#sessions.get(client.id);
      for (const topic of topics) {
        if (session?.filters.delete(topic) === true) this.#options.filters.remove(topic);
      }
      return this.#original.removeSubscriptions(client, topics);
    };
    persistence.cleanSubscriptions = (client) => this.#end(client);
  }

  #boundOutgoing(persistence: Persistence): void {
    const original = this.#original;
    persistence.outgoingEnqueue = (subscriber, packet) =>
      this.#mayQueue(subscriber.clientId, packet)
        ? original.outgoingEnqueue(subscriber, packet)
        : Promise.resolve();
    persistence.outgoingEnqueueCombi = (subscribers, packet) =>
      original.outgoingEnqueueCombi(
        subscribers.filter(({ clientId }) => this.#mayQueue(clientId, packet)),
        packet,
      );
    persistence.outgoingClearMessageId = async (client, packet) => {
      const cleared = await original.outgoingClearMessageId(client, packet);
      const session = this.#sessions.get(client.id);
      if (cleared === undefined || session === undefined) return cleared;
      session.queued -= 1;
      // At QoS 2 the message has given way to its PUBREL, which has no payload: an empty queue puts the sum right.
      const bytes = session.queued === 0 ? session.bytes : sizeOf(cleared);
      session.bytes -= bytes;
      this.#bytes -= bytes;
      return cleared;
    };
  }

  #boundIncoming(persistence: Persistence): void {
    const original = this.#original;
    persistence.incomingStorePacket = (client, packet) => {
      this.#incoming.add(client.id);
      if (this.#incoming.size > this.#options.limits.sessionsMax) this.#drop(this.#absent(this.#incoming));
      return original.incomingStorePacket(client, packet);
    };
    persistence.incomingDelPacket = (client, packet) => {
      if (packet.messageId !== undefined) this.forget(client.id, packet.messageId);
      return original.incomingDelPacket(client, packet);
    };
    persistence.cleanIncoming = (client) => {
      this.#received.delete(client.id);
      this.#incoming.delete(client.id);
      return original.cleanIncoming(client);
    };
  }

  #sessionOf(clientId: string): Session {
    let session = this.#sessions.get(clientId);
    if (session !== undefined) return session;
    session = { filters: new Set(), queued: 0, bytes: 0 };
    this.#sessions.set(clientId, session);
    if (this.#sessions.size > this.#options.limits.sessionsMax) {
      this.#drop(this.#absent(this.#sessions.keys()));
    }
    return session;
  }

  #absent(clientIds: Iterable<string>): string | undefined {
    for (const clientId of clientIds) if (!this.#options.isConnected(clientId)) return clientId;
    return undefined;
  }

  #drop(clientId: string | undefined): void {
    if (clientId === undefined) return;
    const { logger, persistence } = this.#options;
    logger.log("warn", "an MQTT session was dropped: too many are kept", { client: clientId });
    const client = { id: clientId };
    Promise.all([this.#end(client), persistence.cleanIncoming(client)]).catch((error: unknown) => {
      logger.log("error", "an MQTT session could not be dropped", {
        client: clientId,
        reason: messageOf(error),
      });
    });
  }

  /** Ends a session: its subscriptions, and what is queued for it. */
  async #end(client: ClientRef): Promise<void> {
    const session = this.#sessions.get(client.id);
    this.#sessions.delete(client.id);
    for (const filter of session?.filters ?? []) this.#options.filters.remove(filter);
    this.#bytes -= session?.bytes ?? 0;
    await this.#original.cleanSubscriptions(client);
    if (session === undefined || session.queued === 0) return;
    for await (const packet of this.#original.outgoingStream(client)) {
      await this.#original.outgoingClearMessageId(client, packet);
    }
  }

  #mayQueue(clientId: string, packet: PacketRef): boolean {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return false;
    const { limits, isConnected } = this.#options;
    const queuedMax = isConnected(clientId) ? unacknowledgedMax : limits.queuedMax;
    const bytes = sizeOf(packet);
    if (session.queued >= queuedMax || this.#bytes + bytes > limits.queuedBytesMax) {
      this.#noteDropped(clientId);
      return false;
    }
    session.queued += 1;
    session.bytes += bytes;
    this.#bytes += bytes;
    return true;
  }

  #storeRetained(packet: PacketRef): Promise<unknown> {
    const { limits } = this.#options;
    const topic = packet.topic ?? "";
    const bytes = sizeOf(packet);
    const held = this.#retained.get(topic);
    const total = this.#retainedBytes - (held ?? 0) + bytes;
    const isFull =
      total > limits.retainedBytesMax || (held === undefined && this.#retained.size >= limits.retainedMax);
    if (bytes > 0 && isFull) {
      this.#noteDropped(undefined);
      return Promise.resolve();
    }
    this.#retainedBytes = total;
    if (bytes === 0) this.#retained.delete(topic);
    else this.#retained.set(topic, bytes);
    // A copy: the payload is a view into all that was read with it.
    const { payload } = packet;
    return this.#original.storeRetained(
      typeof payload === "object" ? { ...packet, payload: Buffer.from(payload) } : packet,
    );
  }

  #noteDropped(client: string | undefined): void {
    this.#dropped += 1;
    if (this.#dropped > 1) return;
    const message = "MQTT messages are dropped, because too many are kept already";
    this.#options.logger.log("warn", message, { client });
  }
}

function sizeOf(packet: PacketRef): number {
  return packet.payload?.length ?? 0;
}

function originals(persistence: Persistence): Persistence {
  return {
    addSubscriptions: persistence.addSubscriptions.bind(persistence),
    removeSubscriptions: persistence.removeSubscriptions.bind(persistence),
    cleanSubscriptions: persistence.cleanSubscriptions.bind(persistence),
    outgoingEnqueue: persistence.outgoingEnqueue.bind(persistence),
    outgoingEnqueueCombi: persistence.outgoingEnqueueCombi.bind(persistence),
    outgoingClearMessageId: persistence.outgoingClearMessageId.bind(persistence),
    outgoingStream: persistence.outgoingStream.bind(persistence),
    incomingStorePacket: persistence.incomingStorePacket.bind(persistence),
    incomingDelPacket: persistence.incomingDelPacket.bind(persistence),
    cleanIncoming: persistence.cleanIncoming.bind(persistence),
    storeRetained: persistence.storeRetained.bind(persistence),
  };
}
