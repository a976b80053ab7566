/** What an index says of a block's members, so that they can be named when the block itself can't be read. */
import type { Incarnation, LogId } from "../event.ts";
import type { DamagedRecord } from "../store-port.ts";

/** Neighbours of one origin: positions and sequences both follow. */
export interface Run {
  readonly origin: Incarnation;
  readonly lo: number;
  readonly count: number;
  readonly position: number;
}

/** @param places in order of position */
export function runsOf(places: Iterable<Run>): Run[] {
  const runs: Run[] = [];
  for (const { origin, lo, count, position } of places) {
    const last = runs.at(-1);
    const follows =
      last?.origin === origin && last.lo + last.count === lo && last.position + last.count === position;
    if (follows) runs[runs.length - 1] = { ...last, count: last.count + count };
    else runs.push({ origin, lo, count, position });
  }
  return runs;
}

/** Sequences of one origin that follow, wherever they lie in the block. */
export interface OriginRun {
  readonly origin: Incarnation;
  readonly lo: number;
  readonly count: number;
}

/** What is there twice, because it could not be read once, is in one of them. */
export function originRunsOf(runs: readonly Run[]): OriginRun[] {
  const sorted = runs.toSorted((a, b) =>
    a.origin === b.origin ? a.lo - b.lo : a.origin < b.origin ? -1 : 1,
  );
  const found: OriginRun[] = [];
  for (const { origin, lo, count } of sorted) {
    const last = found.at(-1);
    if (last?.origin !== origin || last.lo + last.count < lo) {
      found.push({ origin, lo, count });
      continue;
    }
    const end = Math.max(last.lo + last.count, lo + count);
    found[found.length - 1] = { ...last, count: end - last.lo };
  }
  return found;
}

/** Groups of runs without a gap in their positions. */
export function neighboursOf<T extends { readonly position: number; readonly count: number }>(
  places: readonly T[],
): T[][] {
  const groups: T[][] = [];
  for (const place of places) {
    const group = groups.at(-1);
    const last = group?.at(-1);
    if (group !== undefined && last !== undefined && last.position + last.count === place.position)
      group.push(place);
    else groups.push([place]);
  }
  return groups;
}

/** What is to be taken out of a log: positions from `from` to `to`; without `to`, what is a record from there on. */
export interface Cut {
  readonly from: number;
  readonly to: number | undefined;
}

/** Whether the member is cut away. */
export function isCut({ position }: { readonly position: number }, cuts: readonly Cut[]): boolean {
  return cuts.some(({ from, to }) => position >= from && position <= (to ?? from));
}

/** What cuts leave of runs whose members are not known: a cut without an end takes the rest of its run. */
export function runsLeft(runs: readonly Run[], cuts: readonly Cut[]): Run[] {
  let left = [...runs];
  for (const { from, to } of cuts) {
    left = left.flatMap((run) => {
      const end = run.position + run.count - 1;
      if (from > end || (to ?? from) < run.position) return [run];
      return [partOf(run, run.position, from - 1), partOf(run, (to ?? end) + 1, end)].filter(
        ({ count }) => count > 0,
      );
    });
  }
  return left;
}

function partOf({ origin, lo, position, count }: Run, from: number, to: number): Run {
  const first = Math.max(from, position);
  const last = Math.min(to, position + count - 1);
  return { origin, lo: lo + first - position, position: first, count: last - first + 1 };
}

/** Damaged records of the runs, from `number` on: a position, or a sequence of `origin`. */
export function damagedRuns(
  log: LogId,
  runs: readonly Run[],
  origin: Incarnation | undefined,
  number: number,
): DamagedRecord[] {
  const ofOrigin =
    origin === undefined ? runs : runs.filter((run) => run.origin === origin).toSorted((a, b) => a.lo - b.lo);
  const records: DamagedRecord[] = [];
  for (const run of ofOrigin) {
    const skipped = Math.max(0, number - (origin === undefined ? run.position : run.lo));
    if (skipped >= run.count) continue;
    const { position, count } = run;
    records.push({
      log,
      origin: run.origin,
      lo: run.lo + skipped,
      count: count - skipped,
      position: position + skipped,
      segment: undefined,
    });
  }
  return records;
}
