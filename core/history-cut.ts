/** Takes out of the history index what was appended again under another name. */
import type { Committer } from "./committer.ts";
import type { Incarnation, LogId } from "./event.ts";
import {
  anyHistoryPrefix,
  decodeGaps,
  decodeSpan,
  encodeGaps,
  gapsName,
  numberedName,
  ownerOf,
  spanPrefix,
} from "./history-entries.ts";
import { namePages } from "./store-names.ts";
import { undamaged } from "./undamaged.ts";

/**
 * Of an origin nothing after `after` is in the index any more. A span that reaches past it goes as a whole: what is left
 * of it is scanned. Resolves when that is on the disk.
 */
export async function cutHistory(
  committer: Committer,
  log: LogId,
  origin: Incarnation,
  after: number,
): Promise<void> {
  const { store } = committer;
  const spans = spanPrefix(log, origin);
  const last = decodeSpan(await store.floor(spans, numberedName(spans, after)));
  const from = last !== undefined && last.hi > after ? last.lo : after + 1;
  for (const name of await store.names(spans)) if (ownerOf(name).seq >= from) committer.put(name, undefined);
  const gaps = decodeGaps(await undamaged(store, gapsName(log, origin)));
  const left = gaps
    .filter((gap) => gap.from < from)
    .map((gap) => ({ ...gap, to: Math.min(gap.to, from - 1) }));
  if (gaps.length > 0) committer.put(gapsName(log, origin), encodeGaps(left));
  const prefix = anyHistoryPrefix(log);
  for await (const names of namePages(store, prefix)) {
    for (const name of names) {
      const owner = ownerOf(name);
      if (owner.origin === origin && owner.seq >= from) committer.put(name, undefined);
    }
    await committer.flush();
  }
}
