/** What the other side was known to have: kept, since a replica that is alone has to know what may go. */
import type { Committer } from "./committer.ts";
import { pack, unpack } from "./codec.ts";
import { type Incarnation, type LogId, isIncarnation } from "./event.ts";
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
  const kept = await keptAcks(committer, log);
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

/** What can't be read is as good as nothing said. */
async function keptAcks({ store }: Committer, log: LogId): Promise<Acks> {
  const stored = await undamaged(store, acksName(log));
  const [found, rows] = (stored === undefined ? [] : unpack(stored)) as [unknown, unknown];
  if (found !== version || !Array.isArray(rows)) return new Map();
  return new Map((rows as unknown[][]).filter((row): row is [Incarnation, number] => isIncarnation(row[0])));
}
