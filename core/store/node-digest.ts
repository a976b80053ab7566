import { createHash, createHmac } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Digest } from "../ports.ts";

/** The digests of Node itself: OpenSSL's SHA-256, zlib's CRC-32. */
export const nodeDigest: Digest = {
  sha256(...parts: readonly Uint8Array[]): Uint8Array {
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    return plain(hash.digest());
  },
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
    const hmac = createHmac("sha256", key);
    for (const part of parts) hmac.update(part);
    return plain(hmac.digest());
  },
  crc32(bytes: Uint8Array): number {
    return crc32(bytes);
  },
};

// The pure code knows no Buffer: its `slice` and its JSON are not those of Uint8Array.
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}
