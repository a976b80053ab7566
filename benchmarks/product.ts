/** The product, as the benchmarks drive it: its own processes, over its own APIs. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { RunningCloud } from "../cloud/cloud-process.ts";
import { type AdminAccess, readKubeconfig } from "../protocol/adapters/admin-access.ts";
import { requestJson, requestLines } from "../protocol/adapters/http-client.ts";
import type { ChangeRow } from "../protocol/rest/device-api.ts";
import type { VerifyRow } from "../protocol/rest/log-api.ts";
import type { StatusRow } from "../protocol/rest/status-api.ts";
import { type Child, startChild } from "./child.ts";
import type { EdgeOptions, FillOptions } from "./product/edge.ts";
import { openProductLog } from "./product/log.ts";
import { deviceName, namespace, node, property } from "./product/names.ts";
import { properties } from "./reports.ts";
import type { Backlog, BacklogOptions, Pipeline, PipelineOptions, Subject } from "./subject.ts";

const apiVersion = "devices.kubeedge.io/v1beta1";
/** To verify a log is to read all of it. */
const answerWithinMs = 300_000;

class CloudApi {
  readonly #access: AdminAccess;

  constructor(access: AdminAccess) {
    this.#access = access;
  }

  #ask(path: string, method = "GET", body?: unknown): Promise<unknown> {
    const timeoutMs = answerWithinMs;
    return requestJson({ ...this.#access, path, method, timeoutMs, ...(body !== undefined && { body }) });
  }

  async declare(devices: number, names: readonly string[]): Promise<void> {
    const base = `/apis/${apiVersion}/namespaces/${namespace}`;
    const metadata = { name: "bench", namespace };
    const properties = names.map((name) => ({ name, type: "FLOAT", accessMode: "ReadOnly" }));
    const model = { apiVersion, kind: "DeviceModel", metadata, spec: { protocol: "mqtt", properties } };
    await this.#ask(`${base}/devicemodels/bench`, "PUT", model);
    for (let index = 0; index < devices; index += 1) {
      const name = deviceName(index);
      const spec = { deviceModelRef: { name: "bench" }, nodeName: node };
      const device = { apiVersion, kind: "Device", metadata: { name, namespace }, spec };
      await this.#ask(`${base}/devices/${name}`, "PUT", device);
    }
  }

  /** Durable events of the node: every one of them is a report. */
  async stored(): Promise<number> {
    // The statistics of a log would count its index, which is as long as what is being waited for.
    const { nodes } = (await this.#ask("/tidemark/v1/status")) as Pick<StatusRow, "nodes">;
    const { vector = {} } = nodes.find(({ name }) => name === node) ?? {};
    let count = 0;
    for (const [origin, seq] of Object.entries(vector)) if (origin.startsWith("n")) count += seq;
    return count;
  }

  /** @throws unless the node's log is whole here, and has so many events of the node */
  async verify(events: number): Promise<void> {
    const { ok, origins } = (await this.#ask(`/tidemark/v1/logs/${node}/verify`)) as VerifyRow;
    let count = 0;
    for (const [origin, { last }] of Object.entries(origins)) if (origin.startsWith("n")) count += last;
    if (!ok || count !== events) throw new Error(`the cloud has ${count} of ${events} events, ok: ${ok}`);
  }

  async synced(): Promise<void> {
    for (;;) {
      const { nodes } = (await this.#ask("/tidemark/v1/status")) as {
        nodes: { state: string; lag: { toNode: number } }[];
      };
      if (nodes.some(({ state, lag }) => state === "Connected" && lag.toNode === 0)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async watch(readable: (value: string) => void): Promise<() => void> {
    const gone = new AbortController();
    const lines = requestLines({
      ...this.#access,
      path: "/tidemark/v1/devices",
      query: { watch: "true" },
      signal: gone.signal,
    });
    // The bookmark: from here on nothing is missed.
    await lines.next();
    const read = async (): Promise<void> => {
      for await (const line of lines) {
        const { type, value } = line as ChangeRow;
        if (type === "twin.reported" && value !== null) readable(value);
      }
    };
    void read();
    return () => {
      gone.abort();
    };
  }
}

interface Pair {
  readonly cloud: Child;
  readonly edge: Child;
  readonly api: CloudApi;
  readonly options: EdgeOptions;
  readonly close: () => Promise<void>;
}

async function startPair(directory: string, devices: number, names: readonly string[]): Promise<Pair> {
  const dataDir = join(directory, "data");
  const cloud = startChild(new URL("product/cloud.js", import.meta.url));
  const edge = startChild(new URL("product/edge.js", import.meta.url));
  const close = async (): Promise<void> => {
    await Promise.all([edge.stop(), cloud.stop()]);
  };
  try {
    const { link, kubeconfig } = await cloud.ask<RunningCloud["addresses"]>("start", dataDir);
    const api = new CloudApi(await readKubeconfig(kubeconfig));
    await api.declare(devices, names);
    return { cloud, edge, api, options: { dataDir, cloudUrl: link }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A node's data directory with all that its process needs, and no log yet. */
export async function prepareNode(directory: string): Promise<EdgeOptions> {
  const { edge, api, options, close } = await startPair(directory, 1, [property]);
  try {
    await edge.ask("start", options);
    await api.synced();
    await edge.ask("stop");
  } finally {
    await close();
  }
  await rm(logDirectory(options), { recursive: true });
  return options;
}

export function logDirectory({ dataDir }: EdgeOptions): string {
  return join(dataDir, "edge", node, "log");
}

async function startProductPipeline({ directory, devices }: PipelineOptions): Promise<Pipeline> {
  const { cloud, edge, api, options, close } = await startPair(directory, devices, [property]);
  try {
    const mqttPort = await edge.ask<number>("start", options);
    await api.synced();
    return {
      mqttPort,
      edge: edge.pid,
      cloud: cloud.pid,
      stored: () => api.stored(),
      watch: (readable) => api.watch(readable),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startProductBacklog({ directory, reports }: BacklogOptions): Promise<Backlog> {
  const names = properties.slice(0, reports.properties);
  const { cloud, edge, api, options, close } = await startPair(directory, reports.devices, names);
  try {
    // The devices reach the node before the outage begins.
    await edge.ask("start", options);
    await api.synced();
    await edge.ask("stop");
    await edge.ask("fill", { ...options, reports } satisfies FillOptions);
    await edge.ask("openOffline", options);
    return {
      edge: edge.pid,
      cloud: cloud.pid,
      connect: () => edge.ask("connect"),
      stored: () => api.stored(),
      sentBytes: () => edge.ask("sentBytes"),
      verify: (events) => api.verify(events),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

export const product: Subject = {
  side: "product",
  openLog: openProductLog,
  startPipeline: startProductPipeline,
  startBacklog: startProductBacklog,
};
