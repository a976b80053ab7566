import { type Command, Option } from "commander";
import { TidemarkError } from "../../core/errors.ts";
import type { StatsRow } from "../../protocol/rest/log-api.ts";
import type { Choice, ConflictList, ConflictRow, Overridden } from "../../protocol/rest/conflicts.ts";
import { type Act, example } from "../act.ts";
import { completeness } from "../completeness.ts";
import {
  type ConflictTextOptions,
  conflictListText,
  conflictText,
  overriddenText,
} from "../conflict-text.ts";
import { type Context, lineWidth, printJson, printNote, printText } from "../context.ts";
import { logsOf } from "../log-choice.ts";
import { parseDeviceName, resolveEventId, shortOrigins } from "../names.ts";
import { type SideOptions, sideOption } from "../side.ts";
import { type Target, openTarget, openWriter } from "../target.ts";

export function addConflicts(program: Command, act: Act): void {
  const conflicts = program
    .command("conflicts")
    .summary("desired values that both sides set while apart")
    .description(
      "Conflicts: a desired value that the cloud and the node both set, neither having seen the other's. One wins by policy, on both sides; the other is kept here.",
    )
    .addHelpText("after", example("npx tidemark conflicts list"));
  conflicts
    .command("list")
    .option("--device <device>", "only of this device: NAMESPACE/NAME, or NAME")
    .option("--from <instant>", "found at this instant or later: RFC 3339, ms, -15m, ORIGIN/SEQ")
    .option("--to <instant>", "or earlier, which counts in")
    .option("--last <count>", "at most so many, the newest", "1000")
    .addOption(sideOption())
    .description("List conflicts, the newest last: of all nodes, or of --node NAME.")
    .addHelpText(
      "after",
      example(
        "npx tidemark conflicts list --from -1d",
        "npx tidemark conflicts list --device thermo-1 --json",
      ),
    )
    .action(act(list));
  conflicts
    .command("show")
    .argument("<id>", "ORIGIN/SEQ, as `conflicts list` shows it")
    .addOption(sideOption())
    .description("Show a conflict: both values, who won and why, and what is so now.")
    .addHelpText("after", example("npx tidemark conflicts show c4k2p/17"))
    .action(act(show));
  conflicts
    .command("override")
    .argument("<id>", "ORIGIN/SEQ, as `conflicts list` shows it")
    .addOption(new Option("--winner <side>", "want this side's value").choices(["cloud", "edge"]))
    .option("--value <value>", "want another value")
    .addOption(sideOption("say it at the cloud (the default), or on the node"))
    .description(
      "Choose another winner, or another value: a new event, which names the conflict as its cause.",
    )
    .addHelpText(
      "after",
      example(
        "npx tidemark conflicts override c4k2p/17 --winner edge",
        "npx tidemark conflicts override c4k2p/17 --value 21",
      ),
    )
    .action(act(override));
}

interface ListOptions extends SideOptions {
  readonly device?: string;
  readonly from?: string;
  readonly to?: string;
  readonly last: string;
}

async function list(context: Context, options: ListOptions): Promise<number> {
  const { from, to, last } = options;
  const only = options.device === undefined ? undefined : parseDeviceName(options.device, context.namespace);
  const target = await openTarget(context, options.side);
  try {
    const path = context.node === undefined ? "/tidemark/v1/conflicts" : nodePath(context.node);
    const device = only && `${only.namespace}/${only.name}`;
    const answer = (await target.get(path, { device, from, to, limit: last })) as ConflictList;
    if (context.json) await printJson(context, answer);
    else {
      await printText(context, conflictListText(answer.items, await textOptions(context, target)));
      if (answer.earlier)
        await printNote(context, "there are earlier ones: say --last with a larger count, or --to\n");
    }
    return completeness(context, answer.complete);
  } finally {
    await target.close();
  }
}

async function show(context: Context, options: SideOptions, id: string): Promise<void> {
  const target = await openTarget(context, options.side);
  try {
    const row = (await target.get(await pathOf(context, target, id))) as ConflictRow;
    if (context.json) await printJson(context, row);
    else await printText(context, conflictText(row, await textOptions(context, target)));
  } finally {
    await target.close();
  }
}

interface OverrideOptions extends SideOptions {
  readonly winner?: "cloud" | "edge";
  readonly value?: string;
}

async function override(context: Context, options: OverrideOptions, id: string): Promise<void> {
  const choice = choiceOf(options);
  const target = await openWriter(context, options.side);
  try {
    const path = `${await pathOf(context, target, id)}/override`;
    const done = (await target.send("POST", path, { body: choice })) as Overridden;
    if (context.json) await printJson(context, done);
    else await printText(context, overriddenText(done));
  } finally {
    await target.close();
  }
}

function choiceOf({ winner, value }: OverrideOptions): Choice {
  if (winner !== undefined && value === undefined) return { winner };
  if (value !== undefined && winner === undefined) return { value };
  throw new TidemarkError("USAGE", "say --winner cloud, --winner edge, or --value VALUE: one of them");
}

/** Where a conflict is: in the log that has its origin. */
async function pathOf(context: Context, target: Target, id: string): Promise<string> {
  const rows = (await nodeLogs(target)).filter(({ log }) => log === (context.node ?? log));
  const origins = rows.flatMap(({ vector }) => Object.keys(vector));
  const { origin, seq } = resolveEventId(id, origins);
  const row = rows.find(({ vector }) => Object.hasOwn(vector, origin));
  return `${nodePath(row?.log ?? "")}/${origin}/${seq}`;
}

async function nodeLogs(target: Target): Promise<readonly StatsRow[]> {
  const rows = await logsOf(target);
  // A cloud's begin with the cluster's own.
  return rows[0]?.side === "cloud" && rows[0].log === "cluster" ? rows.slice(1) : rows;
}

async function textOptions(context: Context, target: Target): Promise<ConflictTextOptions> {
  const short = shortOrigins((await nodeLogs(target)).flatMap(({ vector }) => Object.keys(vector)));
  return {
    paint: context.paint,
    lineWidth: lineWidth(context),
    shorten(id) {
      const [origin = "", seq = ""] = id.split("/");
      return `${short.get(origin) ?? origin}/${seq}`;
    },
  };
}

function nodePath(node: string): string {
  return `/tidemark/v1/nodes/${encodeURIComponent(node)}/conflicts`;
}
