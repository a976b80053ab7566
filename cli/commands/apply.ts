import type { Command } from "commander";
import { type Act, example } from "../act.ts";
import { type Context, printText } from "../context.ts";
import { doToEach } from "../each.ts";
import { kindTitle } from "../objects.ts";

export function addApply(program: Command, act: Act): void {
  program
    .command("apply")
    .requiredOption(
      "-f, --filename <file>",
      "a file or a folder, or - for standard input; may be given again",
      collect,
    )
    .summary("declare devices and device models")
    .description("Declare what there should be: devices and device models, in KubeEdge's YAML or in JSON.")
    .addHelpText(
      "after",
      example("npx tidemark apply -f devices.yaml", "cat model.yaml | npx tidemark apply -f -"),
    )
    .action(act(apply));
}

/** Options that may be given several times. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

async function apply(context: Context, { filename }: { filename: readonly string[] }): Promise<number> {
  const { readManifests } = await import("../manifests.ts");
  const manifests = await readManifests(filename, context.world);
  return doToEach(context, manifests, async (manifest, objects) => {
    const place = await objects.placeOf(manifest, context.namespace);
    const result = await objects.apply(place, manifest.object);
    if (!context.json) await printText(context, `${kindTitle(place.kind)}/${place.name} ${result}\n`);
    return { place, result };
  });
}
