/** Runs of seeds as tests. */
import type t from "tap";
import { describe, optionsOf } from "./options.ts";
import { runSeed } from "./run.ts";

type Test = typeof t;

/** In each file of them: half a minute on a machine that has nothing else to do. */
const seedsInARow = 75;

/** The same ones each time, so that a change is judged by itself; others with TIDEMARK_SIM_SEED, or `npm run sim`. */
const firstSeed = Number(process.env["TIDEMARK_SIM_SEED"] ?? 1);

export async function failuresOf(seed: number, kinds?: number): Promise<readonly string[]> {
  const options = optionsOf(seed, kinds);
  const { failures } = await runSeed(options);
  if (failures.length === 0) return failures;
  const more = kinds === undefined ? "" : ` --kinds ${kinds}`;
  return [...failures, describe(options), `replay with: npm run sim -- --seed ${seed}${more} --verbose`];
}

/** @param row counts from 1 */
export function rowHolds(t: Pick<Test, "test">, row: number): void {
  const from = firstSeed + (row - 1) * seedsInARow;
  void t.test(`${seedsInARow} seeds from ${from} on hold`, { timeout: 110_000 }, async (t) => {
    for (let seed = from; seed < from + seedsInARow; seed += 1) {
      const failures = await failuresOf(seed);
      if (failures.length > 0) t.strictSame(failures, [], `seed ${seed}`);
    }
    t.pass("none failed that is not named above");
  });
}
