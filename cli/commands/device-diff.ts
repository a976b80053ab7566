import type { Command } from "commander";
import type { DiffAnswer } from "../../protocol/rest/past-state.ts";
import { type Act, example } from "../act.ts";
import { type Context, lineWidth } from "../context.ts";
import { parseDeviceName } from "../names.ts";
import { instants, pastPath, printPast, resolveInstant } from "../past.ts";
import { diffText } from "../past-text.ts";
import { type SideOptions, sideOption } from "../side.ts";
import { openTarget } from "../target.ts";

interface DiffOptions extends SideOptions {
  readonly from: string;
  readonly to: string;
}

export function addDeviceDiff(device: Command, act: Act): void {
  device
    .command("diff")
    .argument("<device>", "NAMESPACE/NAME, or NAME")
    .description("Say what differs between a device at two instants.")
    .requiredOption("--from <instant>", `the earlier: ${instants}`)
    .option("--to <instant>", "the later", "now")
    .addOption(sideOption())
    .addHelpText(
      "after",
      example(
        "npx tidemark device diff thermo-1 --from -1h",
        "npx tidemark device diff thermo-1 --from n4k2p/17 --to n4k2p/18",
      ),
    )
    .action(act(diff));
}

async function diff(context: Context, options: DiffOptions, device: string): Promise<number> {
  const named = parseDeviceName(device, context.namespace);
  const target = await openTarget(context, options.side);
  try {
    const answer = (await target.get(pastPath(context, named, "diff"), {
      from: await resolveInstant(target, options.from),
      to: await resolveInstant(target, options.to),
    })) as DiffAnswer;
    const shown = { paint: context.paint, lineWidth: lineWidth(context) };
    return await printPast(context, answer, () => diffText(answer, shown));
  } finally {
    await target.close();
  }
}
