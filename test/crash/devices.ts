/** Devices and people: they publish and ask as real ones do, and note down what they were told. */
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import mqtt, { type MqttClient } from "mqtt";
import { messageOf } from "../../core/errors.ts";
import type { Seeded } from "../sim/random.ts";
import type { Reports, Sent, Wishes } from "./ledger.ts";
import { reportedProperties, wantedProperty } from "./options.ts";

const inFlightMax = 32;
const betweenReportsMs = 40;
const betweenWishesMs = 400;

export function topicOf(device: string): string {
  return `$hw/events/device/default/${device}/twin`;
}

/** Never closes by itself, or what it sent before and after that might overtake each other. */
async function connect(url: string, clientId: string): Promise<MqttClient> {
  const client = await mqtt.connectAsync(url, { clientId, reconnectPeriod: 0, keepalive: 0 }, false);
  client.on("error", () => undefined);
  return client;
}

/** Calls `use` with a connection, and with the next when that one is cut, until it says that it is done. */
async function whileConnected(
  url: string,
  clientId: string,
  use: (client: MqttClient, cut: AbortSignal) => Promise<boolean>,
): Promise<void> {
  for (;;) {
    let client: MqttClient;
    try {
      client = await connect(url, clientId);
    } catch {
      await delay(100);
      continue;
    }
    const cut = new AbortController();
    client.once("close", () => cut.abort());
    const isDone = await use(client, cut.signal);
    client.end(true);
    if (isDone) return;
  }
}

/** Resolves after so long, or when the signal aborts. */
function pause(ms: number, signal: AbortSignal): Promise<unknown> {
  return delay(ms, undefined, { signal }).catch(() => undefined);
}

/** A device: publishes one update after the other, and again what was not acknowledged when it was cut off. */
export class Publisher {
  readonly #reports: Reports;
  readonly #random: Seeded;
  readonly #stopping = new AbortController();
  /** By update, in order: what no PUBACK has come for. */
  readonly #unacked = new Map<number, { tries: number }>();
  readonly #done: Promise<void>;
  #updates = 0;
  #connections = 0;
  #wake: (() => void) | undefined;

  constructor(url: string, reports: Reports, random: Seeded) {
    this.#reports = reports;
    this.#random = random;
    this.#done = whileConnected(url, reports.device, (client, cut) => this.#publish(client, cut));
  }

  /** Reports nothing new. Resolves when all that it reported is acknowledged. */
  async finish(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  get unacked(): number {
    return this.#unacked.size;
  }

  async #publish(client: MqttClient, cut: AbortSignal): Promise<boolean> {
    this.#connections += 1;
    for (const update of this.#unacked.keys()) this.#send(client, update);
    const over = AbortSignal.any([cut, this.#stopping.signal]);
    while (!over.aborted) {
      if (this.#unacked.size < inFlightMax) {
        this.#updates += 1;
        this.#unacked.set(this.#updates, { tries: 0 });
        this.#send(client, this.#updates);
      }
      await pause(this.#random.wait(betweenReportsMs), over);
    }
    cut.addEventListener("abort", () => this.#wake?.());
    while (!cut.aborted && this.#unacked.size > 0) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.#unacked.size === 0 && this.#stopping.signal.aborted;
  }

  #send(client: MqttClient, update: number): void {
    const state = this.#unacked.get(update);
    if (state === undefined) return;
    state.tries += 1;
    const value = `${update}.${state.tries}`;
    const sent: Sent = { value, connection: this.#connections, acked: false };
    this.#reports.sent.push(sent);
    const twin = Object.fromEntries(reportedProperties.map((name) => [name, { actual: { value } }]));
    const payload = JSON.stringify({ event_id: value, timestamp: Date.now(), twin });
    client.publish(`${topicOf(this.#reports.device)}/update`, payload, { qos: 1 }, (error) => {
      if (error) return;
      sent.acked = true;
      this.#unacked.delete(update);
      if (this.#unacked.size === 0) this.#wake?.();
    });
  }
}

/** A person or a program that wants something of a device, and then something else. */
export class Wisher {
  readonly #wishes: Wishes;
  readonly #set: (value: string) => Promise<void>;
  readonly #random: Seeded;
  readonly #stopping = new AbortController();
  readonly #done: Promise<void>;
  /** Why the last one was not confirmed. */
  failure = "";

  constructor(wishes: Wishes, set: (value: string) => Promise<void>, random: Seeded) {
    this.#wishes = wishes;
    this.#set = set;
    this.#random = random;
    this.#done = this.#run();
  }

  /** Resolves when the last wish is confirmed. */
  async finish(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { wished } = this.#wishes;
    const { signal } = this.#stopping;
    while (!signal.aborted || wished.at(-1)?.acked !== true) {
      const wish = { value: String(wished.length + 1), acked: false };
      wished.push(wish);
      try {
        await this.#set(wish.value);
        wish.acked = true;
      } catch (error) {
        this.failure = messageOf(error);
      }
      if (signal.aborted) await delay(wish.acked ? 0 : 200);
      else await pause(this.#random.wait(betweenWishesMs), signal);
    }
  }
}

/** Listens to what is wanted of the devices of one node. */
export class Listener {
  readonly #ending = new AbortController();
  readonly #done: Promise<void>;

  constructor(url: string, node: string, wishes: readonly Wishes[]) {
    this.#done = whileConnected(url, `listener-${node}`, async (client, cut) => {
      client.on("message", (topic, payload) => note(wishes, topic, payload));
      const topics = wishes.map(({ device }) => `${topicOf(device)}/update/delta`);
      await client.subscribeAsync(topics, { qos: 1 }).catch(() => undefined);
      const over = AbortSignal.any([cut, this.#ending.signal]);
      if (!over.aborted) await once(over, "abort");
      return this.#ending.signal.aborted;
    });
  }

  async finish(): Promise<void> {
    this.#ending.abort();
    await this.#done;
  }
}

function note(wishes: readonly Wishes[], topic: string, payload: Buffer): void {
  const of = wishes.find(({ device }) => topic === `${topicOf(device)}/update/delta`);
  const { delta } = JSON.parse(payload.toString()) as { delta?: Readonly<Record<string, string>> };
  const value = delta?.[wantedProperty];
  if (of !== undefined && value !== undefined && of.deltas.at(-1) !== value) of.deltas.push(value);
}
