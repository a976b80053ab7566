/** `npm run sim -- --seed N [--runs K]`: runs seeds from N on, and says how to replay the one that fails. */
import { parseArgs } from "node:util";
import { describe, faultKinds, isFaultKind, optionsOf } from "./options.ts";
import { runSeed } from "./run.ts";

const usage = `Usage: npm run sim -- [--seed N] [--runs K] [--keep-going] [--without KINDS] [--kinds N] [--verbose]

  --seed N        the first seed (by the clock)
  --runs K        how many, from N on (1)
  --keep-going    go on after one that fails
  --without A,B   leave kinds of faults out, to find which one it takes:
                  ${faultKinds.join(", ")}
  --kinds N       with only the first N of these: of a kept seed, as many as there were then
  --verbose       print what happens
`;

interface Request {
  readonly first: number;
  readonly runs: number;
  readonly without: readonly string[];
  readonly kinds: number;
  readonly keepGoing: boolean;
  readonly verbose: boolean;
}

/** @returns undefined when the command line can't be meant */
function requested(): Request | undefined {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
        runs: { type: "string", default: "1" },
        verbose: { type: "boolean", default: false },
        "keep-going": { type: "boolean", default: false },
        without: { type: "string", default: "" },
        kinds: { type: "string", default: String(faultKinds.length) },
      },
    });
    const [first, runs] = [Number(values.seed), Number(values.runs)];
    const kinds = Number(values.kinds);
    const without = values.without.split(",").filter((kind) => kind !== "");
    const isMeant =
      Number.isSafeInteger(first) &&
      Number.isInteger(runs) &&
      runs > 0 &&
      kinds >= 0 &&
      without.every(isFaultKind);
    if (!isMeant) return undefined;
    return { first, runs, without, kinds, keepGoing: values["keep-going"], verbose: values.verbose };
  } catch {
    return undefined;
  }
}

async function main({ first, runs, without, kinds, keepGoing, verbose }: Request): Promise<void> {
  const print = verbose ? (line: string): void => console.log(line) : undefined;
  const startedMs = performance.now();
  let ran = 0;
  let failed = 0;
  for (let seed = first; seed < first + runs; seed += 1) {
    const all = optionsOf(seed, kinds);
    const options = { ...all, faults: new Map([...all.faults].filter(([kind]) => !without.includes(kind))) };
    if (runs === 1) console.log(describe(options));
    ran += 1;
    const { failures, hash, turns, healedMs, lines } = await runSeed(options, print);
    if (ran % 500 === 0) console.error(`${ran} runs, ${failed} failed`);
    if (failures.length === 0) {
      if (runs === 1) console.log(`agreed after ${healedMs / 1000} s, ${turns} turns, trace ${hash}`);
      continue;
    }
    failed += 1;
    if (!keepGoing && !verbose) for (const line of lines.slice(-60)) console.log(line);
    console.log(describe(options));
    for (const failure of failures.slice(0, 10)) console.log(`FAILED ${failure.slice(0, 1500)}`);
    console.log(`replay with: npm run sim -- --seed ${seed} --verbose`);
    if (!keepGoing) break;
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`${ran} runs in ${seconds} s, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

const request = requested();
if (request === undefined) {
  process.stderr.write(usage);
  process.exitCode = 2;
} else {
  await main(request);
}
