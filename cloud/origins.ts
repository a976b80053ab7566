/** Gives generations to incarnations that have none yet, in the log itself, before anything of them is exchanged. */
import type { Draft, Incarnation, Side } from "../core/event.ts";
import { sideOf } from "../core/event.ts";
import { generationOf, openedDraft, originReset } from "../core/generations.ts";
import type { Log } from "../core/log.ts";
import type { Statement } from "../protocol/link/frames.ts";

/**
 * Makes sure that every incarnation that either replica knows has a generation here, and that all but the live ones are
 * closed. One that this log has lost keeps the generation that the node names; a new one gets the next.
 * @returns the generation of the node's live incarnation
 */
export async function openOrigins(log: Log, peer: Statement): Promise<number> {
  const drafts = [...openings(log, peer, "cloud"), ...openings(log, peer, "node")];
  if (drafts.length > 0) await log.appended(drafts);
  return log.registers.generations.get(peer.incarnation) ?? 0;
}

/**
 * Whether the node knows incarnations of the cloud that count as later than the live one: it was minted when they were
 * forgotten, and what it says would lose against them.
 */
export function isOutranked(log: Log, peer: Statement): boolean {
  const own = generationOf(log.registers.generations, log.incarnation);
  return peer.holdings.some(
    ({ origin, generation = 0 }) =>
      sideOf(origin) === "cloud" && origin !== log.incarnation && generation >= own,
  );
}

interface Known {
  readonly origin: Incarnation;
  readonly generation: number | undefined;
  readonly end: number;
  readonly closedAt: number | undefined;
}

function openings(log: Log, peer: Statement, side: Side): Draft[] {
  const drafts: Draft[] = [];
  let generation = 0;
  let previous: Known | undefined;
  for (const known of lineage(log, peer, side)) {
    generation = known.generation ?? generation + 1;
    const isOpened = log.registers.generations.has(known.origin);
    const isPreviousOpen =
      previous !== undefined && log.histories.get(previous.origin)?.closedAt === undefined;
    if (!isOpened || isPreviousOpen) {
      const end = previous?.closedAt ?? previous?.end ?? 0;
      drafts.push(openedDraft({ incarnation: known.origin, generation, previous: previous?.origin, end }));
    }
    previous = known;
  }
  return drafts;
}

/** The incarnations of one side that either replica knows, the oldest first: those without a generation last. */
function lineage(log: Log, peer: Statement, side: Side): Known[] {
  const live = side === "cloud" ? log.incarnation : peer.incarnation;
  const claims = new Map(peer.holdings.map((holding) => [holding.origin, holding]));
  const origins = new Set([
    ...log.registers.generations.keys(),
    ...log.histories.keys(),
    ...claims.keys(),
    live,
  ]);
  const known: Known[] = [];
  for (const origin of origins) {
    if (sideOf(origin) !== side) continue;
    const history = log.histories.get(origin);
    const claim = claims.get(origin);
    known.push({
      origin,
      generation: log.registers.generations.get(origin) ?? claim?.generation,
      end: Math.max(history?.end ?? 0, claim?.end ?? 0),
      closedAt: history?.closedAt ?? claim?.closedAt,
    });
  }
  const rank = ({ origin, generation }: Known): number =>
    generation ?? (origin === live ? Number.POSITIVE_INFINITY : Number.MAX_VALUE);
  return known.toSorted((a, b) => (rank(a) === rank(b) ? byName(a, b) : rank(a) - rank(b)));
}

function byName(a: Known, b: Known): number {
  return a.origin < b.origin ? -1 : 1;
}

/** Ends the lives that a cloud began which this one knows nothing of; the whole wanted state follows. */
export async function appendReset(log: Log, origin: Incarnation): Promise<void> {
  const { reset, generations } = log.registers;
  const isReset =
    reset !== undefined && generationOf(generations, reset.origin) > generationOf(generations, origin);
  if (isReset) return;
  await log.appended([{ type: originReset, class: "audit", key: `origins/${origin}`, body: { origin } }]);
}
