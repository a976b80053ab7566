import * as fc from "fast-check";
import t from "tap";
import { decodeEvents, encodeEvent } from "../../core/codec.ts";
import { TidemarkError } from "../../core/errors.ts";
import type { Draft } from "../../core/event.ts";
import {
  type Segment,
  chainHash,
  encodeSegment,
  hex,
  macMatches,
  maxSegmentBytes,
  parseSegment,
  zeroHash,
} from "../../core/segment.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { anyDraft, c1, n1 } from "./drafts.ts";

const macKey = Uint8Array.from({ length: 32 }, (_, index) => index);

interface Made {
  readonly segment: Segment;
  readonly hash: Uint8Array;
}

function make(drafts: readonly Draft[], lo = 1, key?: Uint8Array, before = zeroHash): Made {
  const events = drafts.map((draft, index) => encodeEvent(draft, lo + index, 7));
  return encodeSegment(
    { origin: n1, lo, seen: [{ origin: c1, seq: 2 ** 40 }], events },
    before,
    nodeDigest,
    key,
  );
}

const said: Draft = { type: "said", class: "message", key: "hall", body: "hello" };
const { segment: sample } = make([said, said]);

/** With a checksum that fits. */
function sealed(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  new DataView(copy.buffer).setUint32(copy.length - 4, nodeDigest.crc32(copy.subarray(0, -4)));
  return copy;
}

function changed(at: number, value: number): Uint8Array {
  const copy = sample.bytes.slice();
  copy[at] = value;
  return copy;
}

function read(bytes: Uint8Array): string {
  try {
    const segment = parseSegment(bytes, nodeDigest);
    decodeEvents(segment.events, { ...segment, position: 1 });
    return "read";
  } catch (error) {
    if (error instanceof TidemarkError) return error.code;
    throw error;
  }
}

t.test("any segment comes back as it was made", async (t) => {
  const lo = fc.integer({ min: 1, max: 2 ** 45 });
  const key = fc.option(fc.constant(macKey), { nil: undefined });
  fc.assert(
    fc.property(fc.array(anyDraft, { minLength: 1, maxLength: 6 }), lo, key, (drafts, lo, key) => {
      const { segment, hash } = make(drafts, lo, key);
      const parsed = parseSegment(segment.bytes, nodeDigest);
      t.strictSame(
        { ...parsed, mac: parsed.mac && hex(parsed.mac) },
        { ...segment, mac: segment.mac && hex(segment.mac) },
      );
      t.strictSame(chainHash(zeroHash, parsed, nodeDigest), hash);
      t.equal(macMatches(parsed, hash, nodeDigest, macKey), key !== undefined);
    }),
    { numRuns: 200 },
  );
});

t.test("a segment that is cut short or changed anywhere is SEGMENT_CORRUPT", async (t) => {
  const { segment } = make([said, said, said], 1, macKey);
  for (let length = 0; length < segment.bytes.length; length += 1) {
    t.equal(read(segment.bytes.slice(0, length)), "SEGMENT_CORRUPT", `cut to ${length}`);
  }
  for (let bit = 0; bit < segment.bytes.length * 8; bit += 1) {
    const bytes = segment.bytes.slice();
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    if (read(bytes) !== "SEGMENT_CORRUPT") t.fail(`bit ${bit} changed: ${read(bytes)}`);
  }
});

t.test("whatever changes behind a checksum that fits, the codes say so", async () => {
  const codes = ["read", "SEGMENT_CORRUPT", "EVENT_INVALID", "FORMAT_NEWER"];
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(sample.bytes.length - 5), fc.nat(255)), { maxLength: 6, size: "max" }),
      (changes) => {
        const bytes = sample.bytes.slice();
        for (const [at, value] of changes) bytes[at] = value;
        return codes.includes(read(sealed(bytes)));
      },
    ),
    { numRuns: 3000 },
  );
});

t.test("a newer format is FORMAT_NEWER, if that is what it is", async (t) => {
  const newer: [string, number, number][] = [
    ["version", 0, 2],
    ["kind", 1, 2],
    ["flags", 2, 4],
  ];
  for (const [name, at, value] of newer) {
    t.equal(read(sealed(changed(at, value))), "FORMAT_NEWER", name);
    t.equal(read(changed(at, value)), "SEGMENT_CORRUPT", `${name}, and the checksum does not fit`);
  }
  t.equal(read(sealed(changed(0, 0))), "SEGMENT_CORRUPT", "no version is 0");
});

t.test("an envelope that says what can't be is SEGMENT_CORRUPT", async (t) => {
  const wrong: [string, Uint8Array][] = [
    ["no events", sealed(changed(29, 0))],
    ["more events than bytes", sealed(changed(26, 0xff))],
    ["an origin that is none", sealed(changed(4, 0x78))],
    ["sequence 0", sealed(changed(25, 0))],
    ["a sequence past 2^53", sealed(changed(18, 0xff))],
    ["more seen than is there", sealed(changed(3, 200))],
    ["seen of an origin that is none", sealed(changed(34, 0x20))],
    ["seen of a sequence past 2^53", sealed(changed(48, 0xff))],
    ["too long", sealed(new Uint8Array(maxSegmentBytes + 1).fill(1, 0, 1))],
  ];
  for (const [name, bytes] of wrong) {
    const code = read(bytes);
    t.ok(name === "too long" ? code !== "read" : code === "SEGMENT_CORRUPT", `${name}: ${code}`);
  }
});

t.test("one event more than the declared number is EVENT_INVALID", async (t) => {
  t.equal(read(sealed(changed(29, 1))), "EVENT_INVALID");
  t.equal(read(sealed(changed(29, 3))), "EVENT_INVALID");
});

t.test("the hash after a segment depends on all before it", async (t) => {
  const first = make([said]);
  const second = make([said], 2, undefined, first.hash);
  const other = make([{ ...said, body: "bye" }]);
  t.not(hex(chainHash(other.hash, second.segment, nodeDigest)), hex(second.hash));
  t.equal(hex(chainHash(first.hash, second.segment, nodeDigest)), hex(second.hash));
});

t.test("a MAC proves the segment and all before it", async (t) => {
  const first = make([said], 1, macKey);
  const second = make([said], 2, macKey, first.hash);
  t.ok(macMatches(second.segment, second.hash, nodeDigest, macKey));
  t.notOk(macMatches(second.segment, first.hash, nodeDigest, macKey), "another history");
  t.notOk(macMatches(second.segment, second.hash, nodeDigest, new Uint8Array(32)), "another key");
  t.notOk(macMatches(make([said]).segment, first.hash, nodeDigest, macKey), "no MAC at all");
});
