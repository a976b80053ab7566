/** One place in which two states differ; undefined where one of them has nothing. */
export interface Difference {
  /** Names on the way to it, outermost first. */
  readonly path: readonly string[];
  readonly before: unknown;
  readonly after: unknown;
}

/** Where two states differ, innermost places, in order; at most `max` of them. */
export function differences(before: unknown, after: unknown, max: number): Difference[] {
  const found: Difference[] = [];
  collect(before, after, [], { found, max });
  return found;
}

interface Found {
  readonly found: Difference[];
  readonly max: number;
}

function collect(before: unknown, after: unknown, path: readonly string[], into: Found): void {
  if (into.found.length >= into.max || before === after) return;
  const [left, right] = [entriesOf(before), entriesOf(after)];
  if (left === undefined || right === undefined || Array.isArray(before) !== Array.isArray(after)) {
    into.found.push({ path, before, after });
    return;
  }
  for (const name of new Set([...left.keys(), ...right.keys()]))
    collect(left.get(name), right.get(name), [...path, name], into);
}

/** @returns undefined for what has no parts */
function entriesOf(value: unknown): Map<string, unknown> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  return new Map(Object.entries(value));
}
