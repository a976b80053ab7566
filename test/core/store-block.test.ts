/** A block gives back what was put in, to the bit, and nothing that it was not told to hold. */
import { brotliCompressSync } from "node:zlib";
import * as fc from "fast-check";
import t from "tap";
import { type Incarnation, incarnationLength } from "../../core/event.ts";
import { encodeSegment, hashLength } from "../../core/segment.ts";
import { encodeBlock, decodeBlock } from "../../core/store/block.ts";
import { decodeBlockRecord, packBlock, packBlockSync } from "../../core/store/block-record.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { seal } from "../../core/store/record.ts";
import { NumberReader, NumberWriter } from "../../core/store/varints.ts";
import type { StoredSegment } from "../../core/store-port.ts";
import { node1, plainAll, stored } from "./store-segments.ts";

const incarnation = fc
  .tuple(fc.constantFrom("c", "n"), fc.integer({ min: 0, max: 3 }))
  .map(([side, nth]) => `${side}${`${nth}`.padStart(incarnationLength - 1, "0")}` as Incarnation);
const sequence = fc.oneof(
  fc.integer({ min: 1, max: 500 }),
  fc
    .maxSafeNat()
    .map((n) => n + 1 - 70_000)
    .filter((n) => n > 0),
);
const seen = fc.array(fc.record({ origin: incarnation, seq: fc.oneof(fc.nat(9), fc.maxSafeNat()) }), {
  maxLength: 8,
});
const plainMember = fc
  .record({
    origin: incarnation,
    lo: sequence,
    seen,
    // No events that a log would write: a block looks at none.
    events: fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 5 }),
    hashBefore: fc.uint8Array({ minLength: hashLength, maxLength: hashLength }),
    macKey: fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 }), { nil: undefined }),
  })
  .map(({ hashBefore, macKey, ...draft }) => {
    const { segment } = encodeSegment(draft, hashBefore, nodeDigest, macKey);
    return { origin: draft.origin, lo: draft.lo, count: draft.events.length, segment: segment.bytes };
  });
const opaqueMember = fc.record({
  origin: incarnation,
  lo: sequence,
  count: fc.integer({ min: 1, max: 100_000 }),
  segment: fc.uint8Array({ maxLength: 200 }),
});
/** A plain commit with a bit wrong, or told to be elsewhere than it says. */
const falseMember = fc
  .record({ member: plainMember, at: fc.nat(), lo: fc.boolean() })
  .map(({ member, at, lo }) => {
    if (lo) return { ...member, lo: member.lo + 1 };
    const segment = member.segment.slice();
    segment[at % segment.length] = (segment[at % segment.length] ?? 0) ^ 1;
    return { ...member, segment };
  });
const arrived = fc.oneof(
  fc.nat(),
  fc.double({ noNaN: true }).map((n) => n + 0),
  fc.integer(),
);
const member = fc.oneof({ arbitrary: plainMember, weight: 4 }, opaqueMember, falseMember);
const members = fc
  .array(fc.record({ member, arrived }), { minLength: 1, maxLength: 12 })
  .chain((list) => fc.nat().map((first) => ({ list, first: first + 1 })))
  .map(({ list, first }) => {
    let position = first;
    return list.map(({ member, arrived }): StoredSegment => {
      const whole = { log: node1, ...member, arrived: arrived === 0 ? 0 : arrived, position };
      position += member.count;
      return whole;
    });
  });

t.test("any neighbours come back as they were", async (t) => {
  fc.assert(
    fc.property(members, (list) => {
      const block = decodeBlock(encodeBlock(list, nodeDigest), nodeDigest);
      t.strictSame(plainAll(block?.members.map((each) => block.stored(each)) ?? []), plainAll(list));
      if (!t.passing()) throw new Error("what came back is not what was put in");
    }),
  );
});

t.test("packed in the background or at once, it is the same", async (t) => {
  const list = [1, 2, 3].map((lo) => stored({ lo }));
  t.same(await packBlock(list, nodeDigest, 5), packBlockSync(list, nodeDigest, 5));
});

t.test("any numbers come back as they were", async () => {
  fc.assert(
    fc.property(fc.array(fc.maxSafeInteger()), fc.array(fc.maxSafeNat()), (integers, naturals) => {
      const writer = new NumberWriter();
      for (const value of integers) writer.integer(value);
      for (const value of naturals) writer.natural(value);
      const reader = new NumberReader(writer.bytes);
      const same = integers.every((value) => reader.integer() === value + 0);
      return same && naturals.every((value) => reader.natural() === value);
    }),
  );
});

t.test("bytes that are no block, under a seal that holds, are refused and never thrown over", async (t) => {
  const content = encodeBlock(
    [1, 2, 3].map((lo) => stored({ lo })),
    nodeDigest,
  );
  fc.assert(
    fc.property(fc.nat(content.length - 1), fc.nat(255), (at, byte) => {
      const wrong = content.slice();
      wrong[at] = byte;
      decodeBlock(wrong, nodeDigest);
      decodeBlock(content.subarray(0, at), nodeDigest);
    }),
  );
  t.equal(decodeBlock(new Uint8Array(), nodeDigest), undefined);
});

t.test("what a record would expand to is bounded before it is", async (t) => {
  const bomb = brotliCompressSync(new Uint8Array(64 * 1024 * 1024));
  const recordOf = (length: number, packed: Uint8Array): Uint8Array => {
    const head = new Uint8Array(5);
    head[0] = 2;
    new DataView(head.buffer).setUint32(1, length);
    return seal("key", Buffer.concat([head, packed]), nodeDigest);
  };
  const content = encodeBlock([stored({ lo: 1 })], nodeDigest);
  const good = brotliCompressSync(content);
  t.ok(decodeBlockRecord("key", recordOf(content.length, good), nodeDigest));
  t.equal(
    decodeBlockRecord("key", recordOf(content.length - 1, good), nodeDigest),
    undefined,
    "more than it says",
  );
  t.equal(
    decodeBlockRecord("key", recordOf(content.length + 1, good), nodeDigest),
    undefined,
    "less than it says",
  );
  t.equal(decodeBlockRecord("key", recordOf(content.length, bomb), nodeDigest), undefined);
  t.equal(decodeBlockRecord("key", recordOf(64 * 1024 * 1024, bomb), nodeDigest), undefined);
  t.equal(decodeBlockRecord("other", recordOf(content.length, good), nodeDigest), undefined);
});
