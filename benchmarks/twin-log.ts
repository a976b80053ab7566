/** A node's log of twin reports in a directory of its own: opened with what merges it, filled, measured. */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Level } from "level";
import { encodeEvent } from "../core/codec.ts";
import { Committer } from "../core/committer.ts";
import { type EventId, type Incarnation, type LogId, nodeLog } from "../core/event.ts";
import { Forgetting } from "../core/forgetting.ts";
import { HistoryIndex } from "../core/history-index.ts";
import { Log } from "../core/log.ts";
import { Merging } from "../core/merging.ts";
import type { Environment } from "../core/ports.ts";
import { encodeSegment, zeroHash } from "../core/segment.ts";
import { LevelStore } from "../core/store/level.ts";
import { nodeDigest } from "../core/store/node-digest.ts";
import { nodeEnvironment } from "../protocol/adapters/environment.ts";
import { authority } from "../protocol/link/authority.ts";
import { TwinEvents, deviceKey, devices } from "./twin-events.ts";

const id: LogId = nodeLog("edge-node-1");
const cloud = "c0000000000001" as Incarnation;
export const lives: readonly EventId[] = Array.from(
  { length: devices },
  (_, nth) => `${cloud}/${nth + 1}` as EventId,
);

const minute = 60_000;
const ages = { resource: minute, twin: minute, telemetry: minute, message: minute, audit: minute };

export interface Fill {
  readonly directory: string;
  readonly events: number;
  /** Events of one commit. */
  readonly batch: number;
  /** While appending, and the rest of it after. */
  readonly merges: boolean;
  /** Waits for the disk at each commit. */
  readonly syncs: boolean;
  /** Goes over the log without a rest meanwhile, and forgets what is a minute old. */
  readonly forgets?: boolean;
}

export interface Sized {
  /** Of the files, once the store was closed. */
  readonly diskBytes: number;
  /** Of the events alone. */
  readonly eventBytes: number;
  /** What was written meanwhile. */
  readonly writtenBytes: number;
  /** How long merging took, of what was not merged as it came. */
  readonly mergeMs: number;
}

export interface Filled extends Sized {
  /** What the kernel had to bring to the disk. */
  readonly syncedBytes: number;
  /** Events a second. */
  readonly appendRate: number;
}

export interface TwinLog {
  readonly store: LevelStore;
  readonly log: Log;
  readonly merging: Merging;
  readonly forgetting: Forgetting;
  readonly close: () => Promise<void>;
}

export async function openTwinLog(
  directory: string,
  { syncs, clock }: { readonly syncs: boolean; readonly clock?: () => number },
): Promise<TwinLog> {
  const real = nodeEnvironment({ log: () => {} }, nodeDigest);
  const environment: Environment =
    clock === undefined ? real : { ...real, clock: { now: clock, monotonic: () => performance.now() } };
  const store = new LevelStore(directory, { unsafeNoSync: !syncs });
  await store.open();
  const committer = new Committer(store, environment.timers);
  const log = await Log.open({ id, side: "node", committer, environment, authority });
  const indexOf = HistoryIndex.forAll();
  const merging = new Merging({ committer, environment, indexOf });
  const forgetting = new Forgetting({ committer, environment, policy: ages });
  const close = async (): Promise<void> => {
    await forgetting.close();
    await merging.close();
    await log.close();
    await store.close();
  };
  return { store, log, merging, forgetting, close };
}

/** The devices, as the cloud declared them before anything was reported. */
async function receiveDevices(log: Log, time: number): Promise<void> {
  const body = { spec: { deviceModelRef: { name: "sensor" }, nodeName: "edge-node-1" } };
  const events = lives.map((_, nth) => {
    const key = deviceKey(nth);
    return encodeEvent(
      { type: "resource.applied", class: "resource", key, slot: "spec", body },
      nth + 1,
      time,
    );
  });
  const { segment } = encodeSegment({ origin: cloud, lo: 1, seen: [], events }, zeroHash, nodeDigest);
  await new Promise<void>((resolve, reject) => {
    log.receive(segment, (error) => {
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}

export async function fill({
  directory,
  events,
  batch,
  merges,
  syncs,
  forgets = false,
}: Fill): Promise<Filled> {
  const source = new TwinEvents(lives);
  // The clock goes as the events do: years of reports in a minute.
  const { log, merging, forgetting, close } = await openTwinLog(directory, {
    syncs,
    clock: () => source.time,
  });
  await receiveDevices(log, source.time);
  const before = writtenBytes();
  const syncedBefore = syncedBytes();
  if (merges) merging.add(log);
  const began = performance.now();
  let eventBytes = 0;
  let isOver = false;
  const passes = forgets ? forgetAgain(forgetting, log, () => isOver) : undefined;
  for (let done = 0; done < events; done += batch) {
    const drafts = Array.from({ length: batch }, () => source.next());
    if (done < 1000)
      for (const draft of drafts) eventBytes += encodeEvent(draft, done + 1, source.time).length;
    await log.appended(drafts);
  }
  const appendRate = events / ((performance.now() - began) / 1000);
  isOver = true;
  await passes;
  const beganMerging = performance.now();
  await merging.mergeAll();
  const mergeMs = performance.now() - beganMerging;
  await close();
  await settle(directory);
  const measured = Math.min(events, Math.ceil(1000 / batch) * batch);
  return {
    diskBytes: sizeOf(directory),
    eventBytes: (eventBytes / measured) * events,
    writtenBytes: writtenBytes() - before,
    syncedBytes: syncedBytes() - syncedBefore,
    appendRate,
    mergeMs,
  };
}

/** One pass after the other; before each, a snapshot, as it goes no further than that. */
async function forgetAgain(forgetting: Forgetting, log: Log, isOver: () => boolean): Promise<void> {
  forgetting.add(log, () => new Map([[log.incarnation, Number.MAX_SAFE_INTEGER]]));
  while (!isOver()) {
    log.snapshot();
    await forgetting.forgetAll();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Fills, and then waits to be killed. @returns events in the log */
export async function fillAndHold({ directory, events, batch, merges, syncs }: Fill): Promise<number> {
  const source = new TwinEvents(lives);
  const { log, merging } = await openTwinLog(directory, { syncs, clock: () => source.time });
  await receiveDevices(log, source.time);
  if (merges) merging.add(log);
  for (let done = 0; done < events; done += batch)
    await log.appended(Array.from({ length: batch }, () => source.next()));
  return log.position;
}

/** Opening moves what is in LevelDB's write-ahead log into a table. */
export async function settle(directory: string): Promise<void> {
  const database = new Level<string, Uint8Array>(directory, { valueEncoding: "view" });
  await database.open();
  await database.close();
}

export function sizeOf(directory: string): number {
  return readdirSync(directory).reduce((total, name) => total + statSync(join(directory, name)).size, 0);
}

/** By this process, as the kernel counts: what was written and then deleted before it reached the disk counts too. */
export function writtenBytes(): number {
  return ofKernel("wchar");
}

/** In whole pages: one that is synced half full, and then filled, counts twice. */
export function syncedBytes(): number {
  return ofKernel("write_bytes");
}

function ofKernel(count: string): number {
  const [, bytes] = new RegExp(`^${count}: (\\d+)$`, "m").exec(readFileSync("/proc/self/io", "utf8")) ?? [];
  return Number(bytes ?? Number.NaN);
}
