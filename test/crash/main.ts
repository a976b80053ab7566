/** `npm run crash -- --minutes M [--seed N] [--json]`: real processes, real faults, and nothing acknowledged lost. */
import { parseArgs } from "node:util";
import { explained } from "./plan.ts";
import { describe } from "./report.ts";
import { runCrash } from "./run.ts";

const usage = `Usage: npm run crash -- [--minutes M] [--seed N] [--json]

Runs a cloud and two nodes as processes, with devices that publish by MQTT and people who want things of them, and
meanwhile:

${Object.entries(explained)
  .map(([kind, what]) => `  ${kind.padEnd(14)}${what}`)
  .join("\n")}

Then heals everything, waits until both sides agree, and checks that all that was acknowledged is in both logs, once and
in order. Exit 1 when not, with what is lost and where the data directories are kept.

  --minutes M  how long (1); parts of a minute may be said: 0.5
  --seed N     which faults come when, and how the load is spread (random)
  --json       {ok,seed,faults,sent,acked,…,lost,wrong,kept} on standard output
`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);

if (values.help) {
  process.stdout.write(usage);
} else if (!(minutes > 0) || !Number.isSafeInteger(seed)) {
  process.stderr.write(usage);
  process.exitCode = 2;
} else {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());
  process.stderr.write(`seed ${seed}\n`);
  const report = await runCrash({
    seed,
    minutes,
    convergeWithinMs: 240_000,
    progress: (line) => process.stderr.write(`${line}\n`),
    signal: interrupted.signal,
  });
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : describe(report));
  process.exitCode = report.ok ? 0 : 1;
}
