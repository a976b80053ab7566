import type { Command } from "commander";
import type { BlameAnswer } from "../../protocol/rest/past-state.ts";
import { type Act, example } from "../act.ts";
import { type Context, lineWidth } from "../context.ts";
import { parseDeviceName, shortOrigins } from "../names.ts";
import { instants, originsOf, pastPath, printPast, resolveInstant } from "../past.ts";
import { blameText } from "../past-text.ts";
import { type SideOptions, sideOption } from "../side.ts";
import { openTarget } from "../target.ts";

interface BlameOptions extends SideOptions {
  readonly at?: string;
}

export function addBlame(program: Command, act: Act): void {
  program
    .command("blame")
    .argument("<device>", "NAMESPACE/NAME, or NAME")
    .argument("[property]")
    .summary("who said what of a device last")
    .description("Say of each property of a device who said it last: which side, when, and because of what.")
    .option("--at <instant>", `as it was then: ${instants}`)
    .addOption(sideOption())
    .addHelpText("after", example("npx tidemark blame thermo-1", "npx tidemark blame thermo-1 temp --at -1h"))
    .action(act(blame));
}

async function blame(
  context: Context,
  options: BlameOptions,
  ...[device, property]: readonly [string, string?]
): Promise<number> {
  const named = parseDeviceName(device, context.namespace);
  const target = await openTarget(context, options.side);
  try {
    const at = options.at === undefined ? undefined : await resolveInstant(target, options.at);
    const origins = context.json ? [] : await originsOf(target);
    const answer = (await target.get(pastPath(context, named, "blame"), { property, at })) as BlameAnswer;
    const shown = { paint: context.paint, lineWidth: lineWidth(context) };
    return await printPast(context, answer, () => blameText(answer, shortOrigins(origins), shown));
  } finally {
    await target.close();
  }
}
