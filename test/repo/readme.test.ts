import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import t, { type Test } from "tap";

import { parseBlocks } from "./readme-blocks.ts";
import { runBlocks } from "./readme-run.ts";
import { root } from "./tree.ts";

// The commands are run as they stand, so on the ports that a new user gets.
const ports = [1883, 6443, 10_000, 10_002, 10_550];
const notLinked = new Set([".git", ".tap", "data"]);
const installing = /\bnpm (ci|i|install|test|t)\b|\bgit clone\b/;

/** A folder that looks like this clone, freshly made: no data yet, and what is written into it goes with it. */
function fakeClone(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "tidemark-readme-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of readdirSync(root)) {
    if (!notLinked.has(name)) symlinkSync(join(root, name), join(folder, name));
  }
  return folder;
}

/** The environment of somebody who has just opened a terminal: nothing of npm's or of the test runner's. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(npm_|TAP|_TAPJS|NODE_OPTIONS$|TIDEMARK_|CI$|INIT_CWD$|FORCE_COLOR$)/;
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name));
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return {
    ...Object.fromEntries(kept),
    PATH: folders.filter((folder) => !folder.includes("node_modules")).join(delimiter),
    // npm's remarks about itself and its settings are not the product's output.
    npm_config_loglevel: "error",
    npm_config_update_notifier: "false",
  };
}

async function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(true));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(false)));
  });
}

t.setTimeout(600_000);

t.test("every command of README.md does what it shows", async (t) => {
  const readme = join(root, "README.md");
  if (!t.ok(existsSync(readme), "README.md is there")) return;
  const blocks = parseBlocks(readFileSync(readme, "utf8"));
  t.ok(blocks.length > 0, "it shows commands");
  const unmarked = blocks
    .filter(({ options }) => options.skip === undefined)
    .flatMap(({ steps }) => steps.filter(({ command }) => installing.test(command)));
  t.same(unmarked, [], "what installs or tests is marked `<!-- run: skip … -->`");
  const taken = await Promise.all(ports.map(async (port) => ((await isTaken(port)) ? [port] : [])));
  if (taken.flat().length > 0) {
    t.pass("README.md", { skip: `another program listens on port ${taken.flat().join(", ")}` });
  } else if (unmarked.length === 0) {
    for (const outcome of await runBlocks(blocks, { cwd: fakeClone(t), env: plainEnvironment() })) {
      const { line, command, state, ...details } = outcome;
      const name = `README.md:${line}: ${command}`;
      if (state === "skipped") t.comment(`${name}: not run, ${outcome.why}`);
      else t.ok(state === "passed", name, details);
    }
  }
});
