/** What a log can't get back from anyone: given up by a person, and noted. */
import { TidemarkError } from "./errors.ts";
import { droppedDraft } from "./log-dropped.ts";
import { type Incarnation, clusterLog } from "./event.ts";
import type { Log } from "./log.ts";
import { closingDrafts } from "./lost-tail.ts";
import { type Problem, rangeText } from "./replay.ts";

/**
 * Why a range can't be given up here; undefined when it can. A side's own live origin goes on under a new incarnation;
 * of any other, whoever wrote it says where it ends: in a log that nobody else has, this side.
 */
export function keepsBack(
  { id, incarnation }: Pick<Log, "id" | "incarnation">,
  { origin }: Problem,
): string | undefined {
  if (origin === undefined || origin === incarnation || id === clusterLog) return undefined;
  return "the other side has it, or says at the next connection that it is lost there too; nothing waits for it";
}

/**
 * Gives up what is missing: what this side wrote after a hole in its own events is appended again under a new
 * incarnation, and positions that nothing names are accounted for. Of a log that nobody else has, older names end where
 * they end here, whatever is said to have been of them. Each range is noted as `log.dropped`.
 * @throws INVALID for a range that is kept back: nothing was changed
 */
export async function giveUp(log: Log, ranges: readonly Problem[]): Promise<void> {
  for (const range of ranges) {
    const reason = keepsBack(log, range);
    if (reason !== undefined)
      throw new TidemarkError("INVALID", `${rangeText(range)} is not given up: ${reason}`);
  }
  const { incarnation: live, histories } = log;
  const ends = new Map<Incarnation, number>();
  for (const { origin } of ranges)
    if (origin !== undefined && origin !== live) ends.set(origin, histories.get(origin)?.end ?? 0);
  const own = histories.get(live);
  const isOwn = ranges.some(({ origin }) => origin === live);
  // What is past the hole follows nothing that anyone has.
  if (isOwn && own?.hole !== undefined) {
    await log.reincarnate(own.end);
    if (log.id === clusterLog) ends.set(live, own.end);
  }
  if (ends.size > 0) await log.appended(closingDrafts(log, ends));
  await accountLost(log);
  await log.appended(
    ranges.map(({ origin = null, from, to }) => droppedDraft(log.id, { origin, from, to, reason: "damage" })),
  );
}

/**
 * Both sides hold the same. Where nothing is known to be missing of any origin, what lay at positions that were lost with
 * their names has come back at others. Resolves when that is noted on the disk.
 */
export async function accountLost(log: Log): Promise<void> {
  const lost = log.problems.filter(({ origin }) => origin === undefined);
  // Past where an incarnation was closed, nothing is missing.
  const isDense = [...log.histories.values()].every(({ hole, closedAt = Infinity }) => {
    return hole === undefined || hole.from > closedAt;
  });
  if (lost.length > 0 && isDense) await log.accountFor(lost.map(({ from, to }) => ({ from, to })));
}
