/** Takes out of the history index what tells only of a past that is forgotten. */
import type { Committer } from "./committer.ts";
import type { Incarnation } from "./event.ts";
import {
  anyHistoryPrefix,
  decodeGaps,
  encodeGaps,
  gapsName,
  ownerOf,
  spanPrefix,
} from "./history-entries.ts";
import type { Log } from "./log.ts";

const pageNames = 1000;

/**
 * Of an origin's spans, and of each object's entries, the last that begins before the past is whole stays: it tells what
 * was so then. Those before it go.
 */
export async function pruneHistory(log: Log, committer: Committer): Promise<void> {
  const wholeFrom = new Map<Incarnation, number>();
  for (const history of log.histories.values())
    if (history.wholeFrom > 0) wholeFrom.set(history.origin, history.wholeFrom);
  if (wholeFrom.size === 0) return;
  for (const [origin, seq] of wholeFrom) {
    await prune(committer, spanPrefix(log.id, origin), wholeFrom);
    const name = gapsName(log.id, origin);
    const gaps = decodeGaps(await committer.store.get(name));
    const left = gaps.filter(({ to }) => to >= seq);
    if (left.length < gaps.length) committer.put(name, encodeGaps(left));
  }
  await prune(committer, anyHistoryPrefix(log.id), wholeFrom);
  await committer.flush();
}

async function prune(
  committer: Committer,
  prefix: string,
  wholeFrom: ReadonlyMap<Incarnation, number>,
): Promise<void> {
  let last: { readonly name: string; readonly series: string } | undefined;
  for (let after = prefix; ;) {
    const names = await committer.store.names(prefix, { after, max: pageNames });
    for (const name of names) {
      const { series, origin, seq } = ownerOf(name);
      const isForgotten = seq <= (wholeFrom.get(origin) ?? 0);
      if (isForgotten && last?.series === series) committer.put(last.name, undefined);
      last = isForgotten ? { name, series } : undefined;
    }
    const end = names.at(-1);
    if (end === undefined) return;
    after = end;
    await committer.flush();
  }
}
