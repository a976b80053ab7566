import type { Command } from "commander";
import type { HistoryAnswer } from "../../protocol/rest/past-history.ts";
import { type Act, example } from "../act.ts";
import { type Context, lineWidth } from "../context.ts";
import { parseDeviceName, shortOrigins } from "../names.ts";
import { instants, originsOf, pastPath, printPast, resolveInstant } from "../past.ts";
import { historyText } from "../past-text.ts";
import { type SideOptions, sideOption } from "../side.ts";
import { openTarget } from "../target.ts";

interface HistoryOptions extends SideOptions {
  readonly from?: string;
  readonly to?: string;
  readonly property?: string;
  readonly order?: string;
  readonly limit?: string;
  readonly cursor?: string;
}

export function addDeviceHistory(device: Command, act: Act): void {
  device
    .command("history")
    .argument("<device>", "NAMESPACE/NAME, or NAME")
    .description("Print the changes of a device, oldest first, those of its earlier lives too.")
    .option("--from <instant>", `the first: ${instants}`)
    .option("--to <instant>", "up to this one, which does not count in")
    .option("--property <name>", "only what was reported and wanted of this property")
    .option("--order <order>", "asc, oldest first, or desc (default: asc)")
    .option("--limit <count>", "how many, at most 10000 (default: 1000)")
    .option("--cursor <next>", "go on where the page before ended")
    .addOption(sideOption())
    .addHelpText(
      "after",
      example(
        "npx tidemark device history thermo-1 --from -1h",
        "npx tidemark device history thermo-1 --property temp --order desc --limit 10 --json",
      ),
    )
    .action(act(history));
}

async function history(context: Context, options: HistoryOptions, device: string): Promise<number> {
  const named = parseDeviceName(device, context.namespace);
  const { side, from, to, ...rest } = options;
  const target = await openTarget(context, side);
  try {
    const origins = context.json ? [] : await originsOf(target);
    const answer = (await target.get(pastPath(context, named, "history"), {
      ...queryOf(rest),
      from: from === undefined ? undefined : await resolveInstant(target, from),
      to: to === undefined ? undefined : await resolveInstant(target, to),
    })) as HistoryAnswer;
    const options = { paint: context.paint, lineWidth: lineWidth(context) };
    return await printPast(context, answer, () => historyText(answer, shortOrigins(origins), options));
  } finally {
    await target.close();
  }
}

function queryOf({ property, order, limit, cursor }: HistoryOptions): Record<string, string | undefined> {
  return { property, order, limit, cursor };
}
