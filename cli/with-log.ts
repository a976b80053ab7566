/** What the commands about one log have in common: which one, and whom to ask. */
import type { Command } from "commander";
import type { StatsRow } from "../protocol/rest/log-api.ts";
import type { Context } from "./context.ts";
import { chooseLog, logsOf } from "./log-choice.ts";
import { type SideOptions, sideOption } from "./side.ts";
import { type LogRef, type Target, openTarget } from "./target.ts";

export interface LogOptions extends SideOptions {
  readonly cluster?: boolean;
}

export function logCommand(parent: Command, name: string): Command {
  return parent
    .command(name)
    .option("--cluster", "the cluster log: devices and models as declared")
    .addOption(sideOption());
}

/** Opens what is asked, with the log that is meant. @param open chooses whom to ask */
export async function withLog<T>(
  context: Context,
  options: LogOptions,
  read: (target: Target, ref: LogRef, row: StatsRow) => Promise<T>,
  open: typeof openTarget = openTarget,
): Promise<T> {
  const isCluster = options.cluster === true;
  const target = await open(context, isCluster ? "cloud" : options.side);
  try {
    const { ref, row } = chooseLog(await logsOf(target), { node: context.node, isCluster });
    return await read(target, ref, row);
  } finally {
    await target.close();
  }
}
