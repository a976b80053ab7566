/**
 * Compares a replay with what another build printed of the same log: the first checkpoint at which they part. Every one
 * of the file's checkpoints is looked at, in order, because states that parted can meet again.
 */
import { TidemarkError } from "../../core/errors.ts";
import { type Event, eventId } from "../../core/event.ts";
import { type Difference, differences } from "./difference.ts";
import type { Rebuild, ReplayRow } from "./rebuild.ts";

export interface Parting {
  /** The first checkpoint at which the states differ. */
  readonly position: number;
  /** The last one at which they did not, if any: what parted them is after it. */
  readonly since: number | undefined;
  /** The event that parted them, where it is known to be this one. */
  readonly event: string | undefined;
  readonly key: string | undefined;
  readonly type: string | undefined;
  readonly theirs: string;
  readonly ours: string;
  /** Of the two states, where the file has its own: `before` is the file's, `after` this build's. */
  readonly differences: readonly Difference[] | undefined;
}

export interface Comparison {
  /** Checkpoints that were the same. */
  readonly same: number;
  /** Undefined where none differed. */
  readonly parted: Parting | undefined;
  /** A position that the file goes on to, and this log does not reach. */
  readonly beyond: number | undefined;
}

const differencesMax = 20;

/** @throws USAGE when the file can't be compared with this */
export async function compare(
  rebuild: Rebuild,
  theirs: AsyncIterable<ReplayRow>,
  projection: string,
): Promise<Comparison> {
  const rows = theirs[Symbol.asyncIterator]();
  const comparing = new Comparing(rebuild);
  let next = await rows.next();
  const catchUp = async (before: number): Promise<boolean> => {
    while (next.done !== true && next.value.position < before) {
      checkRow(next.value, projection);
      if (!comparing.isSame(next.value)) return false;
      next = await rows.next();
    }
    return true;
  };
  let isSame = true;
  walk: for await (const events of rebuild.batches()) {
    for (const event of events) {
      isSame = await catchUp(event.position);
      if (!isSame || next.done === true) break walk;
      comparing.apply(event);
    }
  }
  if (isSame) isSame = await catchUp(rebuild.position + 1);
  const beyond = isSame && next.done !== true ? next.value.position : undefined;
  if (isSame && comparing.same === 0) {
    throw new TidemarkError(
      "USAGE",
      "the file to compare with has no checkpoint of this range: make it with `tidemark replay --json` of the same log",
    );
  }
  return { same: comparing.same, parted: comparing.parted, beyond };
}

class Comparing {
  readonly #rebuild: Rebuild;
  #last: Event | undefined;
  #since: number | undefined;
  same = 0;
  parted: Parting | undefined;

  constructor(rebuild: Rebuild) {
    this.#rebuild = rebuild;
  }

  apply(event: Event): void {
    this.#rebuild.apply(event);
    this.#last = event;
  }

  /** @param theirs of the position that was reached; earlier ones than the beginning are passed over */
  isSame(theirs: ReplayRow): boolean {
    const { position } = theirs;
    if (position < (this.#rebuild.header?.from ?? 1) - 1) return true;
    const { stateHash } = this.#rebuild.row(false);
    if (stateHash === theirs.stateHash) {
      this.same += 1;
      this.#since = position;
      return true;
    }
    // Only the event between two checkpoints that follow one another can have done it.
    const culprit =
      this.#since === position - 1 && this.#last?.position === position ? this.#last : undefined;
    this.parted = {
      position,
      since: this.#since,
      event: culprit && eventId(culprit.origin, culprit.seq),
      key: culprit?.key,
      type: culprit?.type,
      theirs: theirs.stateHash,
      ours: stateHash,
      differences:
        theirs.state === undefined
          ? undefined
          : differences(theirs.state, this.#rebuild.shown(), differencesMax),
    };
    return false;
  }
}

function checkRow({ projection, position, stateHash }: ReplayRow, wanted: string): void {
  if (!Number.isSafeInteger(position) || typeof stateHash !== "string") {
    throw new TidemarkError(
      "USAGE",
      "the file to compare with is not the output of `tidemark replay --json`",
    );
  }
  if (projection !== wanted) {
    throw new TidemarkError(
      "USAGE",
      `the file is of the projection ${projection}, and this of ${wanted}: add --projection ${projection}`,
    );
  }
}
