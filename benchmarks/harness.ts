/** Runs the cases of a question in rounds, raw and product in turn, and makes medians of them. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { watchOthers } from "./machine.ts";
import { NotAvailable, type Side, type Subject } from "./subject.ts";

/** What a figure must reach. `ratio` is product to raw. */
export interface Target {
  readonly of: "ratio" | "value";
  readonly at: "least" | "most";
  readonly bound: number;
}

export interface Quantity {
  readonly name: string;
  readonly unit: string;
  readonly target?: Target;
}

export interface Setting {
  /** Shorter runs, for a first look: more noise. */
  readonly quick: boolean;
  /** An empty directory on the disk that is measured, removed after the run. */
  readonly directory: string;
}

/** One set-up that is run as often as there are rounds. */
export interface Case {
  readonly title: string;
  readonly quantities: readonly Quantity[];
  /** One run. @returns a number for each quantity, in their order. */
  measure(subject: Subject, setting: Setting): Promise<readonly number[]>;
}

export interface Question {
  readonly name: string;
  /** For people: what the user would like to know. */
  readonly asks: string;
  cases(quick: boolean): readonly Case[];
}

export interface Run {
  readonly value: number | null;
  readonly raw: number | null;
  /** Share of all cores that other programs took during the two runs: the larger. */
  readonly others: number;
}

export interface Result {
  readonly name: string;
  readonly unit: string;
  /** Median of the product; null when this build has no such part. */
  readonly value: number | null;
  /** Median of the bare parts in the same rounds. */
  readonly raw: number | null;
  /** Of the medians. */
  readonly ratio: number | null;
  readonly target: string | null;
  readonly runs: readonly Run[];
}

export interface Plan {
  readonly subjects: readonly Subject[];
  readonly rounds: number;
  readonly quick: boolean;
  /** Says what is going on, for people. */
  progress(line: string): void;
}

/** Where runs keep their files: inside the project, because `/tmp` may be memory. */
export const dataDirectory: string = fileURLToPath(new URL("../../data", import.meta.url));

interface Outcome {
  readonly figures: readonly number[] | undefined;
  readonly others: number;
}

const nothing: Outcome = { figures: undefined, others: 0 };

export async function runCase(each: Case, plan: Plan): Promise<Result[]> {
  const rounds: Record<Side, Outcome>[] = [];
  const missing = new Set<Side>();
  for (let round = 0; round < plan.rounds; round++) {
    const outcomes: Record<Side, Outcome> = { raw: nothing, product: nothing };
    // Who goes first alternates, so that neither always finds the machine as the other left it.
    const order = round % 2 === 0 ? plan.subjects : plan.subjects.toReversed();
    for (const subject of order.filter(({ side }) => !missing.has(side))) {
      plan.progress(`${each.title}: round ${round + 1} of ${plan.rounds}, ${subject.side}`);
      const outcome = await runOnce(each, subject, plan.quick);
      if (outcome === undefined) missing.add(subject.side);
      else outcomes[subject.side] = outcome;
    }
    rounds.push(outcomes);
  }
  return each.quantities.map((quantity, index) => summarise(quantity, index, rounds));
}

async function runOnce(each: Case, subject: Subject, quick: boolean): Promise<Outcome | undefined> {
  mkdirSync(dataDirectory, { recursive: true });
  const directory = mkdtempSync(`${dataDirectory}/bench-`);
  const clean = (): void => {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  process.once("exit", clean);
  const others = watchOthers();
  try {
    const figures = await each.measure(subject, { quick, directory });
    return { figures, others: others() };
  } catch (error) {
    if (error instanceof NotAvailable) return undefined;
    throw error;
  } finally {
    process.removeListener("exit", clean);
    clean();
  }
}

function summarise(quantity: Quantity, index: number, rounds: readonly Record<Side, Outcome>[]): Result {
  const figure = (outcome: Outcome): number | null => outcome.figures?.[index] ?? null;
  const runs = rounds.map(({ raw, product }) => ({
    value: figure(product),
    raw: figure(raw),
    others: Math.max(raw.others, product.others),
  }));
  const value = median(runs.map((run) => run.value));
  const raw = median(runs.map((run) => run.raw));
  return {
    name: quantity.name,
    unit: quantity.unit,
    value,
    raw,
    ratio: value === null || raw === null || raw === 0 ? null : value / raw,
    target: quantity.target === undefined ? null : describeTarget(quantity.target),
    runs,
  };
}

function describeTarget({ of, at, bound }: Target): string {
  return `${of} ${at === "least" ? ">=" : "<="} ${bound}`;
}

/** @returns undefined when there is no target, or nothing to compare with it. */
export function meets({ value, ratio, target }: Result): boolean | undefined {
  const [of, sign, bound] = (target ?? "").split(" ");
  const figure = of === "ratio" ? ratio : value;
  if (target === null || figure === null) return undefined;
  return sign === ">=" ? figure >= Number(bound) : figure <= Number(bound);
}

/** Of the numbers that are there; the mean of the middle two when their count is even. */
export function median(numbers: readonly (number | null)[]): number | null {
  const sorted = numbers.filter((number) => number !== null).sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)];
  if (upper === undefined) return null;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? upper) + upper) / 2 : upper;
}

/** Largest less smallest, as a share of the median. */
export function spread(numbers: readonly (number | null)[]): number | null {
  const present = numbers.filter((number) => number !== null);
  const middle = median(present);
  return middle === null || middle === 0 ? null : (Math.max(...present) - Math.min(...present)) / middle;
}

/** @param part 0 to 1. Sorts `numbers`. */
export function quantile(numbers: Float64Array, part: number): number {
  if (numbers.length === 0) return Number.NaN;
  numbers.sort();
  return numbers[Math.min(numbers.length - 1, Math.floor(numbers.length * part))] ?? Number.NaN;
}

export function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, seconds * 1000);
  });
}
