/** A cloud and a node as real processes in one data directory, with one device declared. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import mqtt, { type MqttClient } from "mqtt";
import type { Test } from "tap";
import { type Finished, Process, eventually, run, tidemark } from "./processes.ts";

export const node = "edge-node-1";
export const topic = "$hw/events/device/default/thermo-1/twin";

const devices = `
apiVersion: devices.kubeedge.io/v1beta1
kind: DeviceModel
metadata: {name: thermo-model, namespace: default}
spec:
  protocol: modbus
  properties:
    - {name: temp, description: room temperature, type: INT, accessMode: ReadWrite, minimum: "1", maximum: "100000", unit: Celsius}
---
apiVersion: devices.kubeedge.io/v1beta1
kind: Device
metadata: {name: thermo-1, namespace: default, labels: {description: hall}}
spec:
  deviceModelRef: {name: thermo-model}
  nodeName: ${node}
  protocol:
    protocolName: modbus
    configData: {ip: 172.17.0.3, port: 1502}
  properties:
    - name: temp
      desired: {value: "30"}
`;

export class Site {
  readonly dataDir: string;
  cloud: Process | undefined;
  edge: Process | undefined;
  linkPort: string = "0";
  mqttPort: string = "0";
  mqttUrl: string = "";

  /** @param dataDir when it is not to be a folder of the test's own */
  constructor(t: Test, dataDir: string = join(t.testdir({ data: {} }), "data")) {
    this.dataDir = dataDir;
    t.teardown(async () => {
      await Promise.all([this.cloud?.end("SIGKILL"), this.edge?.end("SIGKILL")]);
    });
  }

  async startCloud(): Promise<void> {
    const ports = ["--link-port", this.linkPort, "--api-port", "0", "--bind-address", "127.0.0.1"];
    this.cloud = new Process(["cloud", ...ports, "--data-dir", this.dataDir]);
    const { link = "" } = await this.cloud.ready();
    this.linkPort = new URL(link).port;
  }

  async startEdge(): Promise<void> {
    const ports = ["--mqtt-port", this.mqttPort, "--edge-api-port", "0"];
    const cloud = `wss://127.0.0.1:${this.linkPort === "0" ? "1" : this.linkPort}`;
    this.edge = new Process(["edge", "--node", node, "--cloud", cloud, ...ports, "--data-dir", this.dataDir]);
    const { mqtt: url = "" } = await this.edge.ready();
    this.mqttUrl = url;
    this.mqttPort = new URL(url).port;
  }

  /** Cloud, certificate, node, and the device known to both. */
  async startAll(): Promise<void> {
    await this.startCloud();
    await this.ok("cert", "issue", "--node", node);
    await this.startEdge();
    await this.declare();
    await this.declared();
  }

  /** Resolves when the cloud's log has so many values of the device. */
  async arrived(count: number): Promise<string[]> {
    return eventually(`${count} values in the cloud`, async () => {
      const values = await this.logged();
      return values.length >= count ? values : undefined;
    });
  }

  /** The node's own directory. */
  get nodeDir(): string {
    return join(this.dataDir, "edge", node);
  }

  /** A folder beside the data directory. */
  beside(name: string): string {
    return join(this.dataDir, "..", name);
  }

  async declare(): Promise<void> {
    const { code, stderr } = await this.apply((yaml) => yaml);
    if (code !== 0) throw new Error(stderr);
  }

  /** Applies the device and its model, changed. */
  async apply(change: (yaml: string) => string): Promise<Finished> {
    const file = join(this.dataDir, "devices.yaml");
    await writeFile(file, change(devices));
    return tidemark(this.dataDir, "apply", "-f", file);
  }

  /** Runs a command that must succeed. */
  async ok(...args: readonly string[]): Promise<string> {
    const finished: Finished = await tidemark(this.dataDir, ...args);
    if (finished.code !== 0) throw new Error(`tidemark ${args.join(" ")}: ${JSON.stringify(finished)}`);
    return finished.stdout;
  }

  async property(): Promise<{ reported?: { value: string }; desired?: { value: string } }> {
    const { properties } = JSON.parse(await this.ok("device", "get", "default/thermo-1", "--json")) as {
      properties: Record<string, { reported?: { value: string }; desired?: { value: string } }>;
    };
    return properties["temp"] ?? {};
  }

  /** The values that the cloud's log has of the device, in the order of the log. */
  async logged(): Promise<string[]> {
    const lines = await this.ok("log", "show", "--node", node, "--json");
    return lines
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { type: string; body: [string] })
      .filter(({ type }) => type === "twin.reported")
      .map(({ body }) => body[0]);
  }

  async connect(): Promise<MqttClient> {
    return mqtt.connectAsync(this.mqttUrl, { reconnectPeriod: 0 });
  }

  /** Resolves when the node has the device. */
  async declared(): Promise<void> {
    const client = await this.connect();
    const answers: string[] = [];
    client.on("message", (_topic, payload) => answers.push(payload.toString()));
    await client.subscribeAsync(`${topic}/get/result`);
    await eventually("the device at the node", async () => {
      await client.publishAsync(`${topic}/get`, JSON.stringify({ event_id: "", timestamp: 1 }), { qos: 1 });
      return answers.find((answer) => answer.includes('"expected":{"value":"30"'));
    });
    await client.endAsync();
  }
}

export function report(value: string): string {
  return JSON.stringify({ event_id: "", timestamp: 1, twin: { temp: { actual: { value } } } });
}

export async function publishAll(site: Site, values: readonly string[]): Promise<void> {
  const { hostname, port } = new URL(site.mqttUrl);
  const input = values.map((value) => `${report(value)}\n`).join("");
  const args = ["-h", hostname, "-p", port, "-q", "1", "-t", `${topic}/update`, "-l"];
  const { code, stderr } = await run("mosquitto_pub", args, { input });
  if (code !== 0) throw new Error(`mosquitto_pub: ${stderr}`);
}
