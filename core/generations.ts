import { type Draft, type Event, type Incarnation, type Seen, isIncarnation, sideOf } from "./event.ts";

/**
 * The order of a side's incarnations, as `origin.opened` events gave it.
 *
 * An incarnation without one counts as the latest of its side: there is at most one such, and it is the newest.
 */
export type Generations = ReadonlyMap<Incarnation, number>;

/** What an `origin.opened` event says. */
export interface Opened {
  readonly incarnation: Incarnation;
  readonly generation: number;
  /** The incarnation before it, which ends at `end`: nothing of it after that is accepted. */
  readonly previous: Incarnation | undefined;
  readonly end: number;
}

export const originOpened = "origin.opened";
export const originReset = "origin.reset";

export function generationOf(generations: Generations, origin: Incarnation): number {
  return generations.get(origin) ?? Number.POSITIVE_INFINITY;
}

/**
 * Orders two events of one side: by generation, then by sequence. Negative when `a` is the earlier; NaN, of which no
 * comparison is true, while the generations of both are unknown. One generation given twice, by clouds of which one had
 * forgotten the other, is ordered by name: the same on both sides.
 */
export function compareOfSide(generations: Generations, a: Seen, b: Seen): number {
  if (a.origin === b.origin) return a.seq - b.seq;
  const first = generationOf(generations, a.origin);
  const second = generationOf(generations, b.origin);
  if (first === second && first !== Number.POSITIVE_INFINITY) return a.origin < b.origin ? -1 : 1;
  return first - second;
}

/** Whether a writer that had `seen` knew of `event` (of the other side) when it wrote. */
export function hasSeen(generations: Generations, seen: readonly Seen[], event: Seen): boolean {
  const side = event.origin.charCodeAt(0);
  return seen.some(
    (entry) => entry.origin.charCodeAt(0) === side && compareOfSide(generations, entry, event) >= 0,
  );
}

/** What is appended of it. Said again of an incarnation, it changes nothing but where the one before it ends. */
export function openedDraft({ incarnation, generation, previous, end }: Opened): Draft {
  const body = { incarnation, generation, previous: previous ?? null, end };
  return { type: originOpened, class: "audit", key: `origins/${incarnation}`, body };
}

/** What an `origin.opened` event of the cloud says. @returns undefined for any other event */
export function readOpened(event: Pick<Event, "type" | "origin" | "body">): Opened | undefined {
  if (event.type !== originOpened || sideOf(event.origin) !== "cloud") return undefined;
  const { incarnation, generation, previous, end } = (event.body ?? {}) as Record<string, unknown>;
  if (!isIncarnation(incarnation) || !isNatural(generation)) return undefined;
  return {
    incarnation,
    generation,
    previous: isIncarnation(previous) ? previous : undefined,
    end: isNatural(end) ? end : 0,
  };
}

function isNatural(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
