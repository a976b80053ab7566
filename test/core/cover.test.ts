import * as fc from "fast-check";
import t from "tap";
import { encodeEvent } from "../../core/codec.ts";
import { coverReasons, cutCover, encodeCover, eventsOf, keptOf, withoutPlaces } from "../../core/cover.ts";
import { TidemarkError } from "../../core/errors.ts";
import type { Draft, Event, Seen } from "../../core/event.ts";
import type { ReadEvent } from "../../core/event-reader.ts";
import { type Segment, chainHash, hex, parseSegment, zeroHash } from "../../core/segment.ts";
import { nodeDigest as digest } from "../../core/store/node-digest.ts";
import { anyDraft, c1, c2, n1 } from "./drafts.ts";
import { said } from "./log-site.ts";

const hashBefore = new Uint8Array(32).fill(1);
const hashAfter = new Uint8Array(32).fill(2);

function keep(draft: Draft, place: { seq: number; position: number; seen?: readonly Seen[] }): ReadEvent {
  const { seq, position, seen = [] } = place;
  const bytes = encodeEvent(draft, seq, 7);
  const event: Event = { ...draft, body: draft.body ?? null, origin: n1, seq, time: 7, seen, position };
  return { event, bytes };
}

/** Of sequences 11 to 20, three kept. */
const three = [
  keep(said("a"), { seq: 11, position: 101 }),
  keep(said("b"), { seq: 14, position: 105, seen: [{ origin: c1, seq: 3 }] }),
  keep(said("c"), { seq: 20, position: 109, seen: [{ origin: c1, seq: 3 }] }),
];
const draft = {
  origin: n1,
  lo: 11,
  to: 20,
  reason: "compaction",
  hashBefore,
  hashAfter,
  kept: three,
} as const;
const span = { from: 101, to: 120 };

function brief({ event, bytes }: ReadEvent): unknown {
  const { origin, seq, position, seen } = event;
  return [origin, seq, position, seen, hex(bytes)];
}

const anyKept = fc
  .tuple(
    fc.uniqueArray(fc.integer({ min: 0, max: 40 }), { maxLength: 12 }),
    fc.infiniteStream(anyDraft),
    fc.infiniteStream(
      fc.constantFrom<readonly Seen[]>([], [{ origin: c1, seq: 1 }], [{ origin: c2, seq: 2 ** 45 }]),
    ),
    fc.integer({ min: 1, max: 2 ** 40 }),
    fc.boolean(),
  )
  .map(([offsets, drafts, seens, lo, isPlaced]) => {
    const kept = offsets
      .toSorted((a, b) => a - b)
      .map((offset, index) => {
        const position = isPlaced ? 5 + offset * 2 + index : 5 + offset;
        return keep(drafts.next().value, { seq: lo + offset, position, seen: seens.next().value });
      });
    return { lo, kept, span: isPlaced ? { from: 5, to: 500 } : undefined };
  });

t.test(
  "any cover comes back as it was made: the events, their bytes, what they had seen, where they are",
  async (t) => {
    fc.assert(
      fc.property(anyKept, fc.constantFrom(...coverReasons), ({ lo, kept, span }, reason) => {
        const { bytes } = encodeCover({ ...draft, lo, to: lo + 40, reason, kept, span }, digest);
        const parsed = parseSegment(bytes, digest);
        t.match(parsed, {
          origin: n1,
          lo,
          count: 41,
          mac: undefined,
          cover: { reason, hashBefore, hashAfter },
        });
        t.strictSame(keptOf(parsed, 5).map(brief), kept.map(brief));
        t.strictSame(
          eventsOf(parsed, 5).map(({ seq }) => seq),
          kept.map(({ event }) => event.seq),
        );
      }),
      { numRuns: 200 },
    );
  },
);

t.test("the chain goes on from the hash that it says", async (t) => {
  t.strictSame(chainHash(zeroHash, encodeCover(draft, digest), digest), hashAfter);
});

t.test("what a replica lacks of it is cut off, wherever its end is", async (t) => {
  const cover = encodeCover({ ...draft, span }, digest);
  for (let after = 10; after < 20; after += 1) {
    const cut = cutCover(cover, after, zeroHash, digest);
    t.match(cut, { lo: after + 1, count: 20 - after, cover: { reason: "compaction", hashAfter } });
    t.strictSame(cut.cover?.hashBefore, zeroHash);
    t.equal(cut.cover?.places, undefined, "where the events were elsewhere is nothing here");
    t.strictSame(
      keptOf(cut, 1000).map(({ event, bytes }) => [event.seq, event.position, event.seen, hex(bytes)]),
      three
        .filter(({ event }) => event.seq > after)
        .map(({ event, bytes }) => [event.seq, 1000 + event.seq - after - 1, event.seen, hex(bytes)]),
    );
  }
});

t.test("positions stay at home", async (t) => {
  const cover = encodeCover(draft, digest);
  t.equal(withoutPlaces(cover, digest), cover);
  t.strictSame(withoutPlaces(encodeCover({ ...draft, span }, digest), digest).bytes, cover.bytes);
});

t.test("an empty one is a cover too", async (t) => {
  const cover = encodeCover({ ...draft, kept: [], to: 11 + 0xffff_fffe }, digest);
  t.strictSame(eventsOf(parseSegment(cover.bytes, digest), 1), []);
});

function read(bytes: Uint8Array): string {
  try {
    eventsOf(parseSegment(bytes, digest), 1);
    return "read";
  } catch (error) {
    if (error instanceof TidemarkError) return error.code;
    throw error;
  }
}

/** Changed, with a checksum that fits. */
function changed({ bytes }: Segment, change: (view: DataView) => void): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  change(view);
  view.setUint32(copy.length - 4, digest.crc32(copy.subarray(0, -4)));
  return copy;
}

t.test("what is no cover is refused, and never read past its end", async (t) => {
  const cover = encodeCover({ ...draft, span }, digest);
  const cases: [string, (view: DataView) => void, string][] = [
    ["a flag of a newer version", (view) => view.setUint8(2, 4), "FORMAT_NEWER"],
    ["a reason of a newer version", (view) => view.setUint8(3, 9), "FORMAT_NEWER"],
    ["no reason", (view) => view.setUint8(3, 0), "FORMAT_NEWER"],
    ["a range of nothing", (view) => view.setUint32(26, 0), "SEGMENT_CORRUPT"],
    ["a range shorter than its events", (view) => view.setUint32(26, 9), "EVENT_INVALID"],
    ["fewer sequences than events", (view) => view.setUint32(26, 2), "SEGMENT_CORRUPT"],
    ["a range that begins later", (view) => view.setUint32(22, 12), "SEGMENT_CORRUPT"],
    ["too many events", (view) => view.setUint32(98, 4), "SEGMENT_CORRUPT"],
    ["too few", (view) => view.setUint32(98, 2), "SEGMENT_CORRUPT"],
    ["a table that is too long", (view) => view.setUint32(102, 3), "SEGMENT_CORRUPT"],
    ["a past that is whole before its end", (view) => view.setUint32(110, 1), "SEGMENT_CORRUPT"],
    ["an entry that is not there", (view) => view.setUint32(114 + 1 + 23, 7), "SEGMENT_CORRUPT"],
    ["a position past its span", (view) => view.setUint32(114 + 1 + 23 + 12 + 16 + 8, 20), "SEGMENT_CORRUPT"],
    ["positions that fall", (view) => view.setUint32(114 + 1 + 23 + 12 + 16 + 4, 0), "SEGMENT_CORRUPT"],
    ["no positions", (view) => view.setUint8(2, 0), "SEGMENT_CORRUPT"],
  ];
  t.equal(read(changed(cover, () => undefined)), "read");
  for (const [what, change, code] of cases) t.equal(read(changed(cover, change)), code, what);
  t.equal(read(cover.bytes.subarray(0, 60)), "SEGMENT_CORRUPT");
  for (let at = 0; at < cover.bytes.length - 4; at += 1) {
    for (const bit of [1, 16, 128]) {
      const flip = (view: DataView): void => view.setUint8(at, view.getUint8(at) ^ bit);
      t.match(read(changed(cover, flip)), /^(read|SEGMENT_CORRUPT|FORMAT_NEWER|EVENT_INVALID)$/);
    }
  }
});
