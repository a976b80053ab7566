/** Real `tidemark` processes for end-to-end tests: started, listened to, killed, and none left behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { root } from "../repo/tree.ts";

const main = `${root}/build/cli/main.js`;

/** tap puts a loader into every child of a test by NODE_OPTIONS; the product is to run as it is. */
function cleanEnvironment(): Record<string, string> {
  const { PATH = "", HOME = "" } = process.env;
  return { PATH, HOME, NO_COLOR: "1" };
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
export async function run(
  file: string,
  args: readonly string[],
  options: { input?: string; limitMs?: number } = {},
): Promise<Finished> {
  const child = spawn(file, args, { env: cleanEnvironment(), stdio: ["pipe", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.on("error", () => undefined).end(options.input ?? "");
  const limit = setTimeout(() => child.kill("SIGKILL"), options.limitMs ?? 30_000);
  const [code] = (await once(child, "close")) as [number | null];
  clearTimeout(limit);
  return { code, stdout, stderr };
}

/** Runs `tidemark ARGS`, in the data directory. */
export function tidemark(dataDir: string, ...args: readonly string[]): Promise<Finished> {
  return run(process.execPath, [main, ...args, "--data-dir", dataDir]);
}

export class Process {
  readonly #child: ChildProcess;
  readonly #ready: Promise<Record<string, string>>;
  /** Resolves with its exit code, or the signal that ended it, once all that it printed is read. */
  readonly ended: Promise<number | NodeJS.Signals>;
  #output = "";

  /** Starts `tidemark ARGS` and keeps it. */
  constructor(args: readonly string[]) {
    const child = spawn(process.execPath, [main, ...args], {
      env: cleanEnvironment(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.#output += text));
    this.#ready = new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        this.#output += `${line}\n`;
        if (line.startsWith("ready ")) resolve(JSON.parse(line.slice(6)) as Record<string, string>);
      });
      child.once("exit", (code) => {
        reject(new Error(`tidemark ${args.join(" ")} ended with ${String(code)}:\n${this.#output}`));
      });
    });
    this.#ready.catch(() => undefined);
    this.ended = new Promise((resolve) => {
      child.once("close", (code, signal) => resolve(code ?? signal ?? 0));
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What it has printed, for a failing test to show. */
  get output(): string {
    return this.#output;
  }

  /** The addresses of its `ready` line. */
  ready(): Promise<Record<string, string>> {
    return this.#ready;
  }

  /** Sends a signal, and does not wait for what comes of it. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** @returns the exit code, null when a signal ended it */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return exitCode;
    this.#child.kill(signal);
    const [code] = (await once(this.#child, "exit")) as [number | null];
    return code;
  }
}

/** Asks until the answer is there. @throws when it is not within the limit */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  limitMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
