import { type Incarnation } from "./event.ts";
import type { History } from "./history.ts";
import type { Log } from "./log.ts";
import { beginningOf, checkpointBefore } from "./log-start.ts";
import { lostTails } from "./lost-tail.ts";
import { type Problem, type ReplayResult, absorbBeyond, historyOf, replay } from "./replay.ts";
import { hex } from "./segment.ts";

export type { Log } from "./log.ts";

export interface VerifyResult {
  readonly result: ReplayResult;
  /** Of each origin: what is held without a gap, and the chain hash after it. */
  readonly origins: Readonly<Record<string, { first: number; last: number; hash: string }>>;
}

/**
 * Walks everything that is stored of a log, from its first position: checksums, events, density, hash chains.
 * @param onProgress events walked so far
 */
export async function verifyLog(log: Log, onProgress?: (events: number) => void): Promise<VerifyResult> {
  const { store, digest, removed } = log.stored;
  const from = await beginningOf(log);
  // A copy of a slice begins with a checkpoint, which says what came before.
  const { histories } =
    from === 1 ? { histories: new Map<Incarnation, History>() } : await checkpointBefore(log, from);
  // Where an incarnation ends is said by the log itself: what was past that is not missing.
  for (const { origin, closedAt } of log.histories.values()) historyOf(histories, origin).closedAt = closedAt;
  // What the log says that it holds: a checkpoint may say so of what is not there any more.
  const said = [...log.histories.values()].map(({ origin, end }) => ({ origin, end }));
  const result = await replay({
    store,
    log: log.id,
    digest,
    from,
    removed,
    histories,
    take: () => {},
    onProgress,
  });
  const origins: Record<string, { first: number; last: number; hash: string }> = {};
  for (const history of histories.values()) {
    await absorbBeyond({ store, log: log.id, digest, history });
    if (history.top === 0) continue;
    origins[history.origin] = {
      first: history.end === 0 ? 0 : 1,
      last: history.end,
      hash: hex(history.hash),
    };
  }
  for (const { origin, end } of said) {
    const { end: found, top } = historyOf(histories, origin);
    // Where there is a hole, that is a problem already.
    if (top === found && found < end) {
      result.problems.push({ code: "LOG_GAP", origin, from: found + 1, to: end });
    }
  }
  result.problems.push(...lostTails(log.id, histories));
  return { result, origins };
}

/**
 * As `verifyLog`, of a log in use: damage that it did not know of, behind a checkpoint, it knows of from then on. It is
 * reported, and asked back from the peer, until it is there.
 */
export async function recheckLog(log: Log): Promise<VerifyResult> {
  const verified = await verifyLog(log);
  const isKnown = ({ origin, from, to }: Problem): boolean =>
    log.problems.some((known) => known.origin === origin && known.from <= from && to <= known.to);
  const [first] = verified.result.problems.filter((problem) => !isKnown(problem));
  if (first !== undefined) {
    await log.readAgain(`${first.code}: ${first.origin ?? "positions"} ${first.from} to ${first.to}`);
  }
  return verified;
}
