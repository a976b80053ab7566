/**
 * Block records: a block as a store keeps it (`docs/log-format.md`). Before its seal:
 *
 *     0  u8   record version, 2
 *     1  u32  bytes of the block once expanded, big-endian
 *     5  …    the block (`block.ts`), compressed by brotli
 */
import {
  type BrotliOptions,
  brotliCompress,
  brotliCompressSync,
  brotliDecompressSync,
  constants,
} from "node:zlib";
import { promisify } from "node:util";
import type { Digest } from "../ports.ts";
import { type StoredSegment, maxBlockBytes } from "../store-port.ts";
import { type Block, decodeBlock, encodeBlock } from "./block.ts";
import { unseal } from "./record.ts";

const blockVersion = 2;
const contentAt = 5;
/** Of members as large as they may be, and a table that says of each that it is opaque. */
const maxContentBytes = maxBlockBytes * 2;
/** The window holds a whole block of the usual size. */
const windowBits = 19;

const compress = promisify(brotliCompress);

export async function packBlock(
  members: readonly StoredSegment[],
  digest: Digest,
  quality: number,
): Promise<Uint8Array> {
  const content = encodeBlock(members, digest);
  return headed(content.length, await compress(content, optionsOf(content, quality)));
}

export function packBlockSync(
  members: readonly StoredSegment[],
  digest: Digest,
  quality: number,
): Uint8Array {
  const content = encodeBlock(members, digest);
  return headed(content.length, brotliCompressSync(content, optionsOf(content, quality)));
}

/** @returns undefined where the record is not what was stored under that key */
export function decodeBlockRecord(key: string, record: Uint8Array, digest: Digest): Block | undefined {
  const bytes = unseal(key, record, digest);
  if (bytes === undefined || bytes.length < contentAt || bytes[0] !== blockVersion) return undefined;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  // What is said is bounded before it is allocated, and what comes out by what is said.
  if (length > maxContentBytes) return undefined;
  try {
    const content = brotliDecompressSync(bytes.subarray(contentAt), {
      maxOutputLength: Math.max(length, 1),
      chunkSize: Math.max(length, 64),
    });
    if (content.length !== length) return undefined;
    // The pure code knows no Buffer: its `slice` is not that of Uint8Array.
    return decodeBlock(new Uint8Array(content.buffer, content.byteOffset, content.length), digest);
  } catch {
    // The seal held, so a foreign writer put this here: it can't be read, and the caller says so.
    return undefined;
  }
}

function optionsOf(content: Uint8Array, quality: number): BrotliOptions {
  return {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: quality,
      [constants.BROTLI_PARAM_LGWIN]: windowBits,
      [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
    },
  };
}

function headed(contentLength: number, compressed: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(contentAt + compressed.length);
  bytes[0] = blockVersion;
  new DataView(bytes.buffer).setUint32(1, contentLength);
  bytes.set(compressed, contentAt);
  return bytes;
}
