// `npm start`: builds what `tidemark up` needs and runs it in this very process, so that signals, the terminal
// and the exit code are its own and nothing can be left behind. Arguments go to `tidemark up`.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const compiler = `${root}node_modules/typescript/bin/tsc`;
const command = new URL("../build/cli/main.js", import.meta.url);
const quietMs = 1000;

function refuse(sentence) {
  console.error(`tidemark: ${sentence}`);
  process.exit(1);
}

function checkNode() {
  const { engines } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
  const [, needed] = /^>=(\d+\.\d+)$/.exec(engines.node);
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [neededMajor, neededMinor] = needed.split(".").map(Number);
  if (major > neededMajor || (major === neededMajor && minor >= neededMinor)) return;
  refuse(`needs Node.js ${needed} or newer, and this is ${process.versions.node}: install a newer one.`);
}

function checkDependencies() {
  if (!existsSync(`${root}node_modules`)) refuse("the dependencies are not installed: run `npm ci` first.");
  if (existsSync(compiler)) return;
  const why = process.env.NODE_ENV === "production" ? " (NODE_ENV=production leaves it out)" : "";
  refuse(`TypeScript, which the build needs, is not installed${why}: run \`npm ci --include=dev\`.`);
}

/** Compiles the command and what it imports; silent unless it takes over a second or fails. */
function build() {
  return new Promise((resolve) => {
    // The compiler is a script that runs a program: a group of its own ends with one signal.
    const tsc = spawn(process.execPath, [compiler, "-b", "cli"], { cwd: root, detached: true });
    const stop = (signal) => {
      process.kill(-tsc.pid, signal);
      process.exit(signal === "SIGINT" ? 130 : 143);
    };
    process.on("SIGINT", stop).on("SIGTERM", stop);
    const notice = setTimeout(() => console.error("Building Tidemark …"), quietMs);
    let output = "";
    tsc.stdout.on("data", (text) => (output += text));
    tsc.stderr.on("data", (text) => (output += text));
    tsc.on("error", (error) => refuse(`the compiler could not be started: ${error.message}`));
    tsc.on("close", (code) => {
      clearTimeout(notice);
      process.off("SIGINT", stop).off("SIGTERM", stop);
      if (code !== 0) refuse(`the build failed.\n${output.trimEnd()}`);
      resolve();
    });
  });
}

checkNode();
checkDependencies();
await build();
process.argv = [process.execPath, fileURLToPath(command), "up", ...process.argv.slice(2)];
await import(command.href);
