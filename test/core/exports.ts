/** Exports for tests: made of logs in memory, and taken apart again. */
import { type ExportRequest, exportLog, writeExport } from "../../core/export-write.ts";
import type { ExportEnd, ExportHeader, ExportPart, ExportedSegment } from "../../core/export-format.ts";
import { readExport } from "../../core/export-read.ts";
import type { Log } from "../../core/log.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";

export async function exported(log: Log, request: Partial<ExportRequest> = {}): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const made = exportLog(log, { product: "test", redacts: true, ...request });
  for await (const chunk of writeExport(made, nodeDigest)) chunks.push(chunk);
  return Uint8Array.from(Buffer.concat(chunks));
}

/** The bytes in pieces of these lengths, over and over. */
export async function* pieces(bytes: Uint8Array, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, nth = 0; at < bytes.length; nth += 1) {
    const length = lengths[nth % lengths.length] ?? bytes.length;
    yield bytes.slice(at, at + length);
    at += length;
  }
}

export function parts(
  bytes: Uint8Array,
  lengths: readonly number[] = [bytes.length],
): AsyncGenerator<readonly ExportPart[]> {
  return readExport(pieces(bytes, lengths), nodeDigest);
}

export interface Read {
  readonly header: ExportHeader;
  readonly checkpoint: Uint8Array | undefined;
  readonly segments: readonly ExportedSegment[];
  readonly end: ExportEnd;
}

/** All of an export. @throws as `readExport` */
export async function readAll(bytes: Uint8Array, lengths?: readonly number[]): Promise<Read> {
  const all: ExportPart[] = [];
  for await (const some of parts(bytes, lengths)) all.push(...some);
  const [first, last] = [all[0], all.at(-1)];
  if (first?.kind !== "header" || last?.kind !== "end") throw new Error("it has no beginning or no end");
  return {
    header: first.header,
    checkpoint: all.find((part) => part.kind === "state")?.checkpoint,
    segments: all.filter((part) => part.kind === "segment"),
    end: last.end,
  };
}
