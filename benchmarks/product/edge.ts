/** The product's edge process, as a child of the benchmarks. */
import { join } from "node:path";
import { Committer } from "../../core/committer.ts";
import { TidemarkError } from "../../core/errors.ts";
import { type Draft, nodeLog } from "../../core/event.ts";
import { HistoryIndex } from "../../core/history-index.ts";
import { Log } from "../../core/log.ts";
import { Merging } from "../../core/merging.ts";
import type { Environment } from "../../core/ports.ts";
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
import { authority } from "../../protocol/link/authority.ts";
import type { Transport } from "../../protocol/transport.ts";
import { serve } from "../child.ts";
import { type Backlogged, commitsOf } from "../reports.ts";
import { deviceName, namespace, node } from "./names.ts";

export interface EdgeOptions {
  readonly dataDir: string;
  readonly cloudUrl: string;
}

export interface FillOptions extends EdgeOptions {
  readonly reports: Backlogged;
}

const logger = stderrLogger({ level: "warn" });

let running: RunningEdge | undefined;
let offline: { letGo: () => void } | undefined;
let sentBytes = 0;

/** Counts what goes into a connection. */
function counted(transport: Transport): Transport {
  const send = transport.send.bind(transport);
  transport.send = (bytes) => {
    sentBytes += bytes.length;
    send(bytes);
  };
  return transport;
}

/** The edge without the broker and the local API. */
function openEdge(
  options: { readonly store: LevelStore; readonly environment: Environment },
  dial: () => Promise<Transport>,
): Promise<Edge> {
  return Edge.open({
    ...options,
    node,
    bus: { hasSubscriber: () => false, publish: () => true },
    dial,
    bootId: "benchmark",
    product: "benchmark",
    compressor: brotli,
  });
}

/** A day is long enough to merge all that came: what is left of that is not to be done while the cloud gets it. */
async function mergeAll(store: LevelStore, environment: Environment): Promise<void> {
  const committer = new Committer(store, environment.timers);
  const log = await Log.open({ id: nodeLog(node), side: "node", committer, environment, authority });
  const merging = new Merging({ committer, environment, indexOf: HistoryIndex.forAll() });
  merging.add(log);
  await merging.mergeAll();
  await merging.close();
  await log.close();
}

function logDirectory(dataDir: string): string {
  return join(dataDir, "edge", node, "log");
}

serve({
  async start({ dataDir, cloudUrl }: EdgeOptions): Promise<number> {
    const options = { dataDir, node, cloudUrl, mqttHost: "127.0.0.1", mqttPort: 0, apiPort: 0, logger };
    running = await startEdge(options);
    return Number(new URL(running.addresses.mqtt).port);
  },
  async stop(): Promise<void> {
    await running?.stop();
  },
  /** Puts reports where they would have come during an outage, each at its time, but made in a hurry: nothing is synced. */
  async fill({ dataDir, reports }: FillOptions): Promise<void> {
    const store = new LevelStore(logDirectory(dataDir), { unsafeNoSync: true });
    await store.open();
    const real = nodeEnvironment(logger, nodeDigest);
    const firstMs = Date.now();
    let now = firstMs;
    const clock = { now: () => now, monotonic: () => performance.now() };
    const noCloud = new TidemarkError("NOT_REACHABLE", "there is no cloud during an outage");
    const edge = await openEdge({ store, environment: { ...real, clock } }, () => Promise.reject(noCloud));
    await edge.start();
    const { log } = edge;
    for (const commit of commitsOf(reports, firstMs)) {
      now = commit.at(-1)?.time ?? now;
      const drafts = commit.map(({ device, property, value, time }): Draft => {
        const key = deviceKey(namespace, deviceName(device));
        const life = currentLife(log.registers, key)?.id;
        return {
          type: "twin.reported",
          class: "twin",
          key,
          slot: reportedSlot(property),
          life,
          body: [value, time],
        };
      });
      await log.appended(drafts);
    }
    await edge.close();
    await mergeAll(store, real);
    await store.close();
  },
  /** With its link held back. */
  async openOffline({ dataDir, cloudUrl }: EdgeOptions): Promise<void> {
    const store = new LevelStore(logDirectory(dataDir));
    await store.open();
    let letGo: () => void = () => {};
    const held = new Promise<void>((resolve) => (letGo = resolve));
    const edge = await openEdge({ store, environment: nodeEnvironment(logger, nodeDigest) }, async () => {
      await held;
      const credentials = await readNodeFiles(join(dataDir, "edge", node, "pki"), node);
      return counted(await dialLink({ url: cloudUrl, credentials, timeoutMs: 10_000 }));
    });
    await edge.start();
    offline = { letGo };
  },
  connect(): void {
    offline?.letGo();
  },
  sentBytes: () => sentBytes,
});
