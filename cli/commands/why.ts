import type { Command } from "commander";
import { TidemarkError } from "../../core/errors.ts";
import type { WhyAnswer } from "../../protocol/rest/past-why.ts";
import { type Act, example } from "../act.ts";
import { type Context, lineWidth } from "../context.ts";
import { parseDeviceName, shortOrigins } from "../names.ts";
import { isEventId, originsOf, pastPath, printPast, resolveInstant } from "../past.ts";
import { whyText } from "../past-text.ts";
import { type SideOptions, sideOption } from "../side.ts";
import { type Target, openTarget } from "../target.ts";

export function addWhy(program: Command, act: Act): void {
  program
    .command("why")
    .argument("<device|event>", "NAMESPACE/NAME or NAME, with a property; or an event: ORIGIN/SEQ")
    .argument("[property]")
    .summary("what led to a value or an event")
    .description(
      "Say what led to a property's value, or to an event: the chain of causes, back to the first.",
    )
    .addOption(sideOption())
    .addHelpText("after", example("npx tidemark why thermo-1 temp", "npx tidemark why n4k2p/17"))
    .action(act(why));
}

async function why(
  context: Context,
  options: SideOptions,
  ...[subject, property]: readonly [string, string?]
): Promise<number> {
  if (property === undefined && !isEventId(subject)) {
    throw new TidemarkError(
      "USAGE",
      `${JSON.stringify(subject)} is no event: write ORIGIN/SEQ, as \`log tail\` shows them, or a device and a property`,
    );
  }
  const target = await openTarget(context, options.side);
  try {
    const answer = (await ask(context, target, { subject, property })) as WhyAnswer;
    const origins = context.json ? [] : await originsOf(target);
    const shown = { paint: context.paint, lineWidth: lineWidth(context) };
    return await printPast(context, answer, () => whyText(answer, shortOrigins(origins), shown));
  } finally {
    await target.close();
  }
}

async function ask(
  context: Context,
  target: Target,
  { subject, property }: { subject: string; property: string | undefined },
): Promise<unknown> {
  if (property !== undefined) {
    return target.get(pastPath(context, parseDeviceName(subject, context.namespace), "why"), { property });
  }
  const event = await resolveInstant(target, subject);
  const { node } = context;
  const path = node === undefined ? "/tidemark/v1/why" : `/tidemark/v1/nodes/${encodeURIComponent(node)}/why`;
  return target.get(path, { event });
}
