/** Exports as files and streams: read in pieces, and written whole or not at all. */
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { TidemarkError, messageOf } from "../core/errors.ts";
import type { ExportEnd, ExportHeader, ExportPart } from "../core/export-format.ts";
import { readExport } from "../core/export-read.ts";
import { nodeDigest } from "../core/store/node-digest.ts";
import { hasErrno } from "../protocol/adapters/files.ts";
import { absolute } from "./context.ts";
import type { Output, World } from "./world.ts";

const pieceBytes = 1024 * 1024;

/** A file in pieces; `-` is standard input. @throws NOT_FOUND */
export async function* pieces(world: World, file: string): AsyncGenerator<Uint8Array> {
  const path = absolute(world, file);
  const stream = file === "-" ? world.stdin : createReadStream(path, { highWaterMark: pieceBytes });
  try {
    yield* stream as AsyncIterable<Uint8Array>;
  } catch (cause) {
    const code = hasErrno(cause, "ENOENT") ? "NOT_FOUND" : "USAGE";
    throw new TidemarkError(code, `${file} can't be read: ${messageOf(cause)}`, { cause });
  }
}

/** What an export says at its beginning and its end. */
export interface Summary {
  readonly header: ExportHeader;
  readonly end: ExportEnd;
}

/** Reads an export to its end, which is checked. @throws what `readExport` does */
export async function summaryOf(
  chunks: AsyncIterable<Uint8Array>,
  onPart: (part: ExportPart) => void,
): Promise<Summary> {
  let header: ExportHeader | undefined;
  let end: ExportEnd | undefined;
  for await (const parts of readExport(chunks, nodeDigest)) {
    for (const part of parts) {
      if (part.kind === "header") ({ header } = part);
      if (part.kind === "end") ({ end } = part);
      onPart(part);
    }
  }
  if (header === undefined || end === undefined) throw new Error("an export without a header or an end");
  return { header, end };
}

/** Writes the bytes as they pass. */
export async function* written(
  chunks: AsyncIterable<Uint8Array>,
  write: (chunk: Uint8Array) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    await write(chunk);
    yield chunk;
  }
}

export async function printBytes(output: Output, bytes: Uint8Array): Promise<void> {
  if (!output.write(bytes)) await once(output, "drain");
}

/** A file under another name until it is whole: then synced, and renamed. What is left when the process ends is removed. */
export async function withNewFile<T>(
  world: World,
  path: string,
  fill: (write: (chunk: Uint8Array) => Promise<void>) => Promise<T>,
): Promise<T> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  const keep = world.onExit(() => rmSync(temporary, { force: true }));
  try {
    const file = await openNew(temporary, path);
    const result = await fill(async (chunk) => {
      await file.writeFile(chunk);
    })
      .then(async (filled) => {
        await file.sync();
        return filled;
      })
      .finally(() => file.close());
    await rename(temporary, path);
    return result;
  } finally {
    await rm(temporary, { force: true });
    keep();
  }
}

async function openNew(temporary: string, path: string): Promise<FileHandle> {
  try {
    return await open(temporary, "w", 0o600);
  } catch (cause) {
    throw new TidemarkError("USAGE", `${path} can't be written: ${messageOf(cause)}`, { cause });
  }
}
