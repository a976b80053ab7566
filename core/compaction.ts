/**
 * Forgetting: which events of a log's oldest part are not needed any more, and the covers that take the place of what
 * they were in. Nothing that a fold needs is let go: `fold(log) = fold(compact(log))`, whatever comes after.
 */
import { type CoverReason, type KeptEvent, encodeCover, keptOf } from "./cover.ts";
import { clockCorrected } from "./clock.ts";
import { type Ended, isEnded, joinEnded, readEnded } from "./ended.ts";
import { type Event, type EventId, type Incarnation, type Seen, parseEventId, sideOf } from "./event.ts";
import { originOpened, originReset } from "./generations.ts";
import type { Range } from "./history.ts";
import type { Digest } from "./ports.ts";
import { lifeOf } from "./registers.ts";
import { type Segment, chainHash, lastOf } from "./segment.ts";

/** A segment where it is in this replica. */
export interface PlacedSegment {
  readonly segment: Segment;
  readonly position: number;
  readonly arrived: number;
}

/** What folds read of events that replace nothing: never let go. */
const marks: ReadonlySet<string> = new Set([originOpened, originReset, clockCorrected]);

/** Whether the folds need the event for as long as the log lives. */
export function isNeededForEver(event: Pick<Event, "type" | "slot">): boolean {
  return event.slot === undefined && marks.has(event.type);
}

interface Timed {
  /** Calibrated. */
  readonly timeMs: number;
}

/**
 * What the events say that are past retention: of each facet of an object the last, and which lives are over. An event
 * is replaced by those alone: what an event of yesterday replaced is still the state of the day before. Of all events,
 * which lives there is anything under: the end of one is let go when that is all that there is of it.
 */
export class Survey {
  /** Lives under which there is more than their end. */
  readonly #under = new Set<EventId>();
  readonly #last = new Map<string, number>();
  readonly #ends = new Map<string, Seen & Timed>();
  readonly #lasts = new Map<Incarnation, Seen & Timed>();
  #ended: Ended = new Map();
  #isWhole = true;

  get under(): ReadonlySet<EventId> {
    return this.#under;
  }

  /** @param event any there is */
  see(event: Event): void {
    const life = event.deletes === true ? undefined : lifeOf(event);
    if (life !== undefined) this.#under.add(life);
  }

  /** Something could not be read, and may be under any life. */
  miss(): void {
    this.#isWhole = false;
  }

  /**
   * @param event one that retention lets go
   * @param timeMs when it was, as clocks that were put right since would have said it
   */
  note(event: Event, timeMs: number): void {
    const { origin, seq } = event;
    if (seq > this.lastOf(origin)) this.#lasts.set(origin, { origin, seq, timeMs });
    const ended = readEnded(event);
    if (ended === undefined && event.slot === undefined && event.deletes !== true) return;
    if (ended !== undefined) this.#ended = joinEnded(this.#ended, ended);
    const facet = facetOf(event);
    if (seq > (this.#last.get(facet) ?? 0)) this.#last.set(facet, seq);
    const isEnd = event.deletes === true && event.life !== undefined && sideOf(origin) === "cloud";
    if (isEnd) this.#ends.set(`${event.life} ${event.key}`, { origin, seq, timeMs });
  }

  /** The last sequence of an origin that retention lets go; 0 for none. */
  lastOf(origin: Incarnation): number {
    return this.#lasts.get(origin)?.seq ?? 0;
  }

  /** What ended a life of an object, where that is past retention. */
  endOf(life: EventId, key: string): Seen | undefined {
    return this.#ends.get(`${life} ${key}`);
  }

  /**
   * Whether a later event, or the end of its life, has made this one say nothing any more. An end that the origin has
   * nothing after that is past retention, comes too late: the past is whole from before it on.
   */
  isReplaced(event: Event): boolean {
    if (event.seq < (this.#last.get(facetOf(event)) ?? 0)) return true;
    const life = lifeOf(event);
    if (life === undefined) return false;
    const began = parseEventId(life);
    const isForgotten = began !== undefined && isEnded(this.#ended, began);
    if (event.deletes === true) return isForgotten && this.#isWhole && !this.#under.has(life);
    const end = this.#ends.get(`${life} ${event.key}`);
    if (end === undefined) return isForgotten;
    return end.timeMs <= (this.#lasts.get(event.origin)?.timeMs ?? 0);
  }
}

/**
 * What an event of one origin replaces when it comes later. Type and class are a part of it: by them it is told who may
 * author an event, and one that may not must not replace one that may.
 */
function facetOf(event: Event): string {
  const { origin, key, slot, type, deletes = false } = event;
  return JSON.stringify([origin, key, lifeOf(event), slot, type, event.class, deletes]);
}

/**
 * Whether an event that retention lets go is kept all the same. Folding what is left makes the same state: in any order,
 * whatever else comes, and also as of any moment since which retention protects.
 */
export function isKept(event: Event, survey: Survey): boolean {
  if (isNeededForEver(event)) return true;
  // It tells from when on the past is whole.
  if (event.seq === survey.lastOf(event.origin)) return true;
  const isState = event.slot !== undefined || event.deletes === true || readEnded(event) !== undefined;
  return isState && !survey.isReplaced(event);
}

export interface CoverOptions {
  readonly reason: CoverReason;
  readonly hashBefore: Uint8Array;
  readonly digest: Digest;
  readonly span?: Range | undefined;
  /** What is let go, was replaced up to this sequence; the end of the range, where that is later. */
  readonly replacedUpTo?: number | undefined;
  readonly keeps: (kept: KeptEvent) => boolean;
}

/**
 * One cover for neighbours of one origin, in order of sequence without a gap.
 * @throws EVENT_INVALID
 */
export function coverOf(segments: readonly PlacedSegment[], options: CoverOptions): Segment {
  const { reason, hashBefore, digest, span, replacedUpTo = 0, keeps } = options;
  const [first] = segments;
  const last = segments.at(-1);
  if (first === undefined || last === undefined) throw new Error("broken invariant: a cover of nothing");
  let hashAfter = hashBefore;
  let wholeFrom = replacedUpTo;
  const events: KeptEvent[] = [];
  for (const { segment, position, arrived } of segments) {
    hashAfter = chainHash(hashAfter, segment, digest);
    wholeFrom = Math.max(wholeFrom, segment.cover?.wholeFrom ?? 0);
    events.push(...keptOf(segment, position, arrived).filter(keeps));
  }
  const range = { origin: first.segment.origin, lo: first.segment.lo, to: lastOf(last.segment) };
  return encodeCover({ ...range, reason, hashBefore, hashAfter, wholeFrom, kept: events, span }, digest);
}

/** Of each origin its own, in the order in which they come first. */
export function byOrigin<Placed extends PlacedSegment>(
  segments: readonly Placed[],
): Map<Incarnation, Placed[]> {
  const origins = new Map<Incarnation, Placed[]>();
  for (const placed of segments) {
    const { origin } = placed.segment;
    const list = origins.get(origin);
    if (list === undefined) origins.set(origin, [placed]);
    else list.push(placed);
  }
  return origins;
}
