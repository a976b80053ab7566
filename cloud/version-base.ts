/**
 * What is added to sequences of the cluster log to make a `resourceVersion`. After a restore the sequences since the
 * backup are given again, to other events: so the base rises above any version that was ever given out, and a watch
 * from before is told to list anew.
 */
import { pack, unpack } from "../core/codec.ts";
import type { Committer } from "../core/committer.ts";
import { sideOf } from "../core/event.ts";
import type { Log } from "../core/log.ts";
import type { Environment } from "../core/ports.ts";
import { undamaged } from "../core/undamaged.ts";

const name = "version-base";

/** Versions that were given out for each ms since the epoch, at most: a cloud has written fewer events. */
const versionsPerMs = 1000;

/** The named values of a cloud's store that was restored at `nowMs`. */
export function restoredVersions(nowMs: number): ReadonlyMap<string, Uint8Array> {
  return new Map([[name, pack(nowMs * versionsPerMs)]]);
}

/**
 * The base that the store says. Every cloud notes one, 0 until it is restored: so a store that has logs and says none has
 * lost it, be it that the value is damaged or that LevelDB lost it with the block it lay in. To go on from 0 then would
 * give versions out again. The next base is taken from the time, as a restore does, and is noted with the next commit;
 * so it is where the cluster log goes on under another name, whose sequences begin anew.
 */
export async function openVersionBase(
  committer: Committer,
  cluster: Log,
  { clock, logger }: Environment,
): Promise<number> {
  const { store } = committer;
  const isNamed = (await store.names(name)).includes(name);
  const held = isNamed ? readBase(await undamaged(store, name)) : undefined;
  const { top = 0 } = cluster.histories.get(cluster.incarnation) ?? {};
  // Where there is no log at all, none has given out a version.
  const isSaid = held !== undefined && (top > 0 || (await store.logs()).length === 0);
  if (isSaid) return held;
  const isNew = !isNamed && (await store.logs()).length === 0;
  const base = isNew ? 0 : await baseAbove(cluster, clock.now(), held ?? 0);
  committer.put(name, pack(base));
  if (held === undefined && base > 0) {
    const what = `what resourceVersions are counted from is ${isNamed ? "damaged" : "missing"}: they go on above any that was given out, and watches begin anew`;
    logger.log(isNamed ? "error" : "warn", what, { code: "SEGMENT_CORRUPT", value: name, base });
  }
  return base;
}

function readBase(bytes: Uint8Array | undefined): number | undefined {
  const base = bytes === undefined ? undefined : unpack(bytes);
  return typeof base === "number" ? base : undefined;
}

/**
 * Above any version given out: a base is never ahead of the time at which it was taken, but for the sequences that were
 * added to it. Where the clock has been put back since, the newest event still knows of a later time.
 */
async function baseAbove(cluster: Log, nowMs: number, held: number): Promise<number> {
  let latestMs = nowMs;
  let sequences = 0;
  for (const { origin, top } of cluster.histories.values()) {
    if (sideOf(origin) !== "cloud" || top === 0) continue;
    sequences = Math.max(sequences, top);
    latestMs = Math.max(latestMs, (await cluster.eventAt(origin, top))?.time ?? 0);
  }
  return Math.max(held, latestMs * versionsPerMs) + sequences + 1;
}
