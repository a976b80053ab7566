/** A stopped node's log full of reports: 100 devices of 5 properties. */
import { join } from "node:path";
import { decodeEvents } from "../../core/codec.ts";
import { Committer } from "../../core/committer.ts";
import { type Draft, type EventId, eventId, nodeLog } from "../../core/event.ts";
import { mintIncarnation } from "../../core/incarnation.ts";
import { Log } from "../../core/log.ts";
import { registersProjection } from "../../core/registers.ts";
import { readable } from "../../core/replay.ts";
import type { Segment } from "../../core/segment.ts";
import { LevelStore } from "../../core/store/level.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { nodeEnvironment, stderrLogger } from "../../protocol/adapters/environment.ts";
import { authority } from "../../protocol/link/authority.ts";
import { deviceKey } from "../../protocol/devices/topics.ts";
import { reportedSlot } from "../../protocol/devices/twin-view.ts";
import { deviceName, namespace, node } from "./names.ts";

const devices = 100;
const properties = 5;
const eventsPerCommit = 430;
const firstMs = 1_790_000_000_000;

function logDirectory(dataDir: string): string {
  return join(dataDir, "edge", node, "log");
}

export async function record(dataDir: string, events: number): Promise<void> {
  const environment = nodeEnvironment(stderrLogger({ level: "warn" }), nodeDigest);
  const store = new LevelStore(logDirectory(dataDir), { unsafeNoSync: true });
  await store.open();
  const committer = new Committer(store, environment.timers);
  const log = await Log.open({ id: nodeLog(node), side: "node", committer, environment, authority });
  const life = eventId(mintIncarnation("cloud", environment.random), 1);
  for (let done = 0; done < events; done += eventsPerCommit) {
    const count = Math.min(eventsPerCommit, events - done);
    await log.appended(Array.from({ length: count }, (_, index) => report(done + index, life)));
  }
  await log.close();
  await store.close();
}

function report(number: number, life: EventId): Draft {
  const slot = reportedSlot(`property-${Math.floor(number / devices) % properties}`);
  const body = [(20 + (number % 1000) / 10).toFixed(1), firstMs + number];
  const key = deviceKey(namespace, deviceName(number % devices));
  return { type: "twin.reported", class: "twin", key, slot, life, body };
}

export async function readSegments(dataDir: string): Promise<Segment[]> {
  const store = new LevelStore(logDirectory(dataDir));
  await store.open();
  const records = await store.read(nodeLog(node), 1, Number.MAX_SAFE_INTEGER);
  await store.close();
  return records.flatMap((record) => readable(record, nodeDigest) ?? []);
}

/** As a replay does: events from their bytes, each taken into the registers. @returns how many there were */
export function foldAll(segments: readonly Segment[]): number {
  const state = registersProjection.initial();
  let count = 0;
  for (const segment of segments) {
    const events = decodeEvents(segment.events, { ...segment, position: count + 1 });
    for (const event of events) registersProjection.apply(state, event);
    count += events.length;
  }
  return count;
}
