/** Reading what a disk durably holds, from outside: neither the process nor its log has a say in it. */
import { type Acks, keptAcks } from "../../core/acks.ts";
import type { Event, Incarnation, LogId } from "../../core/event.ts";
import { type DiskSnapshot, MemoryDisk, MemoryStore } from "../../core/store/memory.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import type { ReadRecord } from "../../core/store-port.ts";
import { type Release, presentRelease } from "./versions.ts";

/** Of a version that knows all formats that there may be. */
type Reader = Pick<Release, "readableEvents">;

const noTimers = {
  after: (): (() => void) => () => {},
  soon: (): void => {},
};

async function storeOn(snapshot: DiskSnapshot): Promise<MemoryStore> {
  const store = new MemoryStore(new MemoryDisk(snapshot), { timers: noTimers, digest: nodeDigest });
  await store.open();
  return store;
}

/** Every record of a log, readable or not, in order of position. */
export async function recordsOn(snapshot: DiskSnapshot, log: LogId): Promise<ReadRecord[]> {
  const store = await storeOn(snapshot);
  const records = await store.read(log, 1, Number.MAX_SAFE_INTEGER);
  await store.close();
  return records;
}

/** How far the other side was known to have each origin. */
export async function acksOn(snapshot: DiskSnapshot, log: LogId): Promise<Acks> {
  const store = await storeOn(snapshot);
  const acks = await keptAcks(store, log);
  await store.close();
  return acks;
}

/** The readable events of a log, in order of position. */
export async function eventsOn(
  snapshot: DiskSnapshot,
  log: LogId,
  reader: Reader = presentRelease.late,
): Promise<Event[]> {
  const records = await recordsOn(snapshot, log);
  return records.flatMap((record) => reader.readableEvents(record, nodeDigest) ?? []);
}

/** An event, and when it arrived in this replica, as the replica says. */
export interface Arrived {
  readonly event: Event;
  readonly arrived: number | undefined;
}

/** As `eventsOn`, with when each arrived. */
export async function arrivedOn(snapshot: DiskSnapshot, log: LogId, reader: Release): Promise<Arrived[]> {
  const found: Arrived[] = [];
  for (const record of await recordsOn(snapshot, log)) {
    const segment = reader.readable(record, nodeDigest);
    if (segment === undefined || record.segment === undefined) continue;
    for (const { event, arrived } of reader.keptOf(segment, record.position, record.arrived))
      found.push({ event, arrived });
  }
  return found;
}

/** The sequences of each origin that are there, or are forgotten as it should be: a cover stands for them. */
export async function sequencesOn(
  snapshot: DiskSnapshot,
  log: LogId,
  reader: Reader = presentRelease.late,
): Promise<Map<Incarnation, Set<number>>> {
  const sequences = new Map<Incarnation, Set<number>>();
  for (const record of await recordsOn(snapshot, log)) {
    const { origin, lo, count = 0 } = record;
    if (origin === undefined || lo === undefined) continue;
    if (reader.readableEvents(record, nodeDigest) === undefined) continue;
    const held = sequences.get(origin) ?? new Set();
    sequences.set(origin, held);
    for (let seq = lo; seq < lo + count; seq += 1) held.add(seq);
  }
  return sequences;
}

/** Whether all that a disk holds of a log is there from each origin's first event on, without a hole. */
export async function isWhole(snapshot: DiskSnapshot, log: LogId, reader?: Reader): Promise<boolean> {
  const records = await recordsOn(snapshot, log);
  const sequences = await sequencesOn(snapshot, log, reader);
  const isReadable = records.every(({ segment, origin, lo }) => {
    return (
      segment !== undefined || (origin !== undefined && lo !== undefined && sequences.get(origin)?.has(lo))
    );
  });
  return isReadable && [...sequences.values()].every((held) => Math.max(...held) === held.size);
}
