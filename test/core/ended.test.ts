/** What `lives.ended` says, and what is read of what it does not say. */
import * as fc from "fast-check";
import t from "tap";
import { type Ended, endedDraft, isEnded, joinEnded, readEnded } from "../../core/ended.ts";
import type { Body, Event, Incarnation } from "../../core/event.ts";
import { joined } from "../../core/history.ts";
import { anyBody, c1, c2, n1 } from "./drafts.ts";
import { event } from "./histories.ts";

const anyRanges = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.nat(4)), { minLength: 1, maxLength: 12 })
  .map((pairs) => joined(pairs.map(([from, more]) => ({ from, to: from + more }))));
const anyEnded: fc.Arbitrary<Ended> = fc
  .tuple(anyRanges, anyRanges)
  .map(([first, second]) => new Map([[c1, first] as const, [c2, second] as const]));

/** All that it says of sequences up to 70. */
function listed(ended: Ended): string[] {
  const ids: string[] = [];
  for (const origin of [c1, c2]) {
    for (let seq = 1; seq <= 70; seq += 1) if (isEnded(ended, { origin, seq })) ids.push(`${origin}/${seq}`);
  }
  return ids;
}

function said(body: Body, change: Partial<Event> = {}): Event {
  return { ...event(c2, 5, { ...endedDraft(new Map()), body }), ...change };
}

t.test("what is written is what is read", async () => {
  fc.assert(
    fc.property(anyEnded, (ended) => {
      const read = readEnded(event(c1, 1, endedDraft(ended)));
      return read !== undefined && JSON.stringify([...read]) === JSON.stringify([...ended]);
    }),
  );
});

t.test("two say together what each says, in either order, and in the fewest ranges", async () => {
  fc.assert(
    fc.property(anyEnded, anyEnded, (some, more) => {
      const both = joinEnded(some, more);
      const each = new Set([...listed(some), ...listed(more)]);
      const ranges = both.get(c1) ?? [];
      const parted = ranges.every(({ to }, index) => to + 1 < (ranges[index + 1]?.from ?? Infinity));
      const other = joinEnded(more, some);
      const isSame = String(listed(both)) === String(listed(other));
      return (
        isSame && parted && listed(both).length === each.size && listed(both).every((id) => each.has(id))
      );
    }),
  );
});

t.test("what is none says nothing, and nothing makes it throw", async (t) => {
  fc.assert(
    fc.property(anyBody, (body) => {
      const read = readEnded(said({ [c1]: body }));
      return read !== undefined && listed(read).every((id) => id.startsWith(c1));
    }),
  );
  const empty: readonly Body[] = [
    {},
    { [n1]: [1, 9] },
    { [c1]: [9, 1] },
    { [c1]: ["1", 9] },
    { [c1]: [0, 9] },
    { [c1]: [3] },
    { x: [1, 2] },
  ];
  for (const body of empty) t.strictSame(readEnded(said(body)), new Map(), JSON.stringify(body));
  t.strictSame(readEnded(said(null)), undefined);
  t.strictSame(
    readEnded(said({ [c1]: [1, 9] }, { origin: n1 })),
    undefined,
    "a node says nothing of the kind",
  );
  t.strictSame(readEnded(said({ [c1]: [1, 9] }, { type: "lives.began" })), undefined);
  t.strictSame(
    readEnded(said({ [c1]: [1, 9] }, { cause: "c0000000000001/4" as Event["cause"] })),
    undefined,
    "what was appended again",
  );
  const ranges = [{ from: 1, to: 9 }];
  t.strictSame(readEnded(said({ [c1]: [4, 9, 1, 3] })), new Map<Incarnation, unknown>([[c1, ranges]]));
});
