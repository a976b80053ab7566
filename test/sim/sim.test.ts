import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import t from "tap";
import { optionsOf } from "./options.ts";
import { runSeed } from "./run.ts";
import { failuresOf, rowHolds } from "./seed-tests.ts";

/** Seeds that once failed, each with how many kinds of faults there were, and why. They are kept for ever. */
function keptSeeds(): { seed: number; kinds: number; why: string }[] {
  const file = fileURLToPath(new URL("../../../test/sim/seeds.txt", import.meta.url));
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.flatMap((line) => {
    const match = /^([0-9]+) +([0-9]+) +(.*)$/.exec(line);
    return match === null ? [] : [{ seed: Number(match[1]), kinds: Number(match[2]), why: match[3] ?? "" }];
  });
}

t.test("seeds that once failed hold", async (t) => {
  for (const { seed, kinds, why } of keptSeeds())
    t.strictSame(await failuresOf(seed, kinds), [], `${seed}: ${why}`);
});

rowHolds(t, 1);

t.test("a seed has one outcome", async (t) => {
  for (const seed of [3, 4, 15]) {
    const [first, second] = [await runSeed(optionsOf(seed)), await runSeed(optionsOf(seed))];
    t.equal(first.hash, second.hash);
    t.equal(first.turns, second.turns);
    t.ok(first.turns > 100);
  }
  t.not((await runSeed(optionsOf(3))).hash, (await runSeed(optionsOf(4))).hash);
});
