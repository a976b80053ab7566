/** Arbitrary events, for properties. */
import * as fc from "fast-check";
import {
  type Body,
  type Draft,
  type EventId,
  type Incarnation,
  eventClasses,
  eventId,
} from "../../core/event.ts";

export const c1 = "c0000000000001" as Incarnation;
export const c2 = "c0000000000002" as Incarnation;
export const n1 = "n0000000000001" as Incarnation;
export const n2 = "n0000000000002" as Incarnation;
export const n3 = "n0000000000003" as Incarnation;

export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 20, size: "max" }),
  fc.string({ unit: "binary", maxLength: 40, size: "max" }),
  fc.string({ unit: "grapheme", minLength: 30, maxLength: 300, size: "max" }),
);

/** Text as a program may hold it: halves of surrogate pairs too. */
export const anyUnits: fc.Arbitrary<string> = fc
  .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40, size: "max" })
  .map((units) => String.fromCharCode(...units));

const { body } = fc.letrec<{ body: Body }>((tie) => ({
  body: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.double({ noNaN: true }).map((value) => (Object.is(value, -0) ? 0 : value)),
    anyText,
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie("body"), { maxLength: 5 }),
    fc.dictionary(
      anyText.filter((name) => name !== "__proto__"),
      tie("body"),
      { maxKeys: 5 },
    ),
  ),
}));

export const anyBody: fc.Arbitrary<Body> = body;

const anyId: fc.Arbitrary<EventId> = fc
  .tuple(fc.constantFrom(c1, c2, n1), fc.integer({ min: 1, max: 1e15 }))
  .map(([origin, seq]) => eventId(origin, seq));

export const anyDraft: fc.Arbitrary<Draft> = fc.record({
  type: anyText,
  class: fc.constantFrom(...eventClasses),
  key: anyText,
  slot: fc.option(anyText, { nil: undefined }),
  life: fc.option(anyId, { nil: undefined }),
  body: anyBody,
  cause: fc.option(anyId, { nil: undefined }),
  deletes: fc.option(fc.boolean(), { nil: undefined }),
});
