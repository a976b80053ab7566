/** Reads a write-ahead log of LevelDB's (`NNNNNN.log`) without LevelDB: every batch of which each part is sound. */
import { checksumOf } from "./ldb-checksum.ts";
import { type LdbEntry, keyText, viewOf } from "./ldb-table.ts";
import { NumberReader } from "./varints.ts";

/** A log is cut into blocks, and no part of a batch reaches out of one. */
const blockLength = 32 * 1024;
const headerLength = 7;
const whole = 1;
const first = 2;
const middle = 3;
const last = 4;

/** In the order in which it was written. */
export function* logEntries(log: Uint8Array): Generator<LdbEntry> {
  for (const batch of batchesOf(log)) {
    try {
      yield* entriesOf(batch);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
}

function* batchesOf(log: Uint8Array): Generator<Uint8Array> {
  let parts: Uint8Array[] = [];
  for (const { kind, bytes } of partsOf(log)) {
    const begins = kind === whole || kind === first;
    // What was begun and is not gone on with, has lost a part.
    if (begins) parts = [bytes];
    else if ((kind === middle || kind === last) && parts.length > 0) parts.push(bytes);
    else parts = [];
    if (kind !== whole && kind !== last) continue;
    if (parts.length > 0) yield Buffer.concat(parts);
    parts = [];
  }
}

/** What is damaged has kind 0. */
function* partsOf(log: Uint8Array): Generator<{ readonly kind: number; readonly bytes: Uint8Array }> {
  const view = viewOf(log);
  for (let block = 0; block < log.length; block += blockLength) {
    const end = Math.min(block + blockLength, log.length);
    for (let at = block; at + headerLength <= end;) {
      const length = view.getUint16(at + 4, true);
      const kind = log[at + 6] as number;
      const next = at + headerLength + length;
      // Where the length is what is damaged, nothing that follows it in this block fits.
      const isSound = next <= end && view.getUint32(at, true) === checksumOf(log.subarray(at + 6, next));
      yield { kind: isSound ? kind : 0, bytes: log.subarray(at + headerLength, next) };
      at = next;
    }
  }
}

/** @throws RangeError where it ends early */
function* entriesOf(batch: Uint8Array): Generator<LdbEntry> {
  const view = viewOf(batch);
  const seq = Number(view.getBigUint64(0, true));
  const count = view.getUint32(8, true);
  let at = 12;
  const bytes = (): Uint8Array => {
    const reader = new NumberReader(batch.subarray(at));
    const length = reader.natural();
    const from = at + reader.at;
    at = from + length;
    if (at > batch.length) throw new RangeError("it reaches past the end");
    return batch.subarray(from, at);
  };
  for (let nth = 0; nth < count; nth += 1) {
    const isPut = view.getUint8(at) === 1;
    at += 1;
    const key = keyText(bytes());
    yield { key, seq: seq + nth, value: isPut ? bytes() : undefined };
  }
}
