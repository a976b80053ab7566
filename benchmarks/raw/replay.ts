/** What a replay costs at the least: msgpack unpacked, and nothing made of it. */
import { Unpackr } from "msgpackr";
import { Level } from "level";

const unpackr = new Unpackr({ useRecords: false });

/** @returns how many values there were */
export function unpackAll(segments: readonly { readonly events: Uint8Array }[]): number {
  let count = 0;
  for (const { events } of segments) unpackr.unpackMultiple(events, () => void (count += 1));
  return count;
}

const recordHeadLength = 3;
const segmentHeadLength = 34;
const seenLength = 22;

/** The same from a store's directory, as `docs/log-format.md` has it, without looking at a single checksum. */
async function unpackStore(directory: string): Promise<number> {
  const database = new Level<string, Uint8Array>(directory, { keyEncoding: "utf8", valueEncoding: "view" });
  await database.open();
  let count = 0;
  const values = database.values({ gte: "s!", lt: 's"', highWaterMarkBytes: 1024 * 1024 });
  for (let some = await values.nextv(1000); some.length > 0; some = await values.nextv(1000)) {
    count += unpackAll(some.map((value) => ({ events: eventsOf(value) })));
  }
  await values.close();
  await database.close();
  return count;
}

function eventsOf(record: Uint8Array): Uint8Array {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const at = recordHeadLength + view.getUint16(1);
  const from = at + segmentHeadLength + (record[at + 3] ?? 0) * seenLength;
  return record.subarray(from, from + view.getUint32(at + 30));
}

// As a program: the way from a process' start to its end.
const [, program, directory] = process.argv;
if (program === import.meta.filename && directory !== undefined) {
  process.stdout.write(`${await unpackStore(directory)}\n`);
}
