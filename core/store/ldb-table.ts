/**
 * Reads a table of LevelDB's (`NNNNNN.ldb`) without LevelDB: of each block whose checksum fits, what is in it. A block that
 * is damaged is passed over, whatever it would have made LevelDB do.
 */
import { checksumOf, crcStep, masked } from "./ldb-checksum.ts";
import { unpackSnappy } from "./ldb-snappy.ts";
import { NumberReader } from "./varints.ts";

/** One thing that was written. */
export interface LdbEntry {
  readonly key: string;
  /** Of two of one key the later one counts. */
  readonly seq: number;
  /** Undefined where the key was deleted. */
  readonly value: Uint8Array | undefined;
}

interface Handle {
  readonly at: number;
  readonly size: number;
}

const footerLength = 48;
/** A block is followed by the kind of its compression, and by its checksum. */
const trailerLength = 5;
const markLength = 8;

/** In order of key, and of one key the latest first. */
export function* tableEntries(table: Uint8Array): Generator<LdbEntry> {
  for (const handle of handlesOf(table)) {
    const block = blockAt(table, handle);
    if (block === undefined) continue;
    for (const [key, value] of rowsOf(block)) {
      const entry = entryOf(key, value);
      if (entry !== undefined) yield entry;
    }
  }
}

/** Where the blocks are, as the index says or, where that is damaged, as their own checksums do. */
function handlesOf(table: Uint8Array): Handle[] {
  try {
    const reader = new NumberReader(table.subarray(table.length - footerLength));
    reader.naturals(2);
    const index = blockAt(table, { at: reader.natural(), size: reader.natural() });
    if (index === undefined) return walk(table);
    return [...rowsOf(index)].map(([, value]) => {
      const handle = new NumberReader(value);
      return { at: handle.natural(), size: handle.natural() };
    });
  } catch (error) {
    if (error instanceof RangeError) return walk(table);
    throw error;
  }
}

/** One block after the other, each as long as it has to be for the checksum behind it to fit. */
function walk(table: Uint8Array): Handle[] {
  const view = viewOf(table);
  const handles: Handle[] = [];
  let from = 0;
  let crc = -1;
  for (let at = 0; at + trailerLength <= table.length; at += 1) {
    const kind = table[at] as number;
    crc = crcStep(crc, kind);
    if (kind > 1 || view.getUint32(at + 1, true) !== masked(crc)) continue;
    handles.push({ at: from, size: at - from });
    from = at + trailerLength;
    crc = -1;
    // The loop takes one step itself.
    at = from - 1;
  }
  return handles;
}

/** What a block holds. @returns undefined where it is damaged */
function blockAt(table: Uint8Array, { at, size }: Handle): Uint8Array | undefined {
  const end = at + size;
  if (end + trailerLength > table.length) return undefined;
  const sealed = table.subarray(at, end + 1);
  if (viewOf(table).getUint32(end + 1, true) !== checksumOf(sealed)) return undefined;
  const bytes = sealed.subarray(0, size);
  try {
    if (table[end] === 1) return unpackSnappy(bytes);
    return table[end] === 0 ? bytes : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** A key says only what it has not in common with the one before it. What is no block of rows has none, or ends early. */
function* rowsOf(block: Uint8Array): Generator<readonly [key: Uint8Array, value: Uint8Array]> {
  if (block.length < 4) return;
  const restarts = viewOf(block).getUint32(block.length - 4, true);
  const end = block.length - 4 - 4 * restarts;
  let key = new Uint8Array();
  for (let at = 0; at < end;) {
    const reader = new NumberReader(block.subarray(at, end));
    const lengths = numbersOf(reader, 3);
    if (lengths === undefined) return;
    const [shared = 0, own = 0, value = 0] = lengths;
    const from = at + reader.at;
    if (shared > key.length || from + own + value > end) return;
    const next = new Uint8Array(shared + own);
    next.set(key.subarray(0, shared));
    next.set(block.subarray(from, from + own), shared);
    key = next;
    at = from + own + value;
    yield [key, block.subarray(from + own, at)];
  }
}

function numbersOf(reader: NumberReader, count: number): Float64Array | undefined {
  try {
    return reader.naturals(count);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** A key of a table ends with its sequence, and whether it was put or deleted. */
function entryOf(key: Uint8Array, value: Uint8Array): LdbEntry | undefined {
  const length = key.length - markLength;
  if (length < 0) return undefined;
  const mark = viewOf(key).getBigUint64(length, true);
  const kind = mark & 0xffn;
  if (kind > 1n) return undefined;
  return {
    key: keyText(key.subarray(0, length)),
    seq: Number(mark >> 8n),
    value: kind === 1n ? value : undefined,
  };
}

/** Every key of the store is ASCII. */
export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

export function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length);
}
