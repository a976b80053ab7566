import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import t from "tap";
import { describe, optionsOf } from "./options.ts";
import { runSeed } from "./run.ts";

const seedsInARow = 300;

/** Seeds that once failed, each with a line of why. They are kept for ever. */
function keptSeeds(): { seed: number; why: string }[] {
  const file = fileURLToPath(new URL("../../../test/sim/seeds.txt", import.meta.url));
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.flatMap((line) => {
    const match = /^([0-9]+) +(.*)$/.exec(line);
    return match === null ? [] : [{ seed: Number(match[1]), why: match[2] ?? "" }];
  });
}

/** The same ones each time, so that a change is judged by itself; others with TIDEMARK_SIM_SEED, or `npm run sim`. */
const firstSeed = Number(process.env["TIDEMARK_SIM_SEED"] ?? 1);

async function failuresOf(seed: number): Promise<readonly string[]> {
  const options = optionsOf(seed);
  const { failures } = await runSeed(options);
  if (failures.length === 0) return failures;
  return [...failures, describe(options), `replay with: npm run sim -- --seed ${seed} --verbose`];
}

t.test("seeds that once failed hold", async (t) => {
  for (const { seed, why } of keptSeeds()) t.strictSame(await failuresOf(seed), [], `${seed}: ${why}`);
});

// Half a minute on two cores that have nothing else to do.
t.test("seeds in a row hold", { timeout: 110_000 }, async (t) => {
  for (let seed = firstSeed; seed < firstSeed + seedsInARow; seed += 1) {
    const failures = await failuresOf(seed);
    if (failures.length > 0) t.strictSame(failures, [], `seed ${seed}`);
  }
  t.pass(`${seedsInARow} seeds from ${firstSeed} on`);
});

t.test("a seed has one outcome", async (t) => {
  for (const seed of [3, 4, 15]) {
    const [first, second] = [await runSeed(optionsOf(seed)), await runSeed(optionsOf(seed))];
    t.equal(first.hash, second.hash);
    t.equal(first.turns, second.turns);
    t.ok(first.turns > 100);
  }
  t.not((await runSeed(optionsOf(3))).hash, (await runSeed(optionsOf(4))).hash);
});
