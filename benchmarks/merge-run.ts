/** One run of the merging and past benchmarks, in a process of its own. */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { Level } from "level";
import { encodeEvent } from "../core/codec.ts";
import { Committer } from "../core/committer.ts";
import { type Event, type EventId, type Incarnation, nodeLog } from "../core/event.ts";
import { HistoryIndex } from "../core/history-index.ts";
import { cutAtTime, stateOfSide } from "../core/history-read.ts";
import { Log } from "../core/log.ts";
import { Merging } from "../core/merging.ts";
import type { Environment } from "../core/ports.ts";
import { LevelStore } from "../core/store/level.ts";
import { nodeDigest } from "../core/store/node-digest.ts";
import { nodeEnvironment } from "../protocol/adapters/environment.ts";
import { serve } from "./child.ts";
import { quantile } from "./harness.ts";
import { TwinEvents, deviceKey, devices } from "./twin-events.ts";

const id = nodeLog("edge-node-1");
const cloud = "c0000000000001" as Incarnation;
const lives = Array.from({ length: devices }, (_, nth) => `${cloud}/${nth + 1}` as EventId);

export interface Fill {
  readonly directory: string;
  readonly events: number;
  /** Events of one commit. */
  readonly batch: number;
  /** While appending, and the rest of it after. */
  readonly merges: boolean;
  /** Waits for the disk at each commit. */
  readonly syncs: boolean;
}

export interface Filled {
  /** Of the files, once the store was closed. */
  readonly diskBytes: number;
  /** Of the events alone. */
  readonly eventBytes: number;
  /** What went to the disk meanwhile. */
  readonly writtenBytes: number;
  /** Events a second: appended, and merged after. */
  readonly appendRate: number;
  readonly mergeMs: number;
}

interface Site {
  readonly store: LevelStore;
  readonly log: Log;
  readonly merging: Merging;
  readonly close: () => Promise<void>;
}

async function open(
  directory: string,
  { syncs, clock }: { syncs: boolean; clock?: () => number },
): Promise<Site> {
  const real = nodeEnvironment({ log: () => {} }, nodeDigest);
  const environment: Environment =
    clock === undefined ? real : { ...real, clock: { now: clock, monotonic: () => performance.now() } };
  const store = new LevelStore(directory, { unsafeNoSync: !syncs });
  await store.open();
  const committer = new Committer(store, environment.timers);
  const log = await Log.open({ id, side: "node", committer, environment });
  const indexOf = HistoryIndex.forAll();
  const merging = new Merging({ committer, environment, indexOf });
  const close = async (): Promise<void> => {
    await merging.close();
    await log.close();
    await store.close();
  };
  return { store, log, merging, close };
}

async function fill({ directory, events, batch, merges, syncs }: Fill): Promise<Filled> {
  const source = new TwinEvents(lives);
  // The clock goes as the events do: years of reports in a minute.
  const { log, merging, close } = await open(directory, { syncs, clock: () => source.time });
  const before = writtenBytes();
  if (merges) merging.add(log);
  const began = performance.now();
  let eventBytes = 0;
  for (let done = 0; done < events; done += batch) {
    const drafts = Array.from({ length: batch }, () => source.next());
    if (done < 1000)
      for (const draft of drafts) eventBytes += encodeEvent(draft, done + 1, source.time).length;
    await log.appended(drafts);
  }
  const appendRate = events / ((performance.now() - began) / 1000);
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
    appendRate,
    mergeMs,
  };
}

/** Merges what was filled before. */
async function mergeOnly({ directory }: Fill): Promise<Filled> {
  const { log, merging, close } = await open(directory, { syncs: false });
  const before = writtenBytes();
  const began = performance.now();
  merging.add(log);
  await merging.mergeAll();
  const mergeMs = performance.now() - began;
  await close();
  await settle(directory);
  const diskBytes = sizeOf(directory);
  return { diskBytes, eventBytes: 0, writtenBytes: writtenBytes() - before, appendRate: 0, mergeMs };
}

/** The same events, 256 KiB at a time, as compressed values of a LevelDB, and nothing else. */
async function fillRaw({ directory, events }: Fill): Promise<Filled> {
  const source = new TwinEvents(lives);
  const database = new Level<string, Uint8Array>(directory, { valueEncoding: "view" });
  await database.open();
  const before = writtenBytes();
  const began = performance.now();
  let eventBytes = 0;
  let packingMs = 0;
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  const put = async (seq: number): Promise<void> => {
    const beganPacking = performance.now();
    const packed = brotliCompressSync(Buffer.concat(waiting), {
      params: { [constants.BROTLI_PARAM_QUALITY]: 5 },
    });
    packingMs += performance.now() - beganPacking;
    await database.put(String(seq).padStart(12, "0"), packed);
    eventBytes += bytes;
    waiting = [];
    bytes = 0;
  };
  for (let seq = 1; seq <= events; seq += 1) {
    const event = encodeEvent(source.next(), seq, source.time);
    waiting.push(event);
    bytes += event.length;
    if (bytes >= 256 * 1024) await put(seq);
  }
  await put(events + 1);
  const appendRate = events / ((performance.now() - began) / 1000);
  await database.close();
  await settle(directory);
  const diskBytes = sizeOf(directory);
  return { diskBytes, eventBytes, writtenBytes: writtenBytes() - before, appendRate, mergeMs: packingMs };
}

/** Opening moves what is in LevelDB's write-ahead log into a table. */
async function settle(directory: string): Promise<void> {
  const database = new Level<string, Uint8Array>(directory, { valueEncoding: "view" });
  await database.open();
  await database.close();
}

/** @returns ms until the log is open, and the events it has */
async function reopen({ directory }: { directory: string }): Promise<{ ms: number; events: number }> {
  const began = performance.now();
  const { log, close } = await open(directory, { syncs: true });
  const ms = performance.now() - began;
  const events = log.position;
  await close();
  return { ms, events };
}

/** Fills, and then waits to be killed. */
async function fillAndHold(options: Fill): Promise<number> {
  const source = new TwinEvents(lives);
  const { log, merging } = await open(options.directory, { syncs: false, clock: () => source.time });
  merging.add(log);
  for (let done = 0; done < options.events; done += options.batch)
    await log.appended(Array.from({ length: options.batch }, () => source.next()));
  return log.position;
}

export interface Past {
  readonly directory: string;
  readonly samples: number;
}

/** @returns ms of asking for a device's state at an instant: p50, p99 */
async function past({ directory, samples }: Past): Promise<readonly number[]> {
  const { log, close } = await open(directory, { syncs: true });
  const { first, last } = await timesOf(log);
  const took = new Float64Array(samples);
  let state = 7;
  const chance = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >>> 8) / 0x80_0000;
  };
  for (let nth = 0; nth < samples; nth += 1) {
    const key = deviceKey(Math.floor(chance() * devices));
    const timeMs = Math.floor(first + (last - first) * (0.01 + 0.99 * chance()));
    const began = performance.now();
    const cut = await cutAtTime(log, timeMs);
    const events = await stateOfSide(log, key, "node", cut.node);
    took[nth] = performance.now() - began;
    if (events.some(({ time }) => time > timeMs)) throw new Error("an event of later was told of");
  }
  await close();
  return [quantile(took, 0.5), quantile(took, 0.99)];
}

/** The same by walking the log from its start, as without an index. @returns ms */
async function pastByWalk({ directory, samples }: Past): Promise<readonly number[]> {
  const { log, close } = await open(directory, { syncs: true });
  const { first, last } = await timesOf(log);
  const took = new Float64Array(samples);
  for (let nth = 0; nth < samples; nth += 1) {
    const timeMs = first + ((last - first) * (nth + 1)) / (samples + 1);
    const latest = new Map<string, Event>();
    const began = performance.now();
    walk: for (let next = 1; next <= log.position;) {
      for (const event of await log.read(next)) {
        next = event.position + 1;
        if (event.time > timeMs) break walk;
        if (event.key === deviceKey(nth) && event.slot !== undefined) latest.set(event.slot, event);
      }
    }
    took[nth] = performance.now() - began;
  }
  await close();
  return [quantile(took, 0.5), quantile(took, 0.99)];
}

async function timesOf(log: Log): Promise<{ first: number; last: number }> {
  const [first] = await log.read(1, 1);
  const last = (await log.read(log.position, 1)).at(-1);
  return { first: first?.time ?? 0, last: last?.time ?? 0 };
}

function sizeOf(directory: string): number {
  return readdirSync(directory).reduce((total, name) => total + statSync(join(directory, name)).size, 0);
}

/** By this process, as the kernel counts: what was written and then deleted before it reached the disk counts too. */
function writtenBytes(): number {
  const [, bytes] = /^wchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8")) ?? [];
  return Number(bytes ?? Number.NaN);
}

serve({ fill, fillRaw, mergeOnly, fillAndHold, reopen, past, pastByWalk });
