import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { type Block, type Step, matches, outputLines } from "./readme-blocks.ts";
import { SessionError, type SessionOptions, ShellSession } from "./shell-session.ts";

const commandLimitMs = 30_000;
const startLimitMs = 120_000;
const retryMs = 250;

export interface Outcome {
  readonly line: number;
  readonly command: string;
  readonly state: "passed" | "failed" | "skipped";
  /** Why it failed or was skipped. */
  readonly why?: string;
  readonly expected?: readonly string[];
  readonly got?: readonly string[];
}

/**
 * Runs the blocks of a document in one shell in `cwd`, as its reader would, up to the first failure, and ends what is
 * left in the background. Gives one outcome a command, of those it came to.
 */
export async function runBlocks(blocks: readonly Block[], options: SessionOptions): Promise<Outcome[]> {
  const session = new ShellSession(options);
  const outcomes: Outcome[] = [];
  const end = { line: 0, command: "(the end: Ctrl-C in what still runs)", expected: [] };
  try {
    for (const block of blocks) {
      outcomes.push(...(await runBlock(session, block, options.cwd)));
      if (outcomes.at(-1)?.state === "failed") break;
    }
  } finally {
    const closed = await attempt(end, () => session.close());
    if (closed.state === "failed") outcomes.push(closed);
  }
  return outcomes;
}

async function runBlock(session: ShellSession, block: Block, cwd: string): Promise<Outcome[]> {
  const { kind, line, options, steps, content } = block;
  if (options.skip !== undefined) {
    const why = options.skip;
    return steps.map((step) => ({ line: step.line, command: step.command, state: "skipped", why }));
  }
  if (kind === "file") {
    writeFileSync(join(cwd, options.cwd ?? "", options.file ?? ""), content);
    return [{ line, command: `save ${options.file}`, state: "passed" }];
  }
  if (kind === "interrupt") {
    return [await attempt({ line, command: "Ctrl-C", expected: [] }, () => session.interrupt())];
  }
  const outcomes: Outcome[] = [];
  const move = async (command: string): Promise<Outcome> =>
    attempt({ line, command, expected: [] }, () =>
      runStep(session, { line, command, expected: [] }, { exit: 0 }),
    );
  if (options.cwd !== undefined) {
    const moved = await move(`__folder=$PWD; cd '${options.cwd}'`);
    if (moved.state === "failed") return [moved];
  }
  for (const [index, step] of steps.entries()) {
    const exit = index === steps.length - 1 ? (options.exit ?? 0) : 0;
    outcomes.push(await attempt(step, () => runStep(session, step, { ...options, exit })));
    if (outcomes.at(-1)?.state === "failed") return outcomes;
  }
  if (options.cwd !== undefined) await move('cd "$__folder"');
  return outcomes;
}

async function runStep(session: ShellSession, step: Step, options: Block["options"]): Promise<void> {
  const { command, expected } = step;
  if (options.backgroundUntil !== undefined) {
    const limitMs = options.limitMs ?? startLimitMs;
    const output = await session.start(command, { until: options.backgroundUntil, limitMs });
    // It goes on printing: what is shown is how it begins.
    if (expected.length > 0) check(["…", ...expected, "…"], output);
    return;
  }
  const limitMs = options.limitMs ?? commandLimitMs;
  for (const deadline = Date.now() + limitMs; ; await delay(retryMs)) {
    const { code, output } = await session.run(command, { limitMs });
    const last = !options.eventually || Date.now() > deadline;
    if (code === options.exit && matches(expected, output)) return;
    if (!last) continue;
    if (code !== options.exit) throw new SessionError(`exit code ${code}, not ${options.exit}`, output);
    check(expected, output);
  }
}

function check(expected: readonly string[], output: string): void {
  if (!matches(expected, output)) throw new SessionError("prints something else than is shown", output);
}

async function attempt(step: Step, run: () => Promise<void>): Promise<Outcome> {
  try {
    await run();
    return { line: step.line, command: step.command, state: "passed" };
  } catch (error) {
    return failed(step, error);
  }
}

function failed({ line, command, expected }: Step, error: unknown): Outcome {
  if (!(error instanceof SessionError)) throw error;
  return { line, command, state: "failed", why: error.message, expected, got: outputLines(error.output) };
}
