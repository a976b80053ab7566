/** The product's edge process, as a child of the benchmarks. */
import { join } from "node:path";
import type { Draft } from "../../core/event.ts";
import { currentLife } from "../../core/registers.ts";
import { LevelStore } from "../../core/store/level.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { type RunningEdge, startEdge } from "../../edge/edge-process.ts";
import { Edge } from "../../edge/edge.ts";
import { brotli } from "../../protocol/adapters/brotli.ts";
import { readNodeFiles } from "../../protocol/adapters/credentials.ts";
import { nodeEnvironment, stderrLogger } from "../../protocol/adapters/environment.ts";
import { dialLink } from "../../protocol/adapters/websocket.ts";
import { deviceKey } from "../../protocol/devices/topics.ts";
import { reportedSlot } from "../../protocol/devices/twin-view.ts";
import type { Transport } from "../../protocol/transport.ts";
import { serve } from "../child.ts";
import { deviceName, namespace, node, property } from "./names.ts";

export interface EdgeOptions {
  readonly dataDir: string;
  readonly cloudUrl: string;
}

export interface FillOptions {
  readonly events: number;
  /** Appended together: what a commit holds under load. */
  readonly eventsPerCommit: number;
  readonly devices: number;
}

const logger = stderrLogger({ level: "warn" });

let running: RunningEdge | undefined;
let offline: { edge: Edge; letGo: () => void } | undefined;

serve({
  async start({ dataDir, cloudUrl }: EdgeOptions): Promise<number> {
    const options = { dataDir, node, cloudUrl, mqttHost: "127.0.0.1", mqttPort: 0, apiPort: 0, logger };
    running = await startEdge(options);
    return Number(new URL(running.addresses.mqtt).port);
  },
  async stop(): Promise<void> {
    await running?.stop();
  },
  /** The edge with its link held back: all but the broker and the local API. */
  async openOffline({ dataDir, cloudUrl }: EdgeOptions): Promise<void> {
    const directory = join(dataDir, "edge", node);
    const store = new LevelStore(join(directory, "log"));
    await store.open();
    let letGo: () => void = () => {};
    const held = new Promise<void>((resolve) => (letGo = resolve));
    const edge = await Edge.open({
      environment: nodeEnvironment(logger, nodeDigest),
      node,
      store,
      bus: { hasSubscriber: () => false, publish: () => true },
      dial: async (): Promise<Transport> => {
        await held;
        const credentials = await readNodeFiles(join(directory, "pki"), node);
        return dialLink({ url: cloudUrl, credentials, timeoutMs: 10_000 });
      },
      bootId: "benchmark",
      product: "benchmark",
      compressor: brotli,
    });
    await edge.start();
    offline = { edge, letGo };
  },
  async fill({ events, eventsPerCommit, devices }: FillOptions): Promise<void> {
    const log = offline?.edge.log;
    if (log === undefined) throw new Error("the edge is not open");
    let next = 0;
    while (next < events) {
      const drafts: Draft[] = [];
      for (; drafts.length < eventsPerCommit && next < events; next += 1) {
        const key = deviceKey(namespace, deviceName(next % devices));
        const life = currentLife(log.registers, key)?.id;
        const body = [String(100_000_000 + next)];
        drafts.push({ type: "twin.reported", class: "twin", key, slot: reportedSlot(property), life, body });
      }
      await log.appended(drafts);
    }
  },
  connect(): void {
    offline?.letGo();
  },
});
