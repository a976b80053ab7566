/**
 * Forgetting: which events of a log's oldest part are not needed any more, and the covers that take the place of what
 * they were in. Nothing that a fold needs is let go: `fold(log) = fold(compact(log))`, whatever comes after.
 */
import { type CoverReason, encodeCover, keptOf } from "./cover.ts";
import { clockCorrected } from "./clock.ts";
import type { Event, Incarnation } from "./event.ts";
import type { ReadEvent } from "./event-reader.ts";
import { originOpened, originReset } from "./generations.ts";
import type { Range } from "./history.ts";
import type { Digest } from "./ports.ts";
import { type Register, type Registers, isLifeOver, lifeOf } from "./registers.ts";
import { type Segment, chainHash, lastOf } from "./segment.ts";

/** A segment where it is in this replica. */
export interface PlacedSegment {
  readonly segment: Segment;
  readonly position: number;
}

/** What folds read of events that replace nothing: never let go. */
const marks: ReadonlySet<string> = new Set([originOpened, originReset, clockCorrected]);

/** Whether the folds need the event for as long as the log lives: a mark, or the end of a life. */
export function isNeededForEver(event: Pick<Event, "type" | "slot" | "deletes">): boolean {
  return event.deletes === true || (event.slot === undefined && marks.has(event.type));
}

/**
 * Whether a later event of the same origin, visible in `registers`, says all that this one said of the object's state.
 *
 * Type and class are compared too: by them it is told who may author an event, and one that may not must not displace
 * one that may. So folding what is left makes the same state, in any order and whatever else comes.
 */
export function isSpent(registers: Registers, event: Event): boolean {
  const life = lifeOf(event);
  if (event.slot === undefined || life === undefined) return false;
  if (isLifeOver(registers, event.key, life)) return true;
  const register = registers.objects.get(event.key)?.get(life)?.slots.get(event.slot);
  return register !== undefined && heldOf(register).some((held) => displaces(held, event));
}

function heldOf({ cloud, node, rivals = [] }: Register): Event[] {
  return [cloud, node, ...rivals].filter((event) => event !== undefined);
}

function displaces(later: Event, event: Event): boolean {
  return (
    later.origin === event.origin &&
    later.seq > event.seq &&
    later.type === event.type &&
    later.class === event.class
  );
}

/** Two events that `displaces` may be said of, when they are of one origin. */
function facetOf(event: Event): string {
  const { key, slot, type, deletes = false } = event;
  return JSON.stringify([key, lifeOf(event), slot, type, event.class, deletes]);
}

/**
 * Which of some events of one origin are kept.
 * @param events in order of sequence
 * @param mayForget whether retention lets go of the event, as far as it is concerned
 */
export function kept(
  events: readonly ReadEvent[],
  registers: Registers,
  mayForget: (event: Event) => boolean,
): ReadEvent[] {
  const later = new Set<string>();
  const isKept = ({ event }: ReadEvent): boolean => {
    if (event.slot === undefined && event.deletes !== true)
      return isNeededForEver(event) || !mayForget(event);
    const facet = facetOf(event);
    const isDisplaced = later.has(facet);
    later.add(facet);
    if (!mayForget(event)) return true;
    return !isDisplaced && (event.deletes === true || !isSpent(registers, event));
  };
  return events.toReversed().filter(isKept).reverse();
}

export interface CoverOptions {
  readonly reason: CoverReason;
  readonly hashBefore: Uint8Array;
  readonly digest: Digest;
  readonly span?: Range | undefined;
  readonly choose: (events: readonly ReadEvent[]) => readonly ReadEvent[];
}

/**
 * One cover for neighbours of one origin, in order of sequence without a gap.
 * @throws EVENT_INVALID
 */
export function coverOf(segments: readonly PlacedSegment[], options: CoverOptions): Segment {
  const { reason, hashBefore, digest, span, choose } = options;
  const [first] = segments;
  const last = segments.at(-1);
  if (first === undefined || last === undefined) throw new Error("broken invariant: a cover of nothing");
  let hashAfter = hashBefore;
  const events: ReadEvent[] = [];
  for (const { segment, position } of segments) {
    hashAfter = chainHash(hashAfter, segment, digest);
    events.push(...keptOf(segment, position));
  }
  const range = { origin: first.segment.origin, lo: first.segment.lo, to: lastOf(last.segment) };
  return encodeCover({ ...range, reason, hashBefore, hashAfter, kept: choose(events), span }, digest);
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
