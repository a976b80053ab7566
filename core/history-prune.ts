/** Takes out of the history index what tells only of a past that is forgotten. */
import type { Committer } from "./committer.ts";
import { endedKey } from "./ended.ts";
import type { Incarnation } from "./event.ts";
import {
  anyHistoryPrefix,
  decodeGaps,
  encodeGaps,
  gapsName,
  objectPrefix,
  ownerOf,
  spanPrefix,
} from "./history-entries.ts";
import type { Range } from "./history.ts";
import type { Log } from "./log.ts";
import { readable, soundEvents } from "./replay.ts";
import { lastOf } from "./segment.ts";
import { namePages } from "./store-names.ts";

const readBytes = 256 * 1024;

/**
 * Of an origin's spans, and of each object's entries, the last that begins before the past is whole stays: it tells what
 * was so then. Those before it go. Of an object of which nothing is known any more, all go.
 */
export async function pruneHistory(log: Log, committer: Committer): Promise<void> {
  const wholeFrom = new Map<Incarnation, number>();
  for (const history of log.histories.values())
    if (history.wholeFrom > 0) wholeFrom.set(history.origin, history.wholeFrom);
  if (wholeFrom.size === 0) return;
  for (const origin of wholeFrom.keys()) {
    await prune(committer, spanPrefix(log.id, origin), wholeFrom);
    const name = gapsName(log.id, origin);
    const gaps = decodeGaps(await committer.store.get(name));
    const left: Range[] = [];
    for (const gap of gaps) if (!(await isLetGo(log, origin, gap))) left.push(gap);
    if (left.length < gaps.length) committer.put(name, encodeGaps(left));
  }
  await prune(committer, anyHistoryPrefix(log.id), wholeFrom);
  await committer.flush();
  await pruneGone(log, committer, wholeFrom);
  await committer.flush();
}

/** Of an object all of whose lives are over for good, when the past has been whole since before the last was written of it. */
async function pruneGone(
  log: Log,
  committer: Committer,
  wholeFrom: ReadonlyMap<Incarnation, number>,
): Promise<void> {
  // What says of lives that they are over for good is said of no object, and counts as long as there is a log.
  const keys = [endedKey, ...log.registers.objects.keys()];
  const known = new Set(keys.map((key) => objectPrefix(log.id, key)));
  const prefix = anyHistoryPrefix(log.id);
  let object = "";
  let gone: string[] = [];
  const remove = (): void => {
    for (const name of gone) committer.put(name, undefined);
  };
  for await (const names of namePages(committer.store, prefix)) {
    for (const name of names) {
      const owner = ownerOf(name);
      if (owner.object !== object) {
        remove();
        ({ object } = owner);
        gone = [];
      }
      const isForgotten = owner.seq <= (wholeFrom.get(owner.origin) ?? 0);
      if (!isForgotten) known.add(object);
      if (known.has(object)) gone = [];
      else gone.push(name);
    }
    await committer.flush();
  }
  remove();
}

async function prune(
  committer: Committer,
  prefix: string,
  wholeFrom: ReadonlyMap<Incarnation, number>,
): Promise<void> {
  let last: { readonly name: string; readonly series: string } | undefined;
  for await (const names of namePages(committer.store, prefix)) {
    for (const name of names) {
      const { series, origin, seq } = ownerOf(name);
      const isForgotten = seq <= (wholeFrom.get(origin) ?? 0);
      if (isForgotten && last?.series === series) committer.put(last.name, undefined);
      last = isForgotten ? { name, series } : undefined;
    }
    await committer.flush();
  }
}

/** Whether covers hold all of a range, and nothing in it: what may come yet, or is kept, has to be looked for there. */
export async function isLetGo(
  { id, stored }: Log,
  origin: Incarnation,
  { from, to }: Range,
): Promise<boolean> {
  for (let next = from; next <= to;) {
    const before = next;
    for (const record of await stored.store.readOrigin(id, origin, next, readBytes)) {
      const segment = readable(record, stored.digest);
      if (segment === undefined || segment.lo > next) return false;
      const events = soundEvents(segment, record.position) ?? [];
      if (events.some(({ seq }) => from <= seq && seq <= to)) return false;
      next = Math.max(next, lastOf(segment) + 1);
      if (next > to) return true;
    }
    if (next === before) return false;
  }
  return true;
}
