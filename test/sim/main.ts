/** `npm run sim -- --seed N [--runs K] [--verbose]`: runs seeds from N on, and says how to replay the one that fails. */
import { parseArgs } from "node:util";
import { describe, optionsOf } from "./options.ts";
import { runSeed } from "./run.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
    runs: { type: "string", default: "1" },
    verbose: { type: "boolean", default: false },
    keepGoing: { type: "boolean", default: false },
    without: { type: "string", default: "" },
  },
});

const first = Number(values.seed);
const runs = Number(values.runs);
const print = values.verbose ? (line: string) => console.log(line) : undefined;
const without = new Set(values.without.split(","));
const startedMs = performance.now();
let failed = 0;
for (let seed = first; seed < first + runs; seed += 1) {
  const all = optionsOf(seed);
  const options = { ...all, faults: new Map([...all.faults].filter(([kind]) => !without.has(kind))) };
  if (runs === 1) console.log(describe(options));
  const { failures, hash, turns, healedMs, lines } = await runSeed(options, print);
  if ((seed - first) % 500 === 499) console.error(`${seed - first + 1} runs, ${failed} failed`);
  if (failures.length === 0) {
    if (runs === 1) console.log(`agreed after ${healedMs / 1000} s, ${turns} turns, trace ${hash}`);
    continue;
  }
  failed += 1;
  if (!values.keepGoing && !values.verbose) for (const line of lines.slice(-60)) console.log(line);
  console.log(describe(options));
  for (const failure of failures.slice(0, 10)) console.log(`FAILED ${failure.slice(0, 1500)}`);
  console.log(`replay with: npm run sim -- --seed ${seed} --verbose`);
  if (!values.keepGoing) break;
}
const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
console.log(`${runs} runs in ${seconds} s, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
