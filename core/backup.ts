/**
 * A backup: one file that holds a process's store as it was at one moment, and the files beside it
 * (`docs/log-format.md`). Written and read as a stream: neither side holds more than one block of it.
 */
import { pack, unpack } from "./codec.ts";
import { TidemarkError } from "./errors.ts";
import type { Side } from "./event.ts";
import type { Digest } from "./ports.ts";
import { zeroHash } from "./segment.ts";

export const backupVersion = 1;

/** `TIDEMARK-BACKUP`, a line's end, and the version. */
const magic: Uint8Array = new TextEncoder().encode("TIDEMARK-BACKUP\n");

const kinds = { manifest: 1, file: 2, rows: 3, end: 4 } as const;
/** Length and kind, before the payload; the checksum follows it. */
const headBytes = 5;
const crcBytes = 4;
/** One row may be a snapshot of all that a node has. */
const blockBytesMax = 1024 * 1024 * 1024;

/** Whose backup it is. */
export interface BackupManifest {
  readonly side: Side;
  /** Undefined for the cloud's. */
  readonly node: string | undefined;
  /** Version of the product that made it. */
  readonly product: string;
  /** When it was begun, ms since the epoch. */
  readonly time: number;
}

/** A file beside the store, by its path from the process's directory, with slashes. */
export interface BackupFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** What a store keeps, as it keeps it. */
export type BackupRow = readonly [key: string, value: Uint8Array];

export interface BackupContents {
  readonly manifest: BackupManifest;
  readonly files: readonly BackupFile[];
  readonly rows: AsyncIterable<readonly BackupRow[]>;
}

export async function* writeBackup(
  { manifest, files, rows }: BackupContents,
  digest: Digest,
): AsyncGenerator<Uint8Array> {
  const begin = Uint8Array.of(...magic, backupVersion);
  let chain = digest.sha256(zeroHash, begin);
  const block = (kind: number, payload: unknown): Uint8Array => {
    const bytes = blockOf(kind, pack(payload), digest);
    chain = digest.sha256(chain, bytes);
    return bytes;
  };
  yield begin;
  const { side, node, product, time } = manifest;
  yield block(kinds.manifest, [side, node ?? null, product, time]);
  for (const { path, bytes } of files) yield block(kinds.file, [path, bytes]);
  let count = 0;
  for await (const some of rows) {
    count += some.length;
    yield block(kinds.rows, some.flat());
  }
  yield block(kinds.end, [files.length, count, chain]);
}

function blockOf(kind: number, payload: Uint8Array, digest: Digest): Uint8Array {
  const bytes = new Uint8Array(headBytes + payload.length + crcBytes);
  const view = viewOf(bytes);
  view.setUint32(0, payload.length);
  bytes[4] = kind;
  bytes.set(payload, headBytes);
  view.setUint32(bytes.length - crcBytes, digest.crc32(bytes.subarray(0, -crcBytes)));
  return bytes;
}

export type BackupPart =
  | ({ readonly kind: "manifest" } & BackupManifest)
  | ({ readonly kind: "file" } & BackupFile)
  | { readonly kind: "rows"; readonly rows: readonly BackupRow[] }
  /** All of it came, and is as it was written. */
  | { readonly kind: "end"; readonly files: number; readonly rows: number };

/**
 * Reads a backup, the manifest first. Nothing of it is to be relied on before its end has come.
 * @throws BACKUP_INVALID when it is cut short, damaged, or no backup; FORMAT_NEWER
 */
export async function* readBackup(
  chunks: AsyncIterable<Uint8Array>,
  digest: Digest,
): AsyncGenerator<BackupPart> {
  const source = new ByteSource(chunks);
  const begin = await source.take(magic.length + 1);
  checkBegin(begin);
  let chain = digest.sha256(zeroHash, begin as Uint8Array);
  let files = 0;
  let rows = 0;
  for (;;) {
    const at = source.taken;
    const bytes = await blockFrom(source, digest);
    const part = partOf(bytes, at);
    yield part.kind === "end" ? checkEnd(part, { files, rows, chain }, at) : part.part;
    if (part.kind === "end") break;
    if (part.part.kind === "file") files += 1;
    if (part.part.kind === "rows") rows += part.part.rows.length;
    chain = digest.sha256(chain, bytes);
  }
  if ((await source.take(1)) !== undefined) throw damaged(source.taken);
}

function checkBegin(begin: Uint8Array | undefined): void {
  if (begin === undefined || magic.some((byte, index) => begin[index] !== byte)) {
    throw new TidemarkError("BACKUP_INVALID", "this is no backup of Tidemark");
  }
  const version = begin[magic.length] as number;
  if (version <= backupVersion) return;
  throw new TidemarkError(
    "FORMAT_NEWER",
    `this backup has format ${version}, and this version of Tidemark knows ${backupVersion}: restore it with the newer one`,
    { data: { version, known: backupVersion } },
  );
}

async function blockFrom(source: ByteSource, digest: Digest): Promise<Uint8Array> {
  const at = source.taken;
  const head = await source.take(headBytes);
  if (head === undefined) throw cutShort(source.taken);
  const length = viewOf(head).getUint32(0);
  if (length > blockBytesMax) throw damaged(at);
  const rest = await source.take(length + crcBytes);
  // A length that is damaged may reach past the end: what came is looked at no further.
  if (rest === undefined) throw cutShort(source.taken);
  const bytes = new Uint8Array(headBytes + rest.length);
  bytes.set(head);
  bytes.set(rest, headBytes);
  const crc = viewOf(bytes).getUint32(bytes.length - crcBytes);
  if (crc !== digest.crc32(bytes.subarray(0, -crcBytes))) throw damaged(at);
  return bytes;
}

interface End {
  readonly files: number;
  readonly rows: number;
  readonly chain: Uint8Array;
}

type Parsed = { readonly kind: "part"; readonly part: BackupPart } | ({ readonly kind: "end" } & End);

function partOf(bytes: Uint8Array, at: number): Parsed {
  const row = unpack(bytes.subarray(headBytes, -crcBytes));
  const kind = bytes[4] ?? 0;
  const isFirst = at === magic.length + 1;
  if (!Array.isArray(row) || isFirst !== (kind === kinds.manifest)) throw damaged(at);
  switch (kind) {
    case kinds.manifest: {
      const [side, node, product, time] = row as [Side, string | null, string, number];
      return { kind: "part", part: { kind: "manifest", side, node: node ?? undefined, product, time } };
    }
    case kinds.file: {
      const [path, content] = row as [string, Uint8Array];
      return { kind: "part", part: { kind: "file", path, bytes: content } };
    }
    case kinds.rows: {
      const flat = row as (string | Uint8Array)[];
      const rows: BackupRow[] = [];
      for (let index = 0; index < flat.length; index += 2) {
        rows.push([flat[index] as string, flat[index + 1] as Uint8Array]);
      }
      return { kind: "part", part: { kind: "rows", rows } };
    }
    case kinds.end: {
      const [files, rows, chain] = row as [number, number, Uint8Array];
      return { kind: "end", files, rows, chain };
    }
    default:
      throw damaged(at);
  }
}

/** A block that is missing, or there twice, shows here. */
function checkEnd(end: End, { files, rows, chain }: End, at: number): BackupPart {
  const isSame =
    end.files === files && end.rows === rows && chain.every((byte, index) => end.chain[index] === byte);
  if (!isSame) throw damaged(at);
  return { kind: "end", files, rows };
}

function cutShort(bytes: number): TidemarkError {
  return new TidemarkError(
    "BACKUP_INVALID",
    `this backup is cut short: it ends after ${bytes} bytes without its end mark; make or copy it again`,
  );
}

function damaged(at: number): TidemarkError {
  return new TidemarkError(
    "BACKUP_INVALID",
    `this backup is damaged at byte ${at}: it is not what was written; use another copy`,
    { data: { at } },
  );
}

/** Bytes by count, from chunks of any size. */
class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** Bytes handed out, or left over where there were too few. */
  taken = 0;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** @returns undefined when there are fewer */
  async take(count: number): Promise<Uint8Array | undefined> {
    while (this.#heldBytes < count) {
      const next = await this.#chunks.next();
      if (next.done === true) {
        this.taken += this.#heldBytes;
        return undefined;
      }
      this.#held.push(next.value);
      this.#heldBytes += next.value.length;
    }
    this.taken += count;
    this.#heldBytes -= count;
    return this.#cut(count);
  }

  #cut(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count;) {
      const first = this.#held[0] as Uint8Array;
      const some = first.subarray(0, count - at);
      bytes.set(some, at);
      at += some.length;
      if (some.length === first.length) this.#held.shift();
      else this.#held[0] = first.subarray(some.length);
    }
    return bytes;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
