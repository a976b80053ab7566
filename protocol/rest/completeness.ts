/** What an answer about the past is known to lack. */
import { compareInSide, type Cut } from "../../core/cut.ts";
import { type Incarnation, type Seen, type Side, nodeOfLog, otherSide, sideOf } from "../../core/event.ts";
import type { Range } from "../../core/history.ts";
import { type PastLog, placeOf } from "../../core/past.ts";
import type { Problem } from "../../core/replay.ts";
import { rfc3339 } from "../../core/time.ts";
import type { LinkView } from "./status-api.ts";

/** Between these times something may have happened that the answer does not know; null: as far as time goes. */
export interface Gap {
  readonly from: string | null;
  readonly to: string | null;
  readonly reason: string;
}

/** Ms since the epoch, both ends counting in; a state carries what was before it forward, so it begins at the start. */
export interface Span {
  readonly from: number;
  readonly to: number;
  /** Whether what the other side did counts in by its time, and not as far as somebody had seen it. */
  readonly isOpen: boolean;
  /** Ms since the epoch: what is asked for are the states then, and not what happened. */
  readonly states?: readonly number[];
}

/** Whether an answer for an instant may lack something that this replica does not hold. */
export async function gapsAt(log: PastLog, timeMs: number): Promise<boolean> {
  return (await holesIn(log, { from: timeMs, to: timeMs, isOpen: false })).length > 0;
}

type Hole = Pick<Problem, "origin" | "from" | "to">;

/** After this silence a session is closed, so that is how much later its end is noticed than the silence began. */
const silenceMs = 45_000;

/** What the disk lost in the span, and what came with the rest of it forgotten already. */
export async function holesIn(log: PastLog, span: Span): Promise<Gap[]> {
  const gaps: Gap[] = [];
  const add = async (range: Hole, reason: string): Promise<void> => {
    const [from, to] = await edgesOf(log, range);
    if (from > span.to || to < span.from) return;
    gaps.push(gap(from, to, reason));
  };
  for (const problem of log.problems) {
    const what = `${problem.origin ?? "positions"} ${problem.from} to ${problem.to}`;
    await add(problem, `${problem.code}: the log lacks ${what}`);
  }
  for (const { origin, top, thin } of log.histories.values()) {
    for (const { from, to } of thin) {
      // What is forgotten from the beginning on, is no gap: the log begins after it, where what replaced it is here.
      if (from === 1 && to <= top) continue;
      const [since, until] = await edgesOf(log, { origin, from, to: to - 1 });
      // Where something is replaced at last, what it replaced is not missed any more.
      const { states } = span;
      const isIn =
        states === undefined
          ? since <= span.to && span.from < until
          : states.some((time) => since <= time && time < until);
      if (isIn) gaps.push(gap(since, until, thinText(origin, { from, to })));
    }
  }
  return gaps;
}

function thinText(origin: Incarnation, { from, to }: Range): string {
  return `of ${origin} ${from} to ${to} only what was not replaced is kept`;
}

/** What the other side may have done in the span without its having come here. @param link as far as it is known */
export async function peerGap(
  log: PastLog,
  link: LinkView | undefined,
  span: Span,
  nowMs: number,
): Promise<Gap[]> {
  const until = await peerKnownUntil(log, link, nowMs);
  // Later than now nothing has happened, on either side.
  return until < Math.min(span.to, nowMs) ? [gap(until, Infinity, absentPeer(log))] : [];
}

/** The other side of a log has not been heard, or not all that it said it has. */
export interface Silence {
  readonly side: Side;
  /** RFC 3339; null where nothing of it ever came. What it did since may be missing. */
  readonly since: string | null;
}

/** @returns null while the other side is connected, and all that it said to hold has come */
export async function silenceOf(
  log: PastLog,
  link: LinkView | undefined,
  nowMs: number,
): Promise<Silence | null> {
  const until = await peerKnownUntil(log, link, nowMs);
  return until < nowMs ? { side: otherSide(log.side), since: timeText(until) } : null;
}

/** What a cut counts in, and is not held. */
export function gapsOfCut(log: PastLog, cut: Cut): Gap[] {
  const gaps: Gap[] = [];
  for (const last of [cut.cloud, cut.node]) {
    if (last === undefined) continue;
    const { origin, seq } = last;
    const { end = 0, thin = [] } = log.histories.get(origin) ?? {};
    if (end < seq)
      gaps.push(gap(-Infinity, Infinity, `LOG_GAP: the log lacks events before ${origin}/${seq}`));
    const around = thin.find(({ from, to }) => from <= seq && seq < to);
    if (around !== undefined) gaps.push(gap(-Infinity, Infinity, thinText(origin, around)));
  }
  return gaps;
}

function gap(from: number, to: number, reason: string): Gap {
  return { from: timeText(from), to: timeText(to), reason };
}

function timeText(time: number): string | null {
  return Number.isFinite(time) ? rfc3339(time) : null;
}

function absentPeer(log: PastLog): string {
  return log.side === "cloud"
    ? `not all that ${nodeOfLog(log.id) ?? "the node"} did since has arrived here`
    : "not all that the cloud wanted since has arrived here";
}

/** The times of what is held on either side of a hole. */
async function edgesOf(log: PastLog, { origin, from, to }: Hole): Promise<[number, number]> {
  if (origin === undefined) return [-Infinity, Infinity];
  return [
    await timeAt(log, { origin, seq: from - 1 }, -Infinity),
    await timeAt(log, { origin, seq: to + 1 }, Infinity),
  ];
}

async function timeAt(log: PastLog, { origin, seq }: Seen, otherwise: number): Promise<number> {
  const event = seq < 1 ? undefined : await log.eventAt(origin, seq);
  return event === undefined ? otherwise : placeOf(log.registers, event).time;
}

/**
 * Up to when all that the other side did is here, as far as that can be known: now, while it is connected and all that it
 * said to hold has come; until the contact was lost; or the time of the last event that came.
 */
async function peerKnownUntil(log: PastLog, link: LinkView | undefined, nowMs: number): Promise<number> {
  const last = await latestOfPeer(log);
  if (link === undefined || link.acked.size === 0 || isBehind(log, link)) return last;
  return link.state === "Connected" ? nowMs : Math.max(last, link.since - silenceMs);
}

/** Whether the peer said that it holds what has not come. */
function isBehind(log: PastLog, { acked }: LinkView): boolean {
  for (const { origin, end, closedAt = Infinity } of log.histories.values()) {
    if (Math.min(acked.get(origin) ?? 0, closedAt) > end) return true;
  }
  const held = new Set<string>(log.histories.keys());
  return [...acked].some(([origin, end]) => end > 0 && !held.has(origin));
}

async function latestOfPeer(log: PastLog): Promise<number> {
  const peer = otherSide(log.side);
  let latest: Seen | undefined;
  for (const { origin, top } of log.histories.values()) {
    const end: Seen = { origin, seq: top };
    if (sideOf(origin) !== peer || top === 0) continue;
    if (latest === undefined || compareInSide(log.registers.generations, latest, end) < 0) latest = end;
  }
  return latest === undefined ? -Infinity : timeAt(log, latest, -Infinity);
}
