/** What a side says of its log at the start of a session, and how it reads what the peer says of it. */
import { keptAcks } from "../../core/acks.ts";
import type { Log } from "../../core/log.ts";
import type { Incarnation } from "../../core/event.ts";
import type { History } from "../../core/history.ts";
import type { Mark } from "../../core/marks.ts";
import { readable } from "../../core/replay.ts";
import { zeroHash } from "../../core/segment.ts";
import { type Verdict, agreement, compare } from "./comparison.ts";
import type { Statement } from "./frames.ts";
import { type Claim, type Holding, positionsToCheck, spacedMarks } from "./heads.ts";
import { maxMarks } from "./limits.ts";
import type { PartialSegment } from "./reassembly.ts";
import type { LogStatement } from "./session.ts";

/** What one side keeps of its sessions with a peer, from one to the next. */
export interface LinkMemory {
  /** Commit boundaries that the peer named last, of its own live origin. */
  peerNamed: { readonly origin: Incarnation; readonly seqs: readonly number[] } | undefined;
  /** Where in the own live origin the point of parting is looked for. */
  focus: { readonly from: number; readonly to: number } | undefined;
  /** The boundaries of the own live origin that were named last. */
  named: ReadonlySet<number>;
  /** What the last session left of a large segment. */
  partial: PartialSegment | undefined;
}

export function emptyMemory(): LinkMemory {
  return { peerNamed: undefined, focus: undefined, named: new Set(), partial: undefined };
}

export async function stateLog(log: Log, memory: LinkMemory): Promise<LogStatement> {
  const holdings: Holding[] = [];
  for (const history of log.histories.values()) {
    holdings.push(await holdingOf(log, history, memory));
  }
  // Known by name: were the other side to forget it, its generation would be given again.
  for (const [origin, generation] of log.registers.generations) {
    if (log.histories.has(origin)) continue;
    holdings.push({ origin, end: 0, hash: zeroHash, marks: [], closedAt: undefined, generation });
  }
  const { incarnation } = log;
  const own = holdings.find(({ origin }) => origin === incarnation);
  memory.named = new Set([...(own?.marks ?? []).map(({ seq }) => seq), own?.end ?? 0]);
  return {
    incarnation,
    generation: log.registers.generations.get(incarnation),
    holdings,
    partial: memory.partial,
  };
}

async function holdingOf(log: Log, history: History, memory: LinkMemory): Promise<Holding> {
  const { origin, end, hash, closedAt, missingTo } = history;
  return {
    origin,
    end,
    hash,
    marks: await marksOf(log, history, memory),
    closedAt,
    generation: log.registers.generations.get(origin),
    missingTo,
  };
}

/** With the end of the last cover: where the histories part after it, the owner can tell. */
async function marksOf(log: Log, history: History, memory: LinkMemory): Promise<Mark[]> {
  const { end, edge } = history;
  const marks = await chosenMarks(log, history, memory);
  if (edge === undefined || edge.seq >= end || marks.some(({ seq }) => seq === edge.seq)) return marks;
  return [...marks.slice(-(maxMarks - 1)), edge].toSorted((a, b) => a.seq - b.seq);
}

async function chosenMarks(log: Log, { origin, end, marks }: History, memory: LinkMemory): Promise<Mark[]> {
  if (origin === log.incarnation && memory.focus !== undefined) {
    return log.boundaries(origin, memory.focus.from, memory.focus.to, maxMarks);
  }
  if (memory.peerNamed?.origin !== origin) return spacedMarks(marks.all, end, maxMarks);
  const answers: Mark[] = [];
  for (const seq of memory.peerNamed.seqs) {
    const hash = seq < end ? await log.hashAt(origin, seq) : undefined;
    if (hash !== undefined && answers.length < maxMarks) answers.push({ seq, hash });
  }
  return answers;
}

/** Keeps what the peer named, so that the next statement answers it. */
export function noteNamed(memory: LinkMemory, peer: Statement): void {
  const own = peer.holdings.find(({ origin }) => origin === peer.incarnation);
  const seqs = [...(own?.marks ?? []).map(({ seq }) => seq), own?.end ?? 0].filter((seq) => seq > 0);
  memory.peerNamed = { origin: peer.incarnation, seqs };
}

/** Whether what the peer holds of this side's live origin is a part of what this side holds. */
export async function compareOwn(log: Log, peer: Statement, memory: LinkMemory): Promise<Verdict> {
  const { incarnation } = log;
  const claim = peer.holdings.find(({ origin }) => origin === incarnation);
  const { end = 0, hole } = log.histories.get(incarnation) ?? {};
  const lost: Verdict = { kind: "rolledBack", common: end };
  if (claim === undefined) return hole === undefined ? { kind: "agrees" } : lost;
  const hashes = new Map<number, Uint8Array>();
  for (const seq of positionsToCheck(claim, end)) {
    const hash = (await log.hashAt(incarnation, seq)) ?? (await acked(log, claim, seq));
    if (hash !== undefined) hashes.set(seq, hash);
  }
  const compared = { end, claim, hashes, agreed: memory.focus?.from, acked: await ackedBefore(log) };
  // Also of an incarnation that was closed: what lies past the hole may be what the peer has, and not mine alone.
  const isHealing = claim.closedAt === undefined || claim.end > end;
  const isSame = isHealing && agreement(compared).differsAt === undefined;
  if (hole !== undefined && isSame) {
    // The peer gives back what this disk lost, if it has it. What nobody has, nothing can follow.
    return claim.end > end ? { kind: "agrees" } : lost;
  }
  return compare({
    ...compared,
    named: memory.named,
    boundaryAfter: async (seq) =>
      (await log.boundaries(incarnation, seq, end, Number.MAX_SAFE_INTEGER))[0]?.seq,
  });
}

/** How far the peer had said, when this copy of the log was made, to have this side's live origin. */
async function ackedBefore({ id, incarnation, stored }: Log): Promise<number> {
  return (await keptAcks(stored.store, id)).get(incarnation) ?? 0;
}

/**
 * What this side compacted of its own the peer had acked, after the histories were compared: there both are the same. Of
 * what was let go before the peer had it that can't be said; then this side goes on under another name.
 */
async function acked(log: Log, { end, hash, marks }: Claim, seq: number): Promise<Uint8Array | undefined> {
  // Asked of the disk: what this side holds in memory too, is there as it was before it was compacted.
  const { store, digest } = log.stored;
  const [record] = await store.readOrigin(log.id, log.incarnation, seq, 1);
  const cover = record && readable(record, digest)?.cover;
  if (cover === undefined || cover.reason === "retention") return undefined;
  return seq === end ? hash : marks.find((mark) => mark.seq === seq)?.hash;
}
