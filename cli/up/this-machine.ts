/**
 * This machine as a device: an ordinary MQTT client that reports load, free memory, free disk and uptime, and obeys what
 * is wanted of its `interval`.
 */
import { statfs } from "node:fs/promises";
import { freemem, loadavg, uptime } from "node:os";
import { type MqttClient, connect } from "mqtt";
import { defaultNamespace } from "../../protocol/devices/topics.ts";
import type { ValueType } from "../../protocol/devices/values.ts";
import type { JsonObject } from "../../protocol/rest/objects.ts";
import type { UpModel } from "./model.ts";

const apiVersion = "devices.kubeedge.io/v1beta1";
const model = "this-machine";

export const thisMachine: NonNullable<UpModel["device"]> = {
  namespace: defaultNamespace,
  name: "this-machine",
  properties: [
    { name: "load", unit: "" },
    { name: "free-memory", unit: "MiB" },
    { name: "free-disk", unit: "MiB" },
    { name: "uptime", unit: "s" },
    { name: "interval", unit: "s" },
    { name: "note", unit: "" },
  ],
};

const types: Readonly<Record<string, ValueType>> = {
  load: "FLOAT",
  "free-memory": "INT",
  "free-disk": "INT",
  uptime: "INT",
  interval: "INT",
  note: "STRING",
};

const intervalMin = 1;
const intervalMax = 60;

export const topic: string = `$hw/events/device/${thisMachine.namespace}/${thisMachine.name}`;

/** What is declared of it, model first. */
export function declarations(node: string): readonly JsonObject[] {
  const properties = thisMachine.properties.map(({ name, unit }): JsonObject => {
    const isWritable = name === "interval" || name === "note";
    return {
      name,
      type: types[name] ?? "STRING",
      accessMode: isWritable ? "ReadWrite" : "ReadOnly",
      ...(unit !== "" && { unit }),
      ...(name === "interval" && { minimum: String(intervalMin), maximum: String(intervalMax) }),
    };
  });
  const { namespace, name } = thisMachine;
  return [
    {
      apiVersion,
      kind: "DeviceModel",
      metadata: { name: model, namespace },
      spec: { protocol: "tidemark", properties },
    },
    {
      apiVersion,
      kind: "Device",
      metadata: { name, namespace },
      spec: {
        deviceModelRef: { name: model },
        nodeName: node,
        protocol: { protocolName: "tidemark" },
        properties: thisMachine.properties.map((property) => ({ name: property.name })),
      },
    },
  ];
}

/** The machine now, as text by property. */
export async function readings(dataDir: string): Promise<Record<string, string>> {
  const mebibyte = 1024 * 1024;
  const disk = await statfs(dataDir);
  return {
    load: (loadavg()[0] ?? 0).toFixed(2),
    "free-memory": String(Math.floor(freemem() / mebibyte)),
    "free-disk": String(Math.floor((disk.bavail * disk.bsize) / mebibyte)),
    uptime: String(Math.floor(uptime())),
  };
}

/** The payload of a `twin/update` that reports these values. */
export function updatePayload(values: Readonly<Record<string, string>>, timestamp: number): string {
  const twin = Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      {
        actual: { value, metadata: { timestamp } },
        metadata: { type: (types[name] ?? "STRING").toLowerCase() },
      },
    ]),
  );
  return JSON.stringify({ event_id: "", timestamp, twin });
}

/** The interval that a `delta`, or the answer to `twin/get`, asks for; undefined when it asks for none. */
export function wantedInterval(payload: string): number | undefined {
  let message: {
    delta?: Record<string, unknown>;
    twin?: Record<string, { expected?: { value?: unknown } }>;
  } | null;
  try {
    message = JSON.parse(payload) as typeof message;
  } catch {
    return undefined;
  }
  const wanted = message?.delta?.["interval"] ?? message?.twin?.["interval"]?.expected?.value;
  const seconds = Number(wanted);
  const isKept = Number.isInteger(seconds) && seconds >= intervalMin && seconds <= intervalMax;
  return isKept ? seconds : undefined;
}

export interface RunningDevice {
  /** Says that it goes offline, and ends. */
  stop(): Promise<void>;
}

/** Messages that may wait for their acknowledgement; more are not sent: the next reading replaces them. */
const unackedMax = 10;
const farewellMsMax = 500;

/** @param broker `mqtt://HOST:PORT` */
export function startDevice(broker: string, dataDir: string): RunningDevice {
  const client = connect(broker, { clientId: thisMachine.name, reconnectPeriod: 500, connectTimeout: 5000 });
  const device = new Device(client, dataDir);
  // The broker is down, or not up yet: the client tries again by itself.
  client.on("error", () => {});
  client.on("connect", () => device.connected());
  client.on("message", (topic, payload) => device.told(topic, payload.toString()));
  return { stop: () => device.stop() };
}

class Device {
  readonly #client: MqttClient;
  readonly #dataDir: string;
  #intervalSeconds = intervalMin;
  #timer: NodeJS.Timeout | undefined;
  #unacked = 0;

  constructor(client: MqttClient, dataDir: string) {
    this.#client = client;
    this.#dataDir = dataDir;
  }

  connected(): void {
    this.#client.subscribe([`${topic}/twin/update/delta`, `${topic}/twin/get/result`], { qos: 1 }, () => {
      this.#publish("state/update", JSON.stringify({ event_id: "", state: "online" }));
      // What was wanted while it was away is in the answer.
      this.#publish("twin/get", JSON.stringify({ event_id: "" }));
      this.#measure();
    });
  }

  told(from: string, payload: string): void {
    const seconds = wantedInterval(payload) ?? this.#intervalSeconds;
    const isNew = seconds !== this.#intervalSeconds;
    this.#intervalSeconds = seconds;
    if (isNew || from.endsWith("/get/result")) this.#report({ interval: String(seconds) });
    if (isNew) this.#measure();
  }

  /** Reports now, and again after each interval. */
  #measure(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#measure(), this.#intervalSeconds * 1000);
    readings(this.#dataDir).then(
      (values) => this.#report(values),
      // A sensor that can't be read this time.
      () => undefined,
    );
  }

  #report(values: Readonly<Record<string, string>>): void {
    this.#publish("twin/update", updatePayload(values, Date.now()));
  }

  #publish(action: string, payload: string): void {
    if (!this.#client.connected || this.#unacked >= unackedMax) return;
    this.#unacked += 1;
    this.#client.publish(`${topic}/${action}`, payload, { qos: 1 }, () => {
      this.#unacked -= 1;
    });
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#client.connected) {
      await new Promise<void>((resolve) => {
        const late = setTimeout(resolve, farewellMsMax);
        const payload = JSON.stringify({ event_id: "", state: "offline" });
        this.#client.publish(`${topic}/state/update`, payload, { qos: 1 }, () => {
          clearTimeout(late);
          resolve();
        });
      });
    }
    await this.#client.endAsync(true);
  }
}
