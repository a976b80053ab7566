import * as fc from "fast-check";
import t from "tap";
import { decodeEvents, encodeEvent, eventOf, maxEventBytes, pack } from "../../core/codec.ts";
import { TidemarkError } from "../../core/errors.ts";
import type { Body, Draft, Event } from "../../core/event.ts";
import { canonical } from "../../core/projection.ts";
import { maxDepth } from "../../core/plain.ts";
import { anyDraft, anyUnits, c1, n1 } from "./drafts.ts";

const seen = [{ origin: c1, seq: 3 }];
const plainDraft: Draft = { type: "said", class: "message", key: "hall", body: null };

function decode(bytes: Uint8Array, count = 1, lo = 1): Event[] {
  return decodeEvents(bytes, { origin: n1, lo, count, seen, position: 1 });
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** The bytes of an event whose body is these bytes. */
function withBody(body: Iterable<number>): Uint8Array {
  return Uint8Array.from([0x98, 1, 2, 3, 0xa1, 0x61, 0xa1, 0x62, 0xc0, 0xc0, ...body]);
}

/** Only the two codes that say so; anything else is a bug. */
function codeOf(run: () => unknown): string {
  try {
    run();
    return "none";
  } catch (error) {
    if (error instanceof TidemarkError) return error.code;
    throw error;
  }
}

t.test("any event comes back as its writer holds it", async (t) => {
  const time = fc.integer({ min: 0, max: 5e12 });
  fc.assert(
    fc.property(
      fc.array(anyDraft, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 1e12 }),
      time,
      (drafts, lo, time) => {
        const bytes = concat(drafts.map((draft, index) => encodeEvent(draft, lo + index, time)));
        const events = decode(bytes, drafts.length, lo);
        const written = drafts.map((draft, index) => {
          const event = eventOf(draft, { origin: n1, seq: lo + index, time, seen });
          return { ...event, position: index + 1 };
        });
        const bodies = (list: readonly Event[]): unknown =>
          list.map(({ body }) => Buffer.from(canonical(body)).toString("hex"));
        t.strictSame(bodies(events), bodies(written));
        t.strictSame(
          events.map((event) => ({ ...event, body: null })),
          written.map((event) => ({ ...event, body: null })),
        );
      },
    ),
    { numRuns: 300 },
  );
});

t.test("text that is no text is refused when it is written, or reads as it was written", async () => {
  fc.assert(
    fc.property(anyUnits, (text) => {
      let bytes: Uint8Array;
      try {
        bytes = encodeEvent({ ...plainDraft, body: [text] }, 1, 2);
      } catch (error) {
        return (
          error instanceof TidemarkError && error.code === "EVENT_INVALID" && /\p{Surrogate}/u.test(text)
        );
      }
      const [event] = decode(bytes);
      return (event?.body as readonly string[] | undefined)?.[0] === Buffer.from(text).toString();
    }),
    { numRuns: 1000 },
  );
});

t.test("bytes of a body are a copy: they keep nothing else alive", async (t) => {
  const bytes = encodeEvent({ ...plainDraft, body: Uint8Array.of(1, 2, 3) }, 1, 2);
  const whole = new Uint8Array(100_000);
  whole.set(bytes);
  const body = decode(whole.subarray(0, bytes.length))[0]?.body as Uint8Array;
  t.strictSame([...body], [1, 2, 3]);
  t.not(body.buffer, whole.buffer);
});

t.test("an event over the limit is refused, one at the limit is not", async (t) => {
  const overhead = encodeEvent({ ...plainDraft, body: new Uint8Array(100_000) }, 1, 2).length - 100_000;
  const body = (size: number): Draft => ({ ...plainDraft, body: new Uint8Array(size - overhead) });
  t.equal(encodeEvent(body(maxEventBytes), 1, 2).length, maxEventBytes);
  t.throws(() => encodeEvent(body(maxEventBytes + 1), 1, 2), { code: "EVENT_TOO_LARGE" });
});

t.test("what no reader would take is not written", async (t) => {
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  const nested = (depth: number): Body => (depth === 0 ? [] : [nested(depth - 1)]);
  const bodies: [string, unknown][] = [
    ["a date", new Date(0)],
    ["a key __proto__", JSON.parse('{"a":[{"__proto__":1}]}')],
    ["half a letter", ["\ud800"]],
    ["deep nesting", nested(maxDepth)],
    ["deeper nesting", nested(5000)],
    ["itself", cyclic],
  ];
  for (const [name, body] of bodies) {
    t.throws(() => encodeEvent({ ...plainDraft, body: body as Body }, 1, 2), { code: "EVENT_INVALID" }, name);
  }
  t.ok(encodeEvent({ ...plainDraft, body: nested(maxDepth - 3) }, 1, 2));
  const after = decode(encodeEvent({ ...plainDraft, body: { a: [1] } }, 1, 2));
  t.strictSame(after[0]?.body, { a: [1] }, "a refusal leaves nothing behind");
});

t.test("a key that only looks like __proto__ is a key", async (t) => {
  for (const key of ["\0__proto__", "__proto__x", "__proto_", "x".repeat(40) + "__proto__"]) {
    t.same(decode(encodeEvent({ ...plainDraft, body: { [key]: 1 } }, 1, 2))[0]?.body, { [key]: 1 });
  }
});

t.test("a field that is undefined is absent", async (t) => {
  const body = { a: undefined, b: 1 } as unknown as Body;
  const [event] = decode(encodeEvent({ ...plainDraft, body }, 1, 2));
  t.strictSame(canonical(event?.body), canonical({ b: 1 }));
});

t.test("longer arrays of newer writers are read, and what they add is ignored", async (t) => {
  const bytes = pack([1, 2, 3, "said", "hall", null, null, "hello", null, null, "new", { newer: true }]);
  t.match(decode(bytes), [{ type: "said", class: "message", key: "hall", body: "hello" }]);
});

t.test("a row that is no event is EVENT_INVALID", async (t) => {
  const rows: [string, unknown][] = [
    ["no array", { seq: 1 }],
    ["too short", [1, 2, 3, "said"]],
    ["another sequence", [2, 2, 3, "said", "hall"]],
    ["no sequence", [null, 2, 3, "said", "hall"]],
    ["a time that is none", [1, Number.NaN, 3, "said", "hall"]],
    ["a class that is none", [1, 2, 99, "said", "hall"]],
    ["a class by name", [1, 2, "length", "said", "hall"]],
    ["a type that is no text", [1, 2, 3, 5, "hall"]],
    ["a key that is no text", [1, 2, 3, "said", null]],
    ["a slot that is no text", [1, 2, 3, "said", "hall", 5]],
    ["a life that is no id", [1, 2, 3, "said", "hall", "spec", "x/1"]],
    ["a cause that is no id", [1, 2, 3, "said", "hall", null, null, null, "c0000000000001/0"]],
  ];
  for (const [name, row] of rows) t.throws(() => decode(pack(row)), { code: "EVENT_INVALID" }, name);
});

t.test("more or fewer events than declared are EVENT_INVALID", async (t) => {
  const bytes = concat([encodeEvent(plainDraft, 1, 2), encodeEvent(plainDraft, 2, 2)]);
  t.equal(decode(bytes, 2).length, 2);
  for (const count of [1, 3]) t.throws(() => decode(bytes, count), { code: "EVENT_INVALID" });
});

t.test("hostile bytes are EVENT_INVALID, at no cost", async (t) => {
  const bodies: [string, number[]][] = [
    ["an array of 4 G items", [0xdd, 0xff, 0xff, 0xff, 0xff]],
    ["an array of 16 M items", [0xdd, 0x01, 0, 0, 0]],
    ["arrays of 16 M items in one another", Array.from({ length: 60 }, () => [0xdd, 0x01, 0, 0, 0]).flat()],
    ["a map of 4 G entries", [0xdf, 0xff, 0xff, 0xff, 0xff]],
    ["text of 4 GB", [0xdb, 0xff, 0xff, 0xff, 0xff, 0x61]],
    ["text longer than what is there", [0xd9, 200, 0x61]],
    ["bytes of 4 GB", [0xc6, 0xff, 0xff, 0xff, 0xff, 0x61]],
    ["a million arrays in one another", Array.from({ length: 1_000_000 }, () => 0x91)],
    ["a key __proto__", [0x81, 0xa9, ...Buffer.from("__proto__"), 0x81, 0xa1, 0x61, 1]],
    ["a long key __proto__", [0x81, 0xda, 0, 9, ...Buffer.from("__proto__"), 1]],
    ["a key that is a map", [0x81, 0x80, 1]],
    ["a key that is a number", [0x81, 1, 1]],
    ["a date", [0xd6, 0xff, 0, 0, 0, 1]],
    ["an error", [0xc7, 3, 0x65, 0x91, 0xa1, 0x41]],
    ["a record's shape", [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 1]],
    ["a shape, and a record", [0x92, 0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 1, 0x40, 2]],
    ["half a letter", [0xa2, 0xc3, 0x28]],
    ["half a pair", [0xa3, 0xed, 0xa0, 0x80]],
    ["an overlong letter", [0xa2, 0xc0, 0xaf]],
    ["the byte that msgpack never uses", [0xc1]],
  ];
  for (const [name, body] of bodies) {
    const before = process.memoryUsage().rss;
    t.throws(() => decode(withBody(body)), { code: "EVENT_INVALID" }, name);
    t.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024, `${name} takes no memory`);
  }
  t.equal(({} as Record<string, unknown>)["a"], undefined, "no prototype is touched");
  t.strictSame(decode(withBody([0xa2, 0x68, 0x69]))[0]?.body, "hi");
});

t.test("whatever the bytes, it is events or EVENT_INVALID", async () => {
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 200, size: "max" }),
    fc.uint8Array({ maxLength: 60, size: "max" }).map((body) => withBody(body)),
  );
  fc.assert(
    fc.property(anyBytes, (bytes) => ["none", "EVENT_INVALID"].includes(codeOf(() => decode(bytes)))),
    { numRuns: 3000 },
  );
});
