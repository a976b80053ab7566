import { encodeEvent } from "../../core/codec.ts";
import { type Incarnation, type LogId, clusterLog, eventId, nodeLog } from "../../core/event.ts";
import { encodeSegment, zeroHash } from "../../core/segment.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import type { ReadRecord, StoredBlock, StoredSegment } from "../../core/store-port.ts";

export const node1: LogId = nodeLog("edge-node-1");
/** Begins as the name of the other one does: their keys must not mix. */
export const node10: LogId = nodeLog("edge-node-1.b");
export const cluster: LogId = clusterLog;

export const cloud = "c0000000000001" as Incarnation;
export const node = "n0000000000002" as Incarnation;

export interface Place {
  readonly log?: LogId;
  readonly origin?: Incarnation;
  readonly lo: number;
  readonly count?: number;
  readonly position?: number;
  /** Bytes of text in each event's body. */
  readonly padding?: number;
}

/** A segment of `count` reports, as a log would commit it. Its position is its sequence unless said. */
export function stored(place: Place): StoredSegment {
  const { log = node1, origin = node, lo, count = 1, position = lo, padding = 10 } = place;
  const events: Uint8Array[] = [];
  for (let seq = lo; seq < lo + count; seq += 1) {
    const body = [`${seq}`.padStart(padding, "0"), 1_700_000_000_000 + seq];
    const draft = {
      type: "twin.reported",
      class: "twin",
      key: "devices/default/thermo-1",
      slot: "reported/temperature",
      life: eventId(cloud, 1),
      body,
    } as const;
    events.push(encodeEvent(draft, seq, 1_700_000_000_000 + seq));
  }
  const draft = { origin, lo, seen: [{ origin: cloud, seq: 1 }], events };
  const { segment } = encodeSegment(draft, zeroHash, nodeDigest);
  return {
    log,
    origin,
    lo,
    count,
    position,
    arrived: 1_700_000_000_000.5 + position,
    segment: segment.bytes,
  };
}

export function blockOf(members: readonly StoredSegment[]): StoredBlock {
  const first = members[0] as StoredSegment;
  const last = members.at(-1) as StoredSegment;
  return { log: first.log, from: first.position, to: last.position + last.count - 1, members };
}

/** In a form that compares well, whatever kind of bytes a store returns. */
export function plain(record: ReadRecord | undefined): unknown {
  if (record?.segment === undefined) return record;
  const { block: _, ...rest } = record;
  return { ...rest, segment: Buffer.from(record.segment).toString("base64") };
}

export function plainAll(records: readonly ReadRecord[]): unknown[] {
  return records.map((record) => plain(record));
}

export function damaged({ log, origin, lo, count, position }: StoredSegment): ReadRecord {
  return { log, origin, lo, count, position, segment: undefined };
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export const manyBytes: number = 64 * 1024 * 1024;
