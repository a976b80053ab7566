import t from "tap";
import { hex } from "../../core/segment.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { bytes } from "./store-segments.ts";

t.test("digests are the ones that everybody else computes", async (t) => {
  // FIPS 180-2 B.1, RFC 4231 4.3, and the check value of CRC-32.
  const sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
  t.equal(hex(nodeDigest.sha256(bytes("abc"))), sha);
  t.equal(hex(nodeDigest.hmacSha256(bytes("Jefe"), bytes("what do ya want for nothing?"))), mac);
  t.equal(nodeDigest.crc32(bytes("123456789")), 0xcbf43926);
});

t.test("bytes in parts digest as the same bytes in one", async (t) => {
  const key = bytes("key");
  const parts = ["one", "", "two"].map((text) => bytes(text));
  t.same(nodeDigest.sha256(...parts), nodeDigest.sha256(bytes("onetwo")));
  t.same(nodeDigest.hmacSha256(key, ...parts), nodeDigest.hmacSha256(key, bytes("onetwo")));
  t.equal(Object.getPrototypeOf(nodeDigest.sha256()), Uint8Array.prototype, "no Buffer in the pure code");
});
