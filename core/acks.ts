/** What the other side was known to have: kept, since a replica that is alone has to know what may go. */
import type { Committer } from "./committer.ts";
import { pack, unpack } from "./codec.ts";
import { type Incarnation, type LogId, isIncarnation } from "./event.ts";
import type { History } from "./history.ts";
import type { Store } from "./store-port.ts";
import { undamaged } from "./undamaged.ts";

export type Acks = ReadonlyMap<Incarnation, number>;

const version = 1;

function acksName(log: LogId): string {
  return `acked!${log}`;
}

/**
 * How far the other side has each origin durable, by what it said last.
 * @param said in this process; empty where it has said nothing yet: then what was kept counts
 */
export async function knownAcks(committer: Committer, log: LogId, said: Acks): Promise<Acks> {
  const kept = await keptAcks(committer.store, log);
  if (said.size === 0) return kept;
  const isNews = said.size !== kept.size || [...said].some(([origin, seq]) => kept.get(origin) !== seq);
  const acks = new Map(said);
  if (!isNews) return acks;
  keepAcks(committer, log, acks);
  await committer.flush();
  return acks;
}

/** With the next commit. */
export function keepAcks(committer: Committer, log: LogId, said: Acks): void {
  committer.put(acksName(log), pack([version, [...said]]));
}

/**
 * What was kept of an origin of which less is here than the other side had, is withdrawn: the tail was lost, and what is
 * appended in its place is something else.
 */
export async function withdrawAcks(
  committer: Committer,
  log: LogId,
  heldTo: ReadonlyMap<Incarnation, Pick<History, "top">>,
): Promise<void> {
  const kept = await keptAcks(committer.store, log);
  const left = [...kept].filter(([origin, seq]) => seq <= (heldTo.get(origin)?.top ?? 0));
  if (left.length < kept.size) keepAcks(committer, log, new Map(left));
}

/** What was kept of it. What can't be read is as good as nothing said. */
export async function keptAcks(store: Store, log: LogId): Promise<Acks> {
  const stored = await undamaged(store, acksName(log));
  const [found, rows] = (stored === undefined ? [] : unpack(stored)) as [unknown, unknown];
  if (found !== version || !Array.isArray(rows)) return new Map();
  return new Map((rows as unknown[][]).filter((row): row is [Incarnation, number] => isIncarnation(row[0])));
}
