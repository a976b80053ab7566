import { setTimeout as delay } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import { TidemarkError, hasCode } from "../../core/errors.ts";
import { rangeText } from "../../core/replay.ts";
import type { StatsRow, VerifyRow } from "../../protocol/rest/log-api.ts";
import type { StatusRow } from "../../protocol/rest/status-api.ts";
import { type Act, example } from "../act.ts";
import { type Context, printJson, printText } from "../context.ts";
import { exitCode } from "../exit-codes.ts";
import { chooseLog, logsOf } from "../log-choice.ts";
import { type SideOptions, sideOption } from "../side.ts";
import { type LogRef, type Target, logPath, logQuery, openSide, placeOfSide } from "../target.ts";

interface RepairOptions extends SideOptions {
  readonly cluster?: boolean;
  readonly dryRun?: boolean;
  /** Seconds. */
  readonly wait: number;
  readonly giveUp?: readonly string[];
}

export function addLogRepair(log: Command, act: Act): void {
  log
    .command("repair")
    .option("--cluster", "the cluster log: devices and models as declared")
    .option("--dry-run", "only say what is damaged, and what would be done")
    .option("--wait <seconds>", "how long to wait for the other side to give it back", parseSeconds, 60)
    .option(
      "--give-up <ranges...>",
      "of a stopped process: go on without these ranges, as `repair` names them",
    )
    .addOption(sideOption())
    .description(
      "Have what is damaged in a log fetched again from the other side, and wait until it is there. What nobody has any more can be given up, while the process is stopped: the log then says so (log.dropped), and goes on.",
    )
    .addHelpText(
      "after",
      example(
        "npx tidemark log repair --node edge-node-1",
        "npx tidemark log repair --side node --give-up n4k2p8s7q0m3x1/17-19",
      ),
    )
    .action(act(repair));
}

function parseSeconds(text: string): number {
  if (/^[0-9]{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Say it in whole seconds.");
}

async function repair(context: Context, options: RepairOptions): Promise<number> {
  const isCluster = options.cluster === true;
  const target = await openSide(context, isCluster ? "cloud" : options.side);
  let chosen: { ref: LogRef; row: StatsRow };
  let found: VerifyRow;
  try {
    chosen = chooseLog(await logsOf(target), { node: context.node, isCluster });
    found = await look(target, chosen.ref, options.dryRun !== true);
    await say(context, found);
    if (found.ok || options.dryRun === true) return await end(context, found);
    if (target.isRunning) {
      if (options.giveUp !== undefined) {
        throw new TidemarkError(
          "LOG_LOCKED",
          `${target.name} is running, and may yet get it back: stop it first`,
        );
      }
      if (isCluster) {
        await note(context, lostForGood);
        return await end(context, found);
      }
      return await end(
        context,
        await fetched(context, { target, ref: chosen.ref, waitMs: options.wait * 1000 }),
      );
    }
  } finally {
    await target.close();
  }
  if (options.giveUp === undefined) {
    await note(context, isCluster ? lostForGood : askedBack);
    return await end(context, found);
  }
  const { giveUpStopped } = await import("../stopped-repair.ts");
  const place = await placeOfSide(context, isCluster ? "cloud" : options.side);
  const { dataDir } = context;
  const left = await giveUpStopped({ dataDir, place, ref: chosen.ref, ranges: options.giveUp });
  await say(context, left);
  return end(context, left);
}

const askedBack =
  "Start it, and it asks the other side for them; or, where nobody has them, --give-up RANGE.\n";

/** The cluster log has one side. */
const lostForGood =
  "Nobody else has a copy of the cluster log: what was declared there is lost. Restore a backup (`npx tidemark restore`);" +
  " or stop the cloud, give it up with --give-up RANGE, and declare again what `npx tidemark device list` lacks.\n";

async function look(target: Target, ref: LogRef, refetch: boolean): Promise<VerifyRow> {
  if (!target.isRunning) return target.verify(ref, () => {});
  const query = { ...logQuery(ref), ...(!refetch && { refetch: "false" }) };
  return (await target.get(logPath(ref, "/verify"), query)) as VerifyRow;
}

async function say(context: Context, found: VerifyRow): Promise<void> {
  const lines = found.problems.map(
    (problem) => `${context.paint("yellow", problem.code)}  ${rangeText(problem)}\n`,
  );
  await note(context, lines.join(""));
}

async function note(context: Context, text: string): Promise<void> {
  if (!context.json) await printText(context, text);
}

async function end(context: Context, row: VerifyRow): Promise<number> {
  if (context.json) await printJson(context, row);
  else await printText(context, row.ok ? "Nothing is damaged.\n" : "Not all of it is there.\n");
  return row.ok ? 0 : exitCode.failed;
}

const pollMs = 500;

/** Waits for what was asked back from the other side. */
async function fetched(
  context: Context,
  { target, ref, waitMs }: { target: Target; ref: LogRef; waitMs: number },
): Promise<VerifyRow> {
  const deadlineMs = context.world.now() + waitMs;
  await note(context, "They are asked back from the other side …\n");
  for (;;) {
    const problems = await problemsLeft(target, ref);
    if (problems === 0 || context.world.now() >= deadlineMs) break;
    await delay(pollMs);
  }
  const row = await look(target, ref, true);
  if (!row.ok) {
    const { nodes } = (await target.get("/tidemark/v1/status")) as StatusRow;
    const link = nodes.find(({ name }) => name === ref.name);
    const reason = link === undefined ? "no other side has it" : (link.reason ?? link.state);
    await note(context, `The other side did not give it back: ${reason}\n`);
  }
  return row;
}

/** @returns undefined while it does not answer: with a damaged store it starts again, and rebuilds that first */
async function problemsLeft(target: Target, ref: LogRef): Promise<number | undefined> {
  try {
    const { problems } = (await target.get(logPath(ref, "/stats"), logQuery(ref))) as StatsRow;
    return problems;
  } catch (error) {
    const passes = ["NOT_REACHABLE", "SHUTTING_DOWN", "LOG_CLOSED"] as const;
    if (passes.some((code) => hasCode(error, code))) return undefined;
    throw error;
  }
}
