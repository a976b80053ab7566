import type { TidemarkError } from "../../core/errors.ts";
import type { Event, EventId } from "../../core/event.ts";
import type { LogLevel, Timers } from "../../core/ports.ts";
import { createDeviceTwin, type DeviceTwin } from "../../edge/device-twin.ts";
import type { DeviceBus } from "../../edge/device-twin-port.ts";
import { filterMatches } from "../../protocol/devices/filters.ts";
import { type Command, parseTopic } from "../../protocol/devices/topics.ts";
import { type FakeReplica, replicaWithDevice } from "./fake-replica.ts";

export const t1 = "$hw/events/device/default/t1";

export interface World {
  readonly replica: FakeReplica;
  readonly life: EventId;
  readonly twin: DeviceTwin;
  /** What was published, by topic, parsed. */
  readonly published: { readonly topic: string; readonly json: Record<string, unknown> }[];
  readonly lines: string[];
  /** Publishes, and resolves with what `done` was called with. */
  readonly send: (topic: string, payload: unknown) => Promise<TidemarkError | undefined>;
  /** The same, without waiting. @returns what tells whether it is done */
  readonly start: (topic: string, payload: unknown) => { done: boolean; error: TidemarkError | undefined };
  isSlow: boolean;
}

export function given(options: { readonly filters?: readonly string[] } = {}): World {
  const { replica, life } = replicaWithDevice();
  const filters = options.filters ?? ["$hw/#"];
  const hears = (topic: string) => filters.filter((filter) => filterMatches(filter, topic));
  const world: Pick<World, "published" | "lines" | "isSlow"> = { published: [], lines: [], isSlow: false };
  const bus: DeviceBus = {
    hasSubscriber(topic, besides) {
      const others = besides === undefined ? [] : hears(besides);
      return hears(topic).some((filter) => !others.includes(filter));
    },
    publish(topic, payload) {
      if (world.isSlow) return false;
      world.published.push({ topic, json: JSON.parse(payload) as Record<string, unknown> });
      return true;
    },
  };
  const timers: Timers = {
    after(delayMs, task) {
      const timer = setTimeout(task, delayMs);
      return () => clearTimeout(timer);
    },
    soon(task) {
      setImmediate(task);
    },
  };
  const logger = {
    log(level: LogLevel, message: string) {
      world.lines.push(`${level}: ${message}`);
    },
  };
  const clock = { now: () => 1_800_000_009_000.5, monotonic: () => 0 };
  const twin = createDeviceTwin({ replica, node: "edge-1", clock, timers, logger, bus });
  const receive = (topic: string, payload: unknown, done: (error?: TidemarkError) => void): void => {
    const command = parseTopic(topic) as Command;
    const bytes = Buffer.isBuffer(payload)
      ? payload
      : Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload));
    twin.receive(command, bytes, done);
  };
  return Object.assign(world, {
    replica,
    life,
    twin,
    send: (topic: string, payload: unknown) =>
      new Promise<TidemarkError | undefined>((resolve) => receive(topic, payload, resolve)),
    start(topic: string, payload: unknown) {
      const state = { done: false, error: undefined as TidemarkError | undefined };
      receive(topic, payload, (error) => {
        state.done = true;
        state.error = error;
      });
      return state;
    },
  });
}

export interface Report {
  readonly event_id: string;
  readonly timestamp: number;
  readonly twin: Record<string, unknown>;
}

/** A `twin/update` that reports these values. */
export function report(values: Record<string, string>, eventId: string = "e1"): Report {
  const twin = Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, { actual: { value } }]),
  );
  return { event_id: eventId, timestamp: 1, twin };
}

/** The node's events that are durable. */
export function own(replica: FakeReplica): Event[] {
  return replica.events.filter(({ origin }) => origin === replica.incarnation);
}

export function brief({ type, slot, body, life }: Event): Pick<Event, "type" | "slot" | "body" | "life"> {
  return { type, slot, body, life };
}
