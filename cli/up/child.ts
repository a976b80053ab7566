/** A process that `up` starts, and that ends with it. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type ErrorCode, TidemarkError, errorCodes } from "../../core/errors.ts";
import type { ChildMessage } from "../serve.ts";

export interface ChildOptions {
  /** Arguments of `tidemark`. */
  readonly args: readonly string[];
  /** Flags of Node's own. */
  readonly nodeFlags?: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A line of its log. */
  readonly onLine: (line: string) => void;
  /** It ended; `how` says by what, unless it was asked to. */
  readonly onEnd: (how: string) => void;
}

export interface Child {
  readonly pid: number | undefined;
  /** Resolves when it is ready. Rejects with what it says is wrong, or that it ended. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

const program = fileURLToPath(new URL("../main.js", import.meta.url));

export function startChild({ args, nodeFlags = [], env, onLine, onEnd }: ChildOptions): Child {
  // A group of its own: Ctrl-C in the terminal is for `up`, which tells its children itself. Should `up` be killed, the
  // channel closes, and they end.
  const child = spawn(process.execPath, [...nodeFlags, program, ...args], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    detached: true,
    env: { ...env },
  });
  if (child.stderr !== null) createInterface({ input: child.stderr }).on("line", onLine);
  const ended = new Promise<void>((resolve) => {
    child.once("error", (error) => {
      onEnd(`could not be started: ${error.message}`);
      resolve();
    });
    child.once("exit", (code, signal) => {
      onEnd(signal === null ? `ended with exit code ${code}` : `killed by ${signal}`);
      resolve();
    });
  });
  const ready = readiness(child, ended);
  // Whoever does not wait for it hears of it by `onEnd`.
  ready.catch(() => undefined);
  return {
    pid: child.pid,
    ready,
    ended,
    kill: (signal) => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    },
  };
}

function readiness(child: ChildProcess, ended: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on("message", (message) => {
      const told = message as ChildMessage;
      if (told.type === "ready") resolve();
      else reject(new TidemarkError(codeOf(told.code), told.message));
    });
    void ended.then(() => reject(new TidemarkError("NOT_REACHABLE", "it ended before it was ready")));
  });
}

function codeOf(text: string): ErrorCode {
  return Object.hasOwn(errorCodes, text) ? (text as ErrorCode) : "NOT_REACHABLE";
}
