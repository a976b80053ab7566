import type { Readable, Writable } from "node:stream";

/** Where a command writes: a terminal, a pipe, a file. */
export type Output = Writable & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};

export type Input = Readable & {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
};

/** What a command touches of the process it runs in. Tests hand in their own. */
export interface World {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Relative paths are from here. */
  readonly directory: string;
  /** Ms since the epoch. */
  now(): number;
  /** Aborts at the first SIGINT or SIGTERM, so that the command can end in good order; a second ends it at once. */
  stopping(): AbortSignal;
  /** Runs `task`, which must not wait, when the process ends, also when a signal ends it. @returns what calls it off */
  onExit(task: () => void): () => void;
  /** From here on, output that nobody reads any more is dropped instead of ending the command. */
  outlivesOutput(): void;
}

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

/** The process itself. A reader that went away (`| head`) ends it without a word. */
export function processWorld(): World {
  let stopping: AbortController | undefined;
  let listening = false;
  let outlives = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping === undefined || stopping.signal.aborted)
      process.exit(exitCodes[signal as "SIGINT" | "SIGTERM"]);
    stopping.abort();
  };
  const listen = (): void => {
    if (listening) return;
    listening = true;
    process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  };
  const onBrokenPipe = (error: NodeJS.ErrnoException): void => {
    if (error.code !== "EPIPE") throw error;
    if (!outlives) process.exit();
  };
  process.stdout.on("error", onBrokenPipe);
  process.stderr.on("error", onBrokenPipe);
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    directory: process.cwd(),
    now: () => Date.now(),
    stopping() {
      stopping ??= new AbortController();
      listen();
      return stopping.signal;
    },
    onExit(task) {
      listen();
      process.once("exit", task);
      return () => process.off("exit", task);
    },
    outlivesOutput() {
      outlives = true;
    },
  };
}
