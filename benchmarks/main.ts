/** `npm run bench [-- NAME…] [--json] [--quick] [--rounds N] [--raw]` */
import { parseArgs } from "node:util";
import { append } from "./append.ts";
import { catchUp } from "./catch-up.ts";
import { type Result, dataDirectory, runCase } from "./harness.ts";
import { instant } from "./instant.ts";
import { latency } from "./latency.ts";
import { describeCommit, describeMachine } from "./machine.ts";
import { merge } from "./merge.ts";
import { offlineDay } from "./offline-day.ts";
import { open } from "./open.ts";
import { pipeline } from "./pipeline.ts";
import { product } from "./product.ts";
import { raw } from "./raw/subject.ts";
import { replay } from "./replay.ts";
import { describe, describeOthers, tabulate } from "./table.ts";

const questions = [append, pipeline, latency, catchUp, offlineDay, merge, instant, open, replay];

const usage = `Usage: npm run bench [-- NAME…] [--json] [--quick] [--rounds N] [--raw]

${questions.map(({ name, asks }) => `  ${name.padEnd(13)}${asks}`).join("\n")}

  --quick     short runs: a first look, more noise
  --rounds N  runs of each case (3); figures are medians
  --raw       the bare parts alone
  --json      {machine,commit,results} on standard output
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    raw: { type: "boolean", default: false },
    rounds: { type: "string", default: "3" },
    help: { type: "boolean", default: false },
  },
});

const chosen =
  positionals.length === 0 ? questions : questions.filter(({ name }) => positionals.includes(name));
const unknown = positionals.filter((name) => !questions.some((question) => question.name === name));
const rounds = Number(values.rounds);

if (values.help) {
  process.stdout.write(usage);
} else if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) {
  process.stderr.write(usage);
  process.exitCode = 2;
} else {
  // A way out that cleans up: the children end when this process lets go of them.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
  await main();
}

async function main(): Promise<void> {
  const machine = describeMachine(dataDirectory);
  const commit = describeCommit();
  const all: Result[] = [];
  if (!values.json) process.stdout.write(`${describe(machine, commit)}\n`);
  const plan = {
    subjects: values.raw ? [raw] : [raw, product],
    rounds,
    quick: values.quick,
    progress: (line: string) => process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : `${line}\n`),
  };
  for (const question of chosen) {
    const results: Result[] = [];
    for (const each of question.cases(values.quick)) results.push(...(await runCase(each, plan)));
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
    if (!values.json) process.stdout.write(`\n${question.asks}\n${tabulate(results)}\n`);
    all.push(...results);
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ machine, commit, results: all })}\n`);
  else process.stdout.write(`\n${describeOthers(all)}\n`);
}
