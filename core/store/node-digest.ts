import { createHash, createHmac, hash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Digest } from "../ports.ts";

/** The digests of Node itself: OpenSSL's SHA-256, zlib's CRC-32. */
export const nodeDigest: Digest = {
  sha256(...parts: readonly Uint8Array[]): Uint8Array {
    const whole = joined(parts);
    if (whole !== undefined) return bytesOf(hash("sha256", whole, "binary"));
    const sha256 = createHash("sha256");
    for (const part of parts) sha256.update(part);
    return bytesOf(sha256.digest("binary"));
  },
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
    const hmac = createHmac("sha256", key);
    for (const part of parts) hmac.update(part);
    return bytesOf(hmac.digest("binary"));
  },
  crc32(bytes: Uint8Array): number {
    return crc32(bytes);
  },
};

/** A commit of one event is hashed in one call, for which it has to be in one piece: the call costs more than the copy. */
const room = new Uint8Array(4096);

/** @returns good until the next call; undefined where they don't fit */
function joined(parts: readonly Uint8Array[]): Uint8Array | undefined {
  let length = 0;
  for (const part of parts) {
    if (length + part.length > room.length) return undefined;
    room.set(part, length);
    length += part.length;
  }
  return room.subarray(0, length);
}

/**
 * A digest as text, a character a byte, costs a quarter of one as a Buffer: that has memory outside the heap, where so
 * few bytes fit into the array itself.
 */
function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
  return bytes;
}
