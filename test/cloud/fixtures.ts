/** Devices and models as users write them, and the world that the API needs. */
import type { Clock, Environment, Random, Timers } from "../../core/ports.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import type { Json, KubeObject } from "../../protocol/rest/objects.ts";

export const clock: Clock = { now: () => Date.UTC(2026, 10, 20, 10), monotonic: () => 0 };

export const timers: Timers = {
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
  soon: (task) => void setImmediate(task),
};

/** Bytes that count up: different each time, and the same in every run. */
export function countingRandom(): Random {
  let next = 0;
  return {
    bytes: (count) => Uint8Array.from({ length: count }, () => (next += 1) & 0xff),
    fraction: () => 0.5,
  };
}

export function environment(): Environment {
  return { clock, timers, random: countingRandom(), digest: nodeDigest, logger: { log: () => {} } };
}

export type PropertyRow = Readonly<Record<string, Json>>;

export const temp: PropertyRow = {
  name: "temp",
  type: "INT",
  accessMode: "ReadWrite",
  minimum: "1",
  maximum: "100",
};

export function model(properties: readonly PropertyRow[] = [temp], name = "thermo-model"): KubeObject {
  return {
    apiVersion: "devices.kubeedge.io/v1beta1",
    kind: "DeviceModel",
    metadata: { name },
    spec: { protocol: "modbus", properties },
  };
}

export interface DeviceRow {
  readonly name?: string;
  readonly node?: string;
  readonly model?: string;
  /** By property. */
  readonly desired?: Readonly<Record<string, string>>;
}

export function device({
  name = "thermo-1",
  node,
  model = "thermo-model",
  desired = {},
}: DeviceRow = {}): KubeObject {
  return {
    apiVersion: "devices.kubeedge.io/v1beta1",
    kind: "Device",
    metadata: { name },
    spec: {
      deviceModelRef: { name: model },
      ...(node !== undefined && { nodeName: node }),
      properties: Object.entries(desired).map(([property, value]) => ({
        name: property,
        desired: { value },
      })),
    },
  };
}

export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
