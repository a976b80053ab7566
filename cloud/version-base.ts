/**
 * What is added to sequences of the cluster log to make a `resourceVersion`. After a restore the sequences since the
 * backup are given again, to other events: so the base rises above any version that was ever given out, and a watch
 * from before is told to list anew.
 */
import { pack, unpack } from "../core/codec.ts";
import type { Store } from "../core/store-port.ts";

const name = "version-base";

/** Versions that were given out for each ms since the epoch, at most: a cloud has written fewer events. */
const versionsPerMs = 1000;

/** The named values of a cloud's store that was restored at `nowMs`. */
export function restoredVersions(nowMs: number): ReadonlyMap<string, Uint8Array> {
  return new Map([[name, pack(nowMs * versionsPerMs)]]);
}

/** 0 for a store that was never restored. */
export async function readVersionBase(store: Store): Promise<number> {
  const bytes = await store.get(name);
  const base = bytes === undefined ? 0 : unpack(bytes);
  return typeof base === "number" ? base : 0;
}
