import type { Command } from "commander";
import { TidemarkError, hasCode } from "../../core/errors.ts";
import { defaultNamespace } from "../../protocol/devices/topics.ts";
import { type Act, example } from "../act.ts";
import { type Context, printText } from "../context.ts";
import { type Done, doToEach } from "../each.ts";
import { type ObjectPlace, type Objects, kindTitle } from "../objects.ts";
import { collect } from "./apply.ts";

interface DeleteOptions {
  readonly filename?: readonly string[];
  readonly ignoreNotFound?: boolean;
}

export function addDelete(program: Command, act: Act): void {
  program
    .command("delete")
    .argument("[kind]", "device, devicemodel, …")
    .argument("[names...]")
    .option(
      "-f, --filename <file>",
      "what a file, a folder or standard input (-) declares; may be given again",
      collect,
    )
    .option("--ignore-not-found", "what is not there any more is no failure")
    .summary("delete what was declared")
    .description("Delete what was declared.")
    .addHelpText(
      "after",
      example("npx tidemark delete device thermo-1 -n default", "npx tidemark delete -f devices.yaml"),
    )
    .action(act(remove));
}

async function remove(
  context: Context,
  options: DeleteOptions,
  kind?: string,
  names: readonly string[] = [],
): Promise<number> {
  if (options.filename !== undefined) {
    if (kind !== undefined) throw new TidemarkError("USAGE", "name what to delete, or -f FILE: not both");
    const { readManifests } = await import("../manifests.ts");
    const manifests = await readManifests(options.filename, context.world);
    return doToEach(context, manifests, async (manifest, objects) =>
      removeOne(context, options, objects, await objects.placeOf(manifest, context.namespace)),
    );
  }
  if (kind === undefined || names.length === 0)
    throw new TidemarkError("USAGE", "say what to delete: KIND NAME, or -f FILE");
  const items = names.map((name) => ({ name }));
  return doToEach(context, items, async ({ name }, objects) => {
    const [namespace, bare] = name.includes("/")
      ? [name.slice(0, name.indexOf("/")), name.slice(name.indexOf("/") + 1)]
      : [context.namespace ?? defaultNamespace, name];
    return removeOne(context, options, objects, {
      kind: await objects.kindNamed(kind),
      namespace,
      name: bare,
    });
  });
}

async function removeOne(
  context: Context,
  { ignoreNotFound = false }: DeleteOptions,
  objects: Objects,
  place: ObjectPlace,
): Promise<Done> {
  const { kind, name } = place;
  try {
    await objects.delete(place);
  } catch (error) {
    if (!ignoreNotFound || !hasCode(error, "NOT_FOUND")) throw error;
    return { place, result: "not found" };
  }
  if (!context.json) await printText(context, `${kindTitle(kind)}/${name} deleted\n`);
  return { place, result: "deleted" };
}
