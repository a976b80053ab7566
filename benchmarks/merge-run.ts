/** One run of the merging benchmarks, in a process of its own. */
import { brotliCompressSync, constants } from "node:zlib";
import { Level } from "level";
import { encodeEvent } from "../core/codec.ts";
import { serve } from "./child.ts";
import { TwinEvents } from "./twin-events.ts";
import { type Fill, type Sized, fill, lives, openTwinLog, settle, sizeOf, writtenBytes } from "./twin-log.ts";

/** Merges what was filled before. */
async function mergeOnly({ directory }: Fill): Promise<Sized> {
  const { log, merging, close } = await openTwinLog(directory, { syncs: false });
  const before = writtenBytes();
  const began = performance.now();
  merging.add(log);
  await merging.mergeAll();
  const mergeMs = performance.now() - began;
  await close();
  await settle(directory);
  const diskBytes = sizeOf(directory);
  return { diskBytes, eventBytes: 0, writtenBytes: writtenBytes() - before, mergeMs };
}

/** The same events, 256 KiB at a time, as compressed values of a LevelDB, and nothing else. */
async function fillRaw({ directory, events }: Fill): Promise<Sized> {
  const source = new TwinEvents(lives);
  const database = new Level<string, Uint8Array>(directory, { valueEncoding: "view" });
  await database.open();
  const before = writtenBytes();
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
  await database.close();
  await settle(directory);
  const diskBytes = sizeOf(directory);
  return { diskBytes, eventBytes, writtenBytes: writtenBytes() - before, mergeMs: packingMs };
}

serve({ fill, fillRaw, mergeOnly });
