/** Runs command lines in this process, with streams that are read back. */
import { PassThrough } from "node:stream";
import { main } from "../../cli/program.ts";
import type { Input, Output, World } from "../../cli/world.ts";

export interface Given {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** Columns of a terminal that output goes to; none: it is a pipe. */
  readonly columns?: number;
  readonly directory?: string;
  readonly nowMs?: number;
  /** Aborts as a signal to the process would. */
  readonly stop?: AbortSignal;
  /** Called with what has been written so far. */
  readonly onOutput?: (text: string) => void;
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export class TestWorld implements World {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: World["env"];
  readonly directory: string;
  readonly exitTasks: Set<() => void> = new Set();
  out = "";
  err = "";
  readonly #given: Given;

  constructor(given: Given = {}) {
    this.#given = given;
    this.env = given.env ?? {};
    this.directory = given.directory ?? process.cwd();
    const input = new PassThrough();
    input.end(given.stdin ?? "");
    this.stdin = input;
    this.stdout = this.#sink((text) => {
      this.out += text;
      given.onOutput?.(this.out);
    });
    this.stderr = this.#sink((text) => (this.err += text));
  }

  #sink(take: (text: string) => void): Output {
    const { columns } = this.#given;
    const stream = new PassThrough();
    stream.on("data", (chunk: Buffer) => take(chunk.toString()));
    return columns === undefined ? stream : Object.assign(stream, { isTTY: true, columns });
  }

  now(): number {
    return this.#given.nowMs ?? Date.now();
  }

  stopping(): AbortSignal {
    return this.#given.stop ?? new AbortController().signal;
  }

  onExit(task: () => void): () => void {
    this.exitTasks.add(task);
    return () => this.exitTasks.delete(task);
  }

  outlivesOutput(): void {}
}

/** Runs `tidemark …`, one word an argument. */
export async function run(argv: readonly string[], given: Given = {}): Promise<Ran> {
  const world = new TestWorld(given);
  const code = await main(argv, world);
  world.stdout.end();
  world.stderr.end();
  // What was written last is read a turn later.
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  return { code, out: world.out, err: world.err };
}
