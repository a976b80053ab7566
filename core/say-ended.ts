/**
 * When the cloud says of lives that they are over for good. Of each life the delete must be past retention, and *stable*:
 * the node has written something that it had seen it before, and all that it wrote until then is here. So each side has
 * had the delete itself, and nothing that was written in ignorance of it is still to come.
 */
import { eventsOf } from "./cover.ts";
import { type Ended, endedDraft } from "./ended.ts";
import { TidemarkError } from "./errors.ts";
import { type EventId, type Incarnation, type Seen, clusterLog, parseEventId, sideOf } from "./event.ts";
import { hasSeen } from "./generations.ts";
import { type History, type Range, joined } from "./history.ts";
import type { Survey } from "./compaction.ts";
import type { Log } from "./log.ts";

/** More fit no event. */
const rangesMax = 50_000;
/** A range takes less than a sixteenth of the room that a delete and its mark take. */
const rangesPerLife = 16;

/** Whether an event of the cloud is stable in this log. */
export async function stableIn(log: Log): Promise<(event: Seen) => boolean> {
  // Nobody else has it.
  if (log.id === clusterLog) return () => true;
  const { generations } = log.registers;
  const { origin, end = 0 } = liveOfNode(log) ?? {};
  const [newest] = origin === undefined || end === 0 ? [] : await log.readOrigin(origin, end, 1);
  const seen = newest === undefined ? [] : (eventsOf(newest, 1).at(-1)?.seen ?? []);
  return (event) => hasSeen(generations, seen, event);
}

/** What is here of the node's live incarnation, where all of the older ones is. */
function liveOfNode({ histories, registers: { generations } }: Log): History | undefined {
  const ofNode = [...histories.values()].filter(({ origin }) => sideOf(origin) === "node");
  // One without a generation is newer than all that have one.
  if (ofNode.some(({ origin }) => !generations.has(origin))) return undefined;
  let live: { readonly origin: Incarnation; readonly generation: number } | undefined;
  for (const [origin, generation] of generations) {
    if (sideOf(origin) === "node" && generation > (live?.generation ?? -1)) live = { origin, generation };
  }
  const isHere = ({ origin, end, closedAt, hole }: History): boolean =>
    origin === live?.origin || (hole === undefined && end >= (closedAt ?? Infinity));
  return ofNode.every(isHere) ? ofNode.find(({ origin }) => origin === live?.origin) : undefined;
}

/**
 * Says which lives are over for good, where there are new ones, and enough of them.
 * @param survey of all of the log that compaction looks at
 */
export async function sayEnded(log: Log, survey: Survey): Promise<void> {
  if (log.side !== "cloud") return;
  const ended = endedBy(log, survey, await stableIn(log));
  if (ended === undefined || !log.isOpen) return;
  try {
    await log.appended([endedDraft(ended)]);
  } catch (error) {
    // What could not be said, the next pass says.
    if (!(error instanceof TidemarkError)) throw error;
  }
}

/** What is said already and what may be said now; undefined where that is nothing new, or not worth it. */
function endedBy(log: Log, survey: Survey, isStable: (end: Seen) => boolean): Ended | undefined {
  const { objects, ended: said } = log.registers;
  const over = new Set<EventId>();
  const goingOn = new Set<EventId>();
  for (const [key, lives] of objects) {
    for (const life of lives.values()) {
      const end = life.over ? survey.endOf(life.id, key) : undefined;
      if (end !== undefined && isStable(end)) over.add(life.id);
      else goingOn.add(life.id);
    }
  }
  // An id that is misused for other objects is over when all of them are.
  for (const id of goingOn) over.delete(id);
  // What may not be applied may have begun lives that nobody here knows of.
  const others = [...survey.under, ...goingOn].filter((id) => !over.has(id));
  const ended = new Map(said);
  const between = bySequence(others);
  let lives = 0;
  let count = 0;
  for (const [origin, began] of bySequence(over)) {
    // What lies past a hole may not be all there is.
    const known = began.filter((seq) => seq <= (log.histories.get(origin)?.end ?? 0));
    const ranges = [...(said.get(origin) ?? []), ...known.map((seq) => ({ from: seq, to: seq }))];
    ended.set(origin, spanned(joined(ranges), between.get(origin) ?? []));
    lives += known.length;
  }
  for (const ranges of ended.values()) count += ranges.length;
  return lives * rangesPerLife < count || lives === 0 || count > rangesMax ? undefined : ended;
}

/** Of each incarnation the sequences, in order. */
function bySequence(ids: Iterable<EventId>): Map<Incarnation, number[]> {
  const sequences = new Map<Incarnation, number[]>();
  for (const id of ids) {
    const { origin, seq } = parseEventId(id) ?? {};
    if (origin === undefined || seq === undefined) continue;
    const list = sequences.get(origin);
    if (list === undefined) sequences.set(origin, [seq]);
    else list.push(seq);
  }
  for (const list of sequences.values()) list.sort((a, b) => a - b);
  return sequences;
}

/** As one, ranges between which nothing else began. Both in order. */
function spanned(ranges: readonly Range[], others: readonly number[]): Range[] {
  const result: Range[] = [];
  let to = 0;
  let at = 0;
  for (const range of ranges) {
    while ((others[at] ?? Infinity) <= to) at += 1;
    const last = result.at(-1);
    if (last === undefined || (others[at] ?? Infinity) < range.from) result.push(range);
    else result[result.length - 1] = { from: last.from, to: range.to };
    ({ to } = range);
  }
  return result;
}
