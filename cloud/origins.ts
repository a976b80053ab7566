/** Gives generations to incarnations that have none yet, in the log itself, before anything of them is exchanged. */
import type { Body, Draft, Incarnation, Side } from "../core/event.ts";
import { sideOf } from "../core/event.ts";
import { originOpened, originReset } from "../core/generations.ts";
import type { Log } from "../core/log.ts";
import type { Statement } from "../protocol/link/frames.ts";

/**
 * Makes sure that both live incarnations have a generation: the node's is one more than any of the node's known here,
 * the cloud's one more than any that the node names.
 * @returns the generation of the node's live incarnation
 */
export async function openOrigins(log: Log, peer: Statement): Promise<number> {
  const drafts: Draft[] = [];
  for (const [side, live] of [
    ["cloud", log.incarnation],
    ["node", peer.incarnation],
  ] as const) {
    if (!log.registers.generations.has(live)) drafts.push(openedDraft(log, peer, side, live));
  }
  if (drafts.length > 0) await log.appended(drafts);
  return log.registers.generations.get(peer.incarnation)?.generation ?? 0;
}

interface Known {
  readonly origin: Incarnation;
  readonly generation: number;
  end: number;
}

function openedDraft(log: Log, peer: Statement, side: Side, live: Incarnation): Draft {
  const known = knownOrigins(log, peer, side);
  known.delete(live);
  const [previous] = [...known.values()].toSorted((a, b) => b.generation - a.generation || b.end - a.end);
  const body: Body = {
    incarnation: live,
    generation: (previous?.generation ?? 0) + 1,
    previous: previous?.origin ?? null,
    end: previous?.end ?? 0,
  };
  return { type: originOpened, class: "audit", key: `origins/${live}`, body };
}

/** Incarnations of one side that either holds, with the furthest that either holds of them. */
function knownOrigins(log: Log, peer: Statement, side: Side): Map<Incarnation, Known> {
  const known = new Map<Incarnation, Known>();
  for (const { origin, end } of log.histories.values()) {
    const generation = log.registers.generations.get(origin)?.generation ?? 0;
    if (sideOf(origin) === side) known.set(origin, { origin, generation, end });
  }
  for (const { origin, end, generation = 0 } of peer.holdings) {
    if (sideOf(origin) !== side) continue;
    const held = known.get(origin);
    const generationHere = Math.max(generation, held?.generation ?? 0);
    known.set(origin, { origin, generation: generationHere, end: Math.max(end, held?.end ?? 0) });
  }
  return known;
}

/** Ends the lives that a cloud began which this one knows nothing of; the whole wanted state follows. */
export async function appendReset(log: Log, origin: Incarnation): Promise<void> {
  const held = log.registers.reset;
  if (held?.origin === log.incarnation) return;
  await log.appended([{ type: originReset, class: "audit", key: `origins/${origin}`, body: { origin } }]);
}
