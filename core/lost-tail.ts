/**
 * The end of a log that nobody else holds. LevelDB may lose the newest of its write-ahead log without a word, and no
 * sequence is missing then. Who finds out goes on under another name, and closes the old one where it is known to have
 * ended: so what lacks up to there is a problem of the log until somebody gives it up, by closing it where it ends here.
 */
import { type Draft, type Incarnation, type LogId, clusterLog, sideOf } from "./event.ts";
import { openedDraft } from "./generations.ts";
import type { History } from "./history.ts";
import type { Log } from "./log.ts";
import type { LogState } from "./log-open.ts";
import { type Problem, isOpen } from "./replay.ts";

/** What is wrong with what is stored of a log, and was not put right since. */
export function openProblems(log: LogId, { problems, histories, identity }: LogState): Problem[] {
  const open = problems.filter((problem) => isOpen(problem, histories, identity.removed));
  return [...open, ...lostTails(log, histories)];
}

/** Of other logs the other side sends what lacks. */
export function lostTails(log: LogId, histories: ReadonlyMap<Incarnation, History>): Problem[] {
  if (log !== clusterLog) return [];
  const lost: Problem[] = [];
  for (const { origin, top, closedAt = 0 } of histories.values())
    if (top < closedAt) lost.push({ code: "LOG_GAP", origin, from: top + 1, to: closedAt });
  return lost;
}

/**
 * What closes older names of such a log, each at an end. One without a generation counts as the latest: so all older ones
 * get one too, in the order in which they came.
 */
export function closingDrafts(
  {
    incarnation: live,
    histories,
    registers: { generations },
  }: Pick<Log, "incarnation" | "histories" | "registers">,
  ends: ReadonlyMap<Incarnation, number>,
): Draft[] {
  const older = [...histories.keys()].filter((origin) => sideOf(origin) === "cloud" && origin !== live);
  let generation = Math.max(0, ...generations.values());
  const drafts: Draft[] = [];
  for (const incarnation of older) {
    if (generations.has(incarnation)) continue;
    generation += 1;
    drafts.push(openedDraft({ incarnation, generation, previous: undefined, end: 0 }));
  }
  generation = generations.get(live) ?? generation + 1;
  for (const [previous, end] of ends)
    drafts.push(openedDraft({ incarnation: live, generation, previous, end }));
  return drafts;
}
