/**
 * `npm run mutants -- [--seeds N] [--only PATTERN] [--quick] [--markdown]`: breaks a copy of the project in one way after another,
 * and says for each what noticed: the random simulator (which checkers, with which seed) and the scenarios (which
 * tests). With --quick seeds are run only where no scenario notices. Fails when something is broken and nothing notices.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { checkers } from "./findings.ts";
import type { Edit, Mutant } from "./mutant.ts";
import { deleteMutants } from "./mutants-deletes.ts";
import { logMutants } from "./mutants-log.ts";
import { stateMutants } from "./mutants-state.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "100" },
    only: { type: "string", default: "" },
    quick: { type: "boolean", default: false },
    markdown: { type: "boolean", default: false },
  },
});

/** A breakage may well never end. */
const withinMs = 180_000;
const copied = ["core", "protocol", "cloud", "edge", "cli", "test", "benchmarks", "build"] as const;
const root = fileURLToPath(new URL("../../../", import.meta.url));

interface Verdict {
  /** Which checkers, and by which seed; undefined where all runs passed. */
  readonly run: string | undefined;
  readonly by: readonly string[];
  /** Names of the scenarios that failed. */
  readonly scenarios: readonly string[];
}

function copyOfProject(): string {
  const tree = mkdtempSync(join(tmpdir(), "tidemark-mutants-"));
  for (const folder of copied)
    cpSync(join(root, folder), join(tree, folder), { recursive: true, preserveTimestamps: true });
  for (const file of readdirSync(root)) {
    if (/^(package|tsconfig.*)\.json$/.test(file)) cpSync(join(root, file), join(tree, file));
  }
  // What a breakage no longer uses is no error of its own.
  const base = join(tree, "tsconfig.base.json");
  writeFileSync(base, readFileSync(base, "utf8").replace(/("noUnused[A-Za-z]+"): true/g, "$1: false"));
  symlinkSync(join(root, "node_modules"), join(tree, "node_modules"));
  return tree;
}

function node(tree: string, ...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: tree,
    encoding: "utf8",
    timeout: withinMs,
    maxBuffer: 256 * 1024 * 1024,
  });
  return { status, output: stdout + stderr };
}

function compile(tree: string): string | undefined {
  const { status, output } = node(tree, join("node_modules", "typescript", "bin", "tsc"), "-b", "test");
  return status === 0 ? undefined : output;
}

/** @returns what puts it back */
function apply(tree: string, { file, find, replace }: Edit): () => void {
  const path = join(tree, file);
  const before = readFileSync(path, "utf8");
  const count = before.split(find).length - 1;
  if (count !== 1) throw new Error(`${file} holds this ${count} times, and not once: ${find}`);
  writeFileSync(
    path,
    before.replace(find, () => replace),
  );
  return () => {
    writeFileSync(path, before);
  };
}

function runSeeds(tree: string): Pick<Verdict, "run" | "by"> {
  const { status, output } = node(tree, "build/test/sim/main.js", "--seed", "1", "--runs", values.seeds);
  if (status === 0) return { run: undefined, by: [] };
  const noticed = [...output.matchAll(/^FAILED .*?\[([a-z]+)\]/gm)].map((match) => match[1] ?? "");
  const seed = /--seed ([0-9]+) --verbose/.exec(output)?.[1];
  const by = [...new Set(noticed)];
  const ended = status === null ? "did not end" : "failed";
  return { run: `${by.join(", ") || ended}; seed ${seed ?? "?"}`, by };
}

/** @returns the names of those that failed */
function runScenarios(tree: string, more: readonly string[]): string[] {
  const scenarios: string[] = [];
  const here = readdirSync(join(tree, "build/test/sim")).filter((name) =>
    /^(?!sim|seeds).*[.]test[.]js$/.test(name),
  );
  for (const file of [...here.map((name) => `sim/${name}`), ...more.map((name) => `${name}.js`)]) {
    const { status, output } = node(tree, join("build/test", file));
    const failed = [...output.matchAll(/^not ok [0-9]+ - (.*?)(?: # .*)?$/gm)].map((match) => match[1] ?? "");
    if (status !== 0) scenarios.push(...(failed.length === 0 ? [`${file} did not end`] : failed));
  }
  return scenarios;
}

function judge(tree: string, tests: readonly string[]): Verdict {
  const scenarios = runScenarios(tree, tests);
  if (values.quick && scenarios.length > 0) return { run: undefined, by: [], scenarios };
  return { ...runSeeds(tree), scenarios };
}

function tryOut(tree: string, { name, edits, tests = [] }: Mutant): Verdict {
  const undo: (() => void)[] = [];
  try {
    for (const edit of edits) undo.push(apply(tree, edit));
    const errors = compile(tree);
    if (errors !== undefined) throw new Error(`${name} does not compile:\n${errors}`);
    return judge(tree, tests);
  } finally {
    for (const back of undo.reverse()) back();
  }
}

function report(name: string, { run, scenarios }: Verdict): void {
  const first =
    scenarios[0] === undefined
      ? ""
      : `${scenarios[0]}${scenarios.length > 1 ? ` (and ${scenarios.length - 1} more)` : ""}`;
  if (values.markdown) console.log(`| ${name} | ${run ?? "-"} | ${first || "-"} |`);
  else
    console.log(
      `${run === undefined && first === "" ? "MISSED " : "caught "} ${name}\n          run: ${run ?? "passed"}; scenarios: ${first || "passed"}`,
    );
}

const tree = copyOfProject();
const missed: string[] = [];
const used = new Set<string>();
const chosen = [...logMutants, ...stateMutants, ...deleteMutants].filter(({ name }) =>
  new RegExp(values.only).test(name),
);
if (values.markdown) console.log("| broken | seeds in a row | scenarios |\n| --- | --- | --- |");
try {
  for (const mutant of chosen) {
    let verdict: Verdict;
    try {
      verdict = tryOut(tree, mutant);
    } catch (error) {
      console.log(`STALE   ${mutant.name}: ${error instanceof Error ? error.message : String(error)}`);
      missed.push(mutant.name);
      continue;
    }
    report(mutant.name, verdict);
    if (verdict.run === undefined && verdict.scenarios.length === 0) missed.push(mutant.name);
    for (const checker of verdict.by) used.add(checker);
  }
} finally {
  rmSync(tree, { recursive: true, force: true });
}
const idle = Object.keys(checkers).filter((checker) => !used.has(checker));
console.log(`${chosen.length} mutants, ${missed.length} missed`);
if (values.only === "" && !values.quick && idle.length > 0)
  console.log(`checkers that noticed nothing: ${idle.join(", ")}`);
process.exitCode = missed.length === 0 ? 0 : 1;
