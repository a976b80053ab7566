/** `npm run month -- --days N --limit SIZE --seed N`: writes a log for a simulated month under a limit, and judges it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseQuantity, sizeText } from "../../core/size.ts";
import { type MonthResult, runMonth } from "./run.ts";

const usage = `Usage: npm run month -- [--days N] [--limit SIZE] [--every SECONDS] [--seed N] [--directory DIR]

  --days N           how long, simulated (30)
  --limit SIZE       what each side's log may take (64Mi)
  --every SECONDS    how often each of ten devices says its twenty properties (60)
  --seed N           what goes wrong, and when (1)
  --verbose          print what happens
  --directory DIR    where the logs are; taken away afterwards (a temporary one)
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      days: { type: "string", default: "30" },
      limit: { type: "string", default: "64Mi" },
      every: { type: "string", default: "60" },
      seed: { type: "string", default: "1" },
      directory: { type: "string", default: tmpdir() },
      verbose: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const directory = await mkdtemp(join(values.directory, "tidemark-month-"));
  try {
    const result = await runMonth({
      seed: Number(values.seed),
      days: Number(values.days),
      limitBytes: parseQuantity(values.limit) ?? 0,
      reportEveryMs: Number(values.every) * 1000,
      directory,
      progress: (line) => console.log(line),
      print: values.verbose ? (line) => console.log(line) : undefined,
    });
    console.log(reportOf(result));
    if (result.failures.length > 0) process.exitCode = 1;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export function reportOf({ failures, model, past, mostBytes, counts }: MonthResult): string {
  const { lost } = model;
  const days = (ms: number): string => `${(ms / 86_400_000).toFixed(1)} d`;
  return [
    `published ${model.published}, acknowledged ${model.acknowledged}; reports durable on the node ${model.reports}`,
    `in the cloud once and in order ${model.arrived}; let go undelivered ${lost.events}, named by log.dropped ${lost.named}`,
    `conflicts recorded ${model.conflicts}`,
    `past asked ${past.asked}, right ${past.right}, said to be incomplete ${past.incomplete}, refused over damage ${past.refused} times; it reached back ${days(past.reachMs.least)} to ${days(past.reachMs.most)}`,
    `store at most: node ${sizeText(mostBytes.node)}, cloud ${sizeText(mostBytes.cloud)}`,
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(", "),
    ...failures.map((failure) => `FAILED ${failure}`),
  ].join("\n");
}

await main();
