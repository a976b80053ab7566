import type { Command } from "commander";
import { TidemarkError } from "../../core/errors.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { type Replayable, replayables } from "../../protocol/replay/projections.ts";
import { Rebuild } from "../../protocol/replay/rebuild.ts";
import { type Act, example } from "../act.ts";
import { type Context, printNote } from "../context.ts";
import { exitCode } from "../exit-codes.ts";
import { Progress } from "../progress.ts";
import { openSource, untilOf } from "../replay/source.ts";
import { type LogOptions, logCommand } from "../with-log.ts";

export interface ReplayOptions extends LogOptions {
  readonly file?: string;
  readonly projection: string;
  readonly from?: string;
  readonly until?: string;
  readonly checkpointEvery: string;
  readonly state?: boolean;
  readonly step?: boolean;
  readonly compare?: string;
  readonly mqtt?: string;
  readonly speed: string;
  readonly redact?: boolean;
}

/** A replay that is set up, and what the ways to go through it need. */
export interface Replay {
  readonly rebuild: Rebuild;
  readonly projection: Replayable;
  /** Checkpoints before this position are not printed. */
  readonly from: number;
  readonly checkpointEvery: number;
  readonly progress: Progress;
}

export function addReplay(program: Command, act: Act): void {
  const about = replayables.map(({ name, about }) => `${name}: ${about}`).join("; ");
  logCommand(program, "replay")
    .summary("rebuild a projection from a log, step by step, and compare it")
    .description(
      `Rebuild a projection from a log or an export, and print the hash of its state at checkpoints and at the end. Nothing is changed, and nothing is done that the events once led to. Projections: ${about}.`,
    )
    .option("--file <export>", "replay an export instead of a log; - is standard input")
    .option("--projection <name>", "what to rebuild", "registers")
    .option("--from <position>", "print checkpoints from here on; what is before is applied too", "1")
    .option("--until <place>", "stop after a position, an instant, or ORIGIN/SEQ")
    .option("--checkpoint-every <events>", "a checkpoint at each position that is a multiple", "100000")
    .option("--state", "print the state too; with --json at each checkpoint")
    .option("--step", "go event by event, by commands on standard input: h lists them")
    .option(
      "--compare <file>",
      "compare with what `replay --json` printed elsewhere; exit code 1 when they part",
    )
    .option("--redact", "leave out what an export leaves out: the hash is then that of the export's replay")
    .option("--mqtt <url>", "publish what devices published to this broker, at its pace")
    .option("--speed <n>", "so many times as fast, or max", "1")
    .addHelpText(
      "after",
      example(
        "npx tidemark replay",
        "npx tidemark replay --file node.tidemark --projection devices --until -1h --state",
        "npx tidemark replay --json --checkpoint-every 1000 > old.ndjson",
        "npx tidemark replay --compare old.ndjson --checkpoint-every 1000",
        "npx tidemark replay --file node.tidemark --mqtt mqtt://127.0.0.1:1883 --speed 10",
      ),
    )
    .action(act(replay));
}

async function replay(context: Context, options: ReplayOptions): Promise<number> {
  checkWays(context, options);
  const projection = replayables.find(({ name }) => name === options.projection);
  if (projection === undefined) {
    const names = replayables.map(({ name }) => name).join(", ");
    throw new TidemarkError("USAGE", `there is no projection ${options.projection}: there is ${names}`);
  }
  const checkpointEvery = wholeNumber("--checkpoint-every", options.checkpointEvery);
  const from = wholeNumber("--from", options.from ?? "1");
  const until = untilOf(options.until, context.world.now());
  const source = await openSource(context, options, until);
  const progress = new Progress({
    output: context.world.stderr,
    label: "Replaying",
    paint: context.paintError,
    ...(source.events !== undefined && { total: source.events }),
  });
  try {
    const rebuild = new Rebuild(source.parts, { projection, digest: nodeDigest, until });
    const code = await goThrough(context, options, { rebuild, projection, from, checkpointEvery, progress });
    progress.end();
    if ((rebuild.end?.problems.length ?? 0) === 0) return code;
    await printNote(
      context,
      "not complete: the log has damage in this range, which `tidemark log verify` shows\n",
    );
    return code === 0 ? exitCode.incomplete : code;
  } finally {
    progress.end();
    await source.close();
  }
}

async function goThrough(context: Context, options: ReplayOptions, replay: Replay): Promise<number> {
  if (options.step === true) return (await import("../replay/step.ts")).step(context, replay);
  if (options.compare !== undefined)
    return (await import("../replay/comparison.ts")).compareWith(context, options.compare, replay);
  if (options.mqtt !== undefined) return (await import("../replay/player.ts")).play(context, options, replay);
  return (await import("../replay/checkpoints.ts")).printCheckpoints(context, options.state === true, replay);
}

function checkWays({ node }: Context, { step, compare, mqtt, file, cluster }: ReplayOptions): void {
  const ways = [
    step === true && "--step",
    compare !== undefined && "--compare",
    mqtt !== undefined && "--mqtt",
  ];
  const chosen = ways.filter((way) => way !== false);
  if (chosen.length > 1)
    throw new TidemarkError("USAGE", `${chosen.join(" and ")} are two ways to replay: choose one`);
  if (file !== undefined && (node !== undefined || cluster === true))
    throw new TidemarkError("USAGE", "an export is of one log: leave --node and --cluster out");
}

function wholeNumber(flag: string, text: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text);
  throw new TidemarkError("USAGE", `${flag} ${text} is not a whole number from 1 on`);
}
