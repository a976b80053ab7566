/** The bare parts, put together as the product is: two processes, MQTT in, `wss` between, HTTPS out. */
import { Agent, get } from "node:https";
import { createInterface } from "node:readline";
import type { IncomingMessage } from "node:http";
import { type Child, startChild } from "../child.ts";
import type { Backlog, BacklogOptions, Pipeline, PipelineOptions, Subject } from "../subject.ts";
import { openRawLog } from "./append.ts";
import { makeIdentities } from "./certificates.ts";
import type { CloudOptions, CloudPorts } from "./cloud.ts";
import type { EdgeOptions } from "./edge.ts";

class Api {
  readonly #agent: Agent;
  readonly #port: number;

  constructor(port: number, ca: string) {
    this.#port = port;
    this.#agent = new Agent({ ca, keepAlive: true });
  }

  async stored(): Promise<number> {
    const response = await this.#get("/stored");
    let text = "";
    for await (const chunk of response) text += String(chunk);
    return Number(text);
  }

  async watch(readable: (value: string) => void): Promise<() => void> {
    const response = await this.#get("/watch");
    // The watch is ended from this side, which the stream reports as an error.
    response.on("error", () => undefined);
    createInterface({ input: response }).on("line", (line) => {
      readable((JSON.parse(line) as { value: string }).value);
    });
    return () => response.destroy();
  }

  #get(path: string): Promise<IncomingMessage> {
    const where = { host: "127.0.0.1", port: this.#port, path, agent: this.#agent };
    return new Promise((resolve, reject) => {
      get(where, resolve).once("error", reject);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

interface Pair {
  readonly cloud: Child;
  readonly edge: Child;
  readonly api: Api;
  readonly close: () => Promise<void>;
}

async function startPair(directory: string): Promise<Pair> {
  const identities = makeIdentities();
  const cloud = startChild(new URL("cloud.js", import.meta.url));
  const edge = startChild(new URL("edge.js", import.meta.url));
  const stop = async (): Promise<void> => {
    await Promise.all([edge.stop(), cloud.stop()]);
  };
  try {
    const forCloud: CloudOptions = { directory, identity: identities.cloud };
    const ports = await cloud.ask<CloudPorts>("start", forCloud);
    const forEdge: EdgeOptions = { directory, identity: identities.edge, linkPort: ports.link };
    await edge.ask("open", forEdge);
    const api = new Api(ports.api, identities.edge.ca);
    const close = async (): Promise<void> => {
      api.close();
      await stop();
    };
    return { cloud, edge, api, close };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startRawPipeline({ directory }: PipelineOptions): Promise<Pipeline> {
  const { cloud, edge, api, close } = await startPair(directory);
  try {
    await edge.ask("connect");
    const mqttPort = await edge.ask<number>("listen");
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

async function startRawBacklog({ directory, reports }: BacklogOptions): Promise<Backlog> {
  const { cloud, edge, api, close } = await startPair(directory);
  try {
    await edge.ask("fill", reports);
    return {
      edge: edge.pid,
      cloud: cloud.pid,
      connect: () => edge.ask("drain"),
      stored: () => api.stored(),
      sentBytes: () => edge.ask("sentBytes"),
      async verify(events) {
        // The bare parts check nothing: what is there is counted.
        const stored = await api.stored();
        if (stored !== events) throw new Error(`the cloud has ${stored} of ${events} events`);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

export const raw: Subject = {
  side: "raw",
  openLog: openRawLog,
  startPipeline: startRawPipeline,
  startBacklog: startRawBacklog,
};
