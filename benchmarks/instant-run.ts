/** One run of the question about an instant, in a process of its own. */
import { syncBuiltinESMExports } from "node:module";
import zlib from "node:zlib";
import type { Event } from "../core/event.ts";
import type { Log } from "../core/log.ts";
import { pastOf } from "../core/log-past.ts";
import { cutAt, registersAt } from "../core/past.ts";
import { serve } from "./child.ts";
import { quantile } from "./harness.ts";
import { deviceKey, devices } from "./twin-events.ts";
import { fill, openTwinLog } from "./twin-log.ts";

export interface Asked {
  readonly directory: string;
  readonly samples: number;
}

/** Of one question on average, times in ms. */
export interface Answered {
  readonly p50: number;
  readonly p99: number;
  readonly cpu: number;
  /** Blocks that were expanded, and to how many bytes. */
  readonly blocks: number;
  readonly bytes: number;
  /** What the store was asked. */
  readonly reads: number;
}

/** Questions before it counts: compiled code, and LevelDB's own tables opened. */
const warmSamples = 100;

class Counts {
  blocks = 0;
  bytes = 0;
  reads = 0;

  /** Counts the calls of those who took `brotliDecompressSync` from its module, too. */
  watchBlocks(): void {
    const expand = zlib.brotliDecompressSync;
    zlib.brotliDecompressSync = (...asked) => {
      const expanded = expand(...asked);
      this.blocks += 1;
      this.bytes += expanded.length;
      return expanded;
    };
    syncBuiltinESMExports();
  }

  watchReads(store: Log["stored"]["store"]): void {
    for (const name of ["get", "floor", "read", "readOrigin"] as const) {
      const ask = store[name].bind(store) as (...asked: unknown[]) => unknown;
      Object.assign(store, {
        [name]: (...asked: unknown[]) => {
          this.reads += 1;
          return ask(...asked);
        },
      });
    }
  }

  clear(): void {
    this.blocks = 0;
    this.bytes = 0;
    this.reads = 0;
  }
}

/** Asks for the state of one device or another at one instant or another. */
async function ask({ directory, samples }: Asked): Promise<Answered> {
  const counts = new Counts();
  counts.watchBlocks();
  const { log, close } = await openTwinLog(directory, { syncs: true });
  counts.watchReads(log.stored.store);
  const past = pastOf(log);
  const { first, last } = await timesOf(log);
  const took = new Float64Array(samples);
  let state = 7;
  const chance = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >>> 8) / 0x80_0000;
  };
  let cpu = process.cpuUsage();
  for (let nth = -warmSamples; nth < samples; nth += 1) {
    if (nth === 0) {
      cpu = process.cpuUsage();
      counts.clear();
    }
    const key = deviceKey(Math.floor(chance() * devices));
    const timeMs = Math.floor(first + (last - first) * (0.01 + 0.99 * chance()));
    const began = performance.now();
    const { objects } = await registersAt(past, await cutAt(past, timeMs), [key]);
    if (nth >= 0) took[nth] = performance.now() - began;
    if (!objects.has(key)) throw new Error("a device was not there yet");
  }
  const { user, system } = process.cpuUsage(cpu);
  const { blocks, bytes, reads } = counts;
  await close();
  return {
    p50: quantile(took, 0.5),
    p99: quantile(took, 0.99),
    cpu: (user + system) / 1000 / samples,
    blocks: blocks / samples,
    bytes: bytes / samples,
    reads: reads / samples,
  };
}

/** The same by walking the log from its start, as without an index. */
async function askByWalk({ directory, samples }: Asked): Promise<Pick<Answered, "p50" | "p99" | "cpu">> {
  const { log, close } = await openTwinLog(directory, { syncs: true });
  const { first, last } = await timesOf(log);
  const took = new Float64Array(samples);
  const cpu = process.cpuUsage();
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
  const { user, system } = process.cpuUsage(cpu);
  await close();
  return {
    p50: quantile(took, 0.5),
    p99: quantile(took, 0.99),
    cpu: (user + system) / 1000 / samples,
  };
}

async function timesOf(log: Log): Promise<{ first: number; last: number }> {
  const [first] = await log.read(1, 1);
  const last = (await log.read(log.position, 1)).at(-1);
  return { first: first?.time ?? 0, last: last?.time ?? 0 };
}

serve({ fill, ask, askByWalk });
