/** `replay --mqtt`: publishes what devices published, with the spacing that it had. */
import { setTimeout as sleep } from "node:timers/promises";
import type { MqttClient } from "mqtt";
import { calibratedTime } from "../../core/clock.ts";
import { TidemarkError, messageOf } from "../../core/errors.ts";
import type { Event } from "../../core/event.ts";
import { type Published, Traffic } from "../../protocol/devices/traffic.ts";
import type { Replay } from "../commands/replay.ts";
import { type Context, printJson, printNote, printText } from "../context.ts";
import { counted } from "../text.ts";
import { untilAborted } from "../until.ts";

export interface PlayOptions {
  readonly mqtt?: string;
  readonly speed: string;
}

/** Messages that may wait for their PUBACK. */
const unackedMax = 64;
const connectMsMax = 10_000;
/** How long a broker that has gone may take to come back for the last ones, when the command is to end. */
const farewellMsMax = 5000;

export async function play(
  context: Context,
  options: PlayOptions,
  { rebuild, from, progress }: Replay,
): Promise<number> {
  const speed = speedOf(options.speed);
  const stopping = context.world.stopping();
  const client = await connectTo(options.mqtt ?? "");
  const player = new Player(client, speed, stopping);
  try {
    const traffic = new Traffic();
    const send = async (messages: readonly Published[]): Promise<void> => {
      for (const message of messages) await player.send(message, timeOf(message.event));
    };
    const timeOf = (event: Event): number => calibratedTime(rebuild.header?.eras ?? new Map(), event);
    walk: for await (const events of rebuild.batches()) {
      for (const event of events) {
        if (stopping.aborted) break walk;
        rebuild.apply(event);
        if (event.position >= from) await send(traffic.take(event));
      }
      progress.update(rebuild.events);
    }
    if (!stopping.aborted) await send(traffic.flush());
    await player.drain();
  } finally {
    progress.end();
    await client.endAsync(true);
  }
  const { messages, events, unacked } = player;
  if (context.json) await printJson(context, { messages, events, unacked, interrupted: stopping.aborted });
  else {
    if (stopping.aborted) await printNote(context, "interrupted\n");
    await printText(context, `sent ${counted(messages, "message")} of ${counted(events, "event")}\n`);
  }
  if (unacked === 0) return 0;
  throw new TidemarkError(
    "NOT_REACHABLE",
    `${counted(unacked, "message")} more were not acknowledged: the broker has gone`,
  );
}

class Player {
  readonly #client: MqttClient;
  readonly #speed: number;
  readonly #stopping: AbortSignal;
  readonly #stopped: Promise<undefined>;
  readonly #waiting = new Set<Promise<void>>();
  #beganMs: number | undefined;
  #firstMs = 0;
  /** Acknowledged, and the events that they stand for. */
  messages = 0;
  events = 0;

  constructor(client: MqttClient, speed: number, stopping: AbortSignal) {
    this.#client = client;
    this.#speed = speed;
    this.#stopping = stopping;
    this.#stopped = untilAborted(stopping);
  }

  get unacked(): number {
    return this.#waiting.size;
  }

  async send(message: Published, timeMs: number): Promise<void> {
    await this.#pace(timeMs);
    while (this.#waiting.size >= unackedMax && !this.#stopping.aborted) await this.#oneAcked();
    if (this.#stopping.aborted) return;
    const sent = this.#client.publishAsync(message.topic, message.payload, { qos: 1 }).then(() => {
      this.messages += 1;
      this.events += message.events;
      this.#waiting.delete(sent);
    });
    // Told by what is left unacknowledged at the end.
    sent.catch(() => undefined);
    this.#waiting.add(sent);
  }

  /** Waits for what was sent; not for ever. */
  async drain(): Promise<void> {
    const late = new AbortController();
    await Promise.race([
      Promise.allSettled(this.#waiting),
      sleep(farewellMsMax, undefined, late).catch(() => undefined),
    ]);
    late.abort();
  }

  async #oneAcked(): Promise<void> {
    await Promise.race([...this.#waiting, this.#stopped]);
  }

  /** The spacing of the recording, from its first message on. */
  async #pace(timeMs: number): Promise<void> {
    if (this.#speed === Infinity) return;
    if (this.#beganMs === undefined) {
      this.#beganMs = performance.now();
      this.#firstMs = timeMs;
    }
    const dueMs = this.#beganMs + (timeMs - this.#firstMs) / this.#speed;
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await sleep(waitMs, undefined, { signal: this.#stopping }).catch(() => undefined);
  }
}

function speedOf(text: string): number {
  if (text === "max") return Infinity;
  const speed = /^[0-9]+(\.[0-9]+)?x?$/.test(text) ? Number.parseFloat(text) : 0;
  if (speed > 0) return speed;
  throw new TidemarkError("USAGE", `--speed ${text} is neither a number above 0 nor max`);
}

async function connectTo(url: string): Promise<MqttClient> {
  if (!/^(mqtts?|wss?):\/\//.test(url) || !URL.canParse(url))
    throw new TidemarkError("USAGE", `--mqtt ${url} is no address of a broker: write mqtt://HOST:PORT`);
  const { connectAsync } = await import("mqtt");
  try {
    const client = await connectAsync(url, { reconnectPeriod: 500, connectTimeout: connectMsMax }, false);
    // It comes back by itself, and sends again what was not acknowledged.
    client.on("error", () => undefined);
    return client;
  } catch (cause) {
    throw new TidemarkError("NOT_REACHABLE", `no broker answers at ${url}: ${messageOf(cause)}`, { cause });
  }
}
