import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

const pollMs = 50;
const endLimitMs = 15_000;

export interface SessionOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** What a background command has to end after Ctrl-C; 15 s unless given. */
  readonly endLimitMs?: number;
}

export interface Ended {
  readonly code: number;
  readonly output: string;
}

/** What went wrong with a command besides its exit code; `output` is what it had printed until then. */
export class SessionError extends Error {
  readonly output: string;

  constructor(message: string, output: string) {
    super(message);
    this.name = "SessionError";
    this.output = output;
  }
}

interface Background {
  /** Of the group, too: each background command leads its own, as in a terminal. */
  readonly pid: number;
  readonly command: string;
}

/**
 * One shell in which commands are typed one after another: variables, functions and the folder persist. It reads no
 * start-up files. Background commands get what a terminal's Ctrl-C gives: SIGINT to their whole group.
 */
export class ShellSession {
  readonly #shell: ChildProcess;
  readonly #folder: string;
  readonly #endLimitMs: number;
  readonly #background: Background[] = [];
  readonly #answers = new Map<number, (answer: string | undefined) => void>();
  #count = 0;
  #ended = false;

  constructor(options: SessionOptions) {
    this.#endLimitMs = options.endLimitMs ?? endLimitMs;
    this.#folder = mkdtempSync(join(tmpdir(), "tidemark-session-"));
    // By `env -i`, because a test runner adds its own hooks to what a test starts: the commands get just what is
    // given. A group of its own, so that what hangs can be ended whole.
    const variables = Object.entries(options.env).map(([name, value]) => `${name}=${value ?? ""}`);
    this.#shell = spawn("env", ["-i", ...variables, "bash", "--noprofile", "--norc", "-s"], {
      cwd: options.cwd,
      detached: true,
      stdio: ["pipe", "pipe", "inherit"],
    });
    const { stdin, stdout } = this.#shell;
    if (stdin === null || stdout === null) throw new Error("the shell has no pipes");
    // A shell that has ended answers nothing more; that is reported where an answer is waited for.
    stdin.on("error", () => this.#end());
    this.#shell.on("error", () => this.#end());
    this.#shell.on("close", () => this.#end());
    createInterface({ input: stdout }).on("line", (line) => {
      const [, id, answer] = /^(\d+) (\d+)$/.exec(line) ?? [];
      this.#answers.get(Number(id))?.(answer);
    });
  }

  /** Types a command and waits for its end. Throws a SessionError over the limit, and when the shell itself ends. */
  async run(command: string, { limitMs }: { limitMs: number }): Promise<Ended> {
    const { id, script, log } = this.#write(command);
    const code = await this.#type(
      id,
      `. '${script}' >'${log}' 2>&1 </dev/null; printf '${id} %d\\n' $?`,
      limitMs,
    );
    const output = readFileSync(log, "utf8");
    if (code === undefined) {
      const why = this.#ended ? "ended the shell" : `did not end within ${limitMs / 1000} s`;
      this.#kill(this.#shell.pid);
      this.#end();
      throw new SessionError(why, output);
    }
    return { code: Number(code), output };
  }

  /** Types a command that goes on, and waits until it has printed `until`. Gives what it printed. */
  async start(command: string, { until, limitMs }: { until: string; limitMs: number }): Promise<string> {
    const { id, script, log } = this.#write(command);
    // With job control on, for this line only, the command leads a group of its own and may be interrupted.
    const line = `set -m; . '${script}' >'${log}' 2>&1 </dev/null & set +m; printf '${id} %d\\n' $!`;
    const pid = Number(await this.#type(id, line, limitMs));
    if (!(pid > 0)) throw new SessionError("was not started", "");
    this.#background.push({ pid, command });
    for (const deadline = Date.now() + limitMs; ; await delay(pollMs)) {
      const running = isRunning(pid);
      const output = readFileSync(log, "utf8");
      if (output.includes(until)) return output;
      if (!running) throw new SessionError(`ended without printing "${until}"`, output);
      if (Date.now() > deadline) {
        throw new SessionError(`did not print "${until}" within ${limitMs / 1000} s`, output);
      }
    }
  }

  /** Ctrl-C in the latest background command: its whole group has to be gone within `endLimitMs`, its exit code 0 or 130. */
  async interrupt(): Promise<void> {
    const latest = this.#background.pop();
    if (latest === undefined) throw new SessionError("there is no background command to interrupt", "");
    const { pid, command } = latest;
    const wasRunning = isRunning(pid);
    signal(-pid, "SIGINT");
    if (!(await this.#isGone(pid))) {
      this.#kill(pid);
      await this.#isGone(pid);
      throw new SessionError(`was still there ${this.#endLimitMs / 1000} s after Ctrl-C: ${command}`, "");
    }
    if (!wasRunning || this.#ended) return;
    const { code } = await this.run(`wait ${pid}`, { limitMs: this.#endLimitMs });
    if (code !== 0 && code !== 130) throw new SessionError(`exit code ${code} after Ctrl-C: ${command}`, "");
  }

  /** Interrupts what still runs in the background, latest first, and ends the shell. Throws what `interrupt` throws. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    while (this.#background.length > 0)
      await this.interrupt().catch((error: unknown) => failures.push(error));
    this.#shell.stdin?.end();
    if (!this.#ended)
      await Promise.race([once(this.#shell, "close"), delay(this.#endLimitMs, undefined, { ref: false })]);
    this.#kill(this.#shell.pid);
    rmSync(this.#folder, { recursive: true, force: true });
    if (failures.length > 0) throw failures[0];
  }

  /** Waits for the end of a group; false when it didn't come in time. */
  async #isGone(group: number): Promise<boolean> {
    for (const deadline = Date.now() + this.#endLimitMs; isRunning(group); await delay(pollMs)) {
      if (Date.now() > deadline) return false;
    }
    return true;
  }

  #write(command: string): { id: number; script: string; log: string } {
    const id = ++this.#count;
    const script = join(this.#folder, `${id}.sh`);
    const log = join(this.#folder, `${id}.log`);
    writeFileSync(script, `${command}\n`);
    writeFileSync(log, "");
    return { id, script, log };
  }

  /** The number that the line prints after its id; undefined when the time is up or the shell has ended. */
  async #type(id: number, line: string, limitMs: number): Promise<string | undefined> {
    if (this.#ended) return undefined;
    const answer = new Promise<string | undefined>((resolve) => this.#answers.set(id, resolve));
    this.#shell.stdin?.write(`${line}\n`);
    const limit = new AbortController();
    const late = delay(limitMs, undefined, { signal: limit.signal }).catch(() => undefined);
    const first = await Promise.race([answer, late]);
    limit.abort();
    this.#answers.delete(id);
    return first;
  }

  #end(): void {
    this.#ended = true;
    for (const answer of this.#answers.values()) answer(undefined);
  }

  #kill(group: number | undefined): void {
    if (group !== undefined) signal(-group, "SIGKILL");
  }
}

/** False when nothing is left to be signalled. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    return false;
  }
}

/** Whether anything of a process group still runs: what has ended and only waits to be noticed doesn't. */
function isRunning(group: number): boolean {
  if (!existsSync("/proc/self/stat")) return signal(-group, 0);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .some((name) => {
      const [state, , its] = statusOf(name).split(" ");
      return Number(its) === group && state !== "Z" && state !== "X";
    });
}

/** State, parent and group of a process, as `/proc` has them after its name; empty when it is gone. */
function statusOf(pid: string): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2);
  } catch {
    return "";
  }
}
