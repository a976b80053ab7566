/**
 * Finding the exact commit at which two copies of one origin part, when its owner was rolled back.
 *
 * Each side's statement names commit boundaries of its own live origin, and says its hashes at the boundaries that the
 * peer named last. Where that leaves a bracket the owner names boundaries inside it and connects again: 32 at a time,
 * so a million commits take four rounds.
 */
import type { Claim } from "./heads.ts";
import { bytesEqual } from "../../core/segment.ts";

export type Verdict =
  | { readonly kind: "agrees" }
  /** All after `common` is mine alone, and must be appended again under a new incarnation. */
  | { readonly kind: "rolledBack"; readonly common: number }
  /** The histories part after `from` and not after `to`: name boundaries in between, and compare again. */
  | { readonly kind: "narrow"; readonly from: number; readonly to: number };

export interface Compared {
  /** The latest sequence of the origin that its owner holds. */
  readonly end: number;
  /** The peer's claim about it. */
  readonly claim: Claim;
  /** The owner's hashes at the claim's positions, as far as they are commit boundaries. */
  readonly hashes: ReadonlyMap<number, Uint8Array>;
  /** The boundaries that the claim answers. */
  readonly named: ReadonlySet<number>;
  /** Up to where an earlier round found both to agree: its answers are not repeated. 0 unless said. */
  readonly agreed?: number | undefined;
  /**
   * Up to where the peer once said to have it: it may have forgotten since at which commits that was. Counts unless a
   * hash speaks against it. 0 unless said.
   */
  readonly acked?: number | undefined;
  /** The owner's first commit boundary after a sequence. */
  readonly boundaryAfter: (seq: number) => Promise<number | undefined>;
}

export async function compare(compared: Compared): Promise<Verdict> {
  const { end, claim, named, boundaryAfter } = compared;
  const { common, differsAt } = agreement(compared);
  const closed = claim.closedAt !== undefined;
  if (differsAt === undefined && claim.end <= end && !closed) return { kind: "agrees" };
  if (closed && common >= (claim.closedAt ?? 0))
    return { kind: "rolledBack", common: claim.closedAt ?? common };
  const next = await boundaryAfter(common);
  // Named, and the peer could not agree to it, or not before the two differ: that is where they part.
  const partsHere = next === undefined || named.has(next) || next >= (differsAt ?? Number.POSITIVE_INFINITY);
  if (partsHere) return { kind: "rolledBack", common };
  return { kind: "narrow", from: common, to: Math.min(differsAt ?? end, end) };
}

/** The highest sequence at which owner and claim agree (0 if none), and the first named one at which they differ. */
export function agreement({
  end,
  claim,
  hashes,
  agreed = 0,
  acked = 0,
}: Pick<Compared, "end" | "claim" | "hashes" | "agreed" | "acked">): {
  common: number;
  differsAt: number | undefined;
} {
  let common = agreed <= claim.end ? agreed : 0;
  const marks = [...claim.marks, { seq: claim.end, hash: claim.hash }].toSorted((a, b) => a.seq - b.seq);
  for (const { seq, hash } of marks) {
    if (seq <= common || seq > end) continue;
    const mine = hashes.get(seq);
    // The chain carries a difference forward: nothing after this can agree.
    if (mine === undefined || !bytesEqual(mine, hash)) {
      return { common: acked < seq ? Math.max(common, acked) : common, differsAt: seq };
    }
    common = seq;
  }
  return { common: Math.max(common, Math.min(acked, end, claim.end)), differsAt: undefined };
}
