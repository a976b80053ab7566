import * as fc from "fast-check";
import t from "tap";
import { type Verdict, compare } from "../../protocol/link/comparison.ts";
import { type Claim, positionsToCheck } from "../../protocol/link/heads.ts";
import { maxMarks } from "../../protocol/link/limits.ts";
import { digest } from "./link-pair.ts";

const text = new TextEncoder();

/** A history as its commit boundaries: the events of each commit, and the chain hash after it. */
class Chain {
  readonly hashes = new Map<number, Uint8Array>();
  end = 0;

  commit(count: number, content: string): this {
    const before = this.hashes.get(this.end) ?? new Uint8Array(32);
    this.end += count;
    this.hashes.set(this.end, digest.sha256(before, text.encode(content)));
    return this;
  }

  copy(): Chain {
    const copy = new Chain();
    copy.end = this.end;
    for (const [seq, hash] of this.hashes) copy.hashes.set(seq, hash);
    return copy;
  }

  /** What this replica claims, answering the boundaries that the owner named. */
  claim(named: Iterable<number>, closedAt?: number): Claim {
    const marks = [...named].flatMap((seq) => {
      const hash = this.hashes.get(seq);
      return hash === undefined ? [] : [{ seq, hash }];
    });
    return { end: this.end, hash: this.hashes.get(this.end) ?? new Uint8Array(32), marks, closedAt };
  }

  boundaries(from: number, to: number): number[] {
    return [...this.hashes.keys()].filter((seq) => seq > from && seq <= to);
  }
}

interface Known {
  /** What an earlier round found. */
  readonly agreed?: number;
  /** What the peer once said to have. */
  readonly acked?: number;
}

function verdictOf(
  mine: Chain,
  claim: Claim,
  named: Iterable<number> = [],
  known: Known = {},
): Promise<Verdict> {
  const hashes = new Map<number, Uint8Array>();
  for (const seq of positionsToCheck(claim, mine.end)) {
    const hash = mine.hashes.get(seq);
    if (hash !== undefined) hashes.set(seq, hash);
  }
  const boundaryAfter = async (seq: number): Promise<number | undefined> => mine.boundaries(seq, mine.end)[0];
  return compare({ end: mine.end, claim, hashes, named: new Set(named), ...known, boundaryAfter });
}

function chain(...contents: readonly string[]): Chain {
  const made = new Chain();
  for (const content of contents) made.commit(1, content);
  return made;
}

t.test("a peer with a part of mine, or all, or nothing, agrees", async (t) => {
  for (const theirs of [chain(), chain("a"), chain("a", "b")]) {
    t.same(await verdictOf(chain("a", "b"), theirs.claim([])), { kind: "agrees" });
  }
});

t.test("what an earlier round found to agree is not looked for again", async (t) => {
  // All that was named this time lies past the parting: without the earlier round it would begin at the start again.
  const mine = chain("a", "b", "c").commit(3, "x").commit(1, "y");
  const theirs = chain("a", "b", "c").commit(3, "p").commit(1, "q");
  const answer = theirs.claim([6, 7]);
  t.same(await verdictOf(mine, answer, [6, 7], { agreed: 3 }), { kind: "rolledBack", common: 3 });
  t.same(await verdictOf(mine, answer, [6, 7]), { kind: "narrow", from: 0, to: 6 });
  const less = chain("a", "b").claim([]);
  t.same(
    await verdictOf(mine, less, [], { agreed: 3 }),
    { kind: "agrees" },
    "a peer that has less now is taken at its word",
  );
});

t.test(
  "what the peer once had is shared, though it has forgotten the commits, unless a hash says otherwise",
  async (t) => {
    const mine = chain("a", "b", "c", "d");
    const theirs = chain("a", "b", "c", "p", "q", "r");
    const forgotten = theirs.claim([]);
    const named = [1, 2, 3, 4];
    t.same(await verdictOf(mine, forgotten, named, { acked: 3 }), { kind: "rolledBack", common: 3 });
    t.same(await verdictOf(mine, forgotten, named, { acked: 0 }), { kind: "rolledBack", common: 0 });
    const answered = theirs.claim([4]);
    t.same(await verdictOf(mine, answered, named, { acked: 3 }), { kind: "rolledBack", common: 3 });
    t.same(
      await verdictOf(mine, answered, named, { acked: 4 }),
      { kind: "rolledBack", common: 0 },
      "a hash speaks against it",
    );
    t.same(
      await verdictOf(mine, chain("a").claim([]), [], { acked: 3 }),
      { kind: "agrees" },
      "a peer that has less now",
    );
  },
);

t.test("a peer that has all of mine and more says that I was rolled back, and to where", async (t) => {
  const theirs = chain("a", "b", "c", "d");
  t.same(await verdictOf(chain("a", "b"), theirs.claim([2]), [2]), { kind: "rolledBack", common: 2 });
});

t.test("where the parting lies between what was named, boundaries are named in between", async (t) => {
  const mine = chain("a", "b", "x", "y");
  const theirs = chain("a", "b", "c", "d", "e");
  t.same(await verdictOf(mine, theirs.claim([1, 4]), [1, 4]), { kind: "narrow", from: 1, to: 4 });
  t.same(await verdictOf(mine, theirs.claim([2, 3, 4]), [2, 3, 4]), { kind: "rolledBack", common: 2 });
});

t.test("a boundary of mine at which the peer committed nothing is a difference", async (t) => {
  const mine = chain("a").commit(2, "b");
  const theirs = chain("a").commit(3, "c");
  t.same(await verdictOf(mine, theirs.claim([1, 3]), [1, 3]), { kind: "rolledBack", common: 1 });
});

t.test("my live incarnation was closed: what lies past that is mine alone", async (t) => {
  const mine = chain("a", "b", "c");
  t.same(await verdictOf(mine, chain("a", "b").claim([], 2)), { kind: "rolledBack", common: 2 });
  t.same(await verdictOf(mine, mine.claim([], 3)), { kind: "rolledBack", common: 3 });
});

t.test("naming again and again finds the exact point of parting, in few rounds", async (t) => {
  const commits = fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 200 });
  await fc.assert(
    fc.asyncProperty(commits, commits, commits, async (shared, here, there) => {
      const common = new Chain();
      for (const count of shared) common.commit(count, "shared");
      const mine = common.copy();
      const theirs = common.copy();
      for (const count of here) mine.commit(count, "mine");
      for (const count of there) theirs.commit(count, "theirs");
      let named = new Set([mine.end]);
      for (let round = 0; round < 5; round += 1) {
        const verdict = await verdictOf(mine, theirs.claim(named), named);
        if (verdict.kind === "agrees") return there.length === 0;
        if (verdict.kind === "rolledBack") return there.length > 0 && verdict.common === common.end;
        const inside = mine.boundaries(verdict.from, verdict.to);
        const step = Math.ceil(inside.length / maxMarks);
        named = new Set(inside.filter((_, index) => index % step === 0));
      }
      return false;
    }),
    { numRuns: 300 },
  );
  t.pass("in at most five rounds for 400 commits");
});
