import type { Command } from "commander";
import { TidemarkError } from "../../core/errors.ts";
import type { NodeListRow } from "../../protocol/rest/node-api.ts";
import { type Act, example } from "../act.ts";
import { type Context, lineWidth, printJson, printText } from "../context.ts";
import { table } from "../table.ts";
import { type Target, openCloud } from "../target.ts";

/** Erasing a large log takes as long as it takes. */
const removeMsMax = 3_600_000;

export function addNode(program: Command, act: Act): void {
  const node = program
    .command("node")
    .summary("the nodes of a cloud, and removing one")
    .description("The nodes that a running cloud knows.")
    .addHelpText("after", example("npx tidemark node list"));
  node
    .command("list")
    .description("List the nodes: connected or not, and removed.")
    .addHelpText("after", example("npx tidemark node list --json"))
    .action(act(list));
  node
    .command("remove")
    .argument("<node>", "its name")
    .option("--yes", "do it, instead of saying what would be done")
    .description(
      "Let the cloud forget a node: its session ends, its certificates are refused from then on, its devices are placed nowhere, and the cloud's replica of its log is erased from the disk. What the node itself holds stays there. `cert issue` admits it again.",
    )
    .addHelpText("after", example("npx tidemark node remove edge-node-2 --yes"))
    .action(act(remove));
}

async function withCloud<T>(context: Context, ask: (target: Target) => Promise<T>): Promise<T> {
  const target = await openCloud(context);
  try {
    return await ask(target);
  } finally {
    await target.close();
  }
}

async function nodesOf(target: Target): Promise<readonly NodeListRow[]> {
  const { items } = (await target.get("/tidemark/v1/nodes")) as { readonly items: NodeListRow[] };
  return items;
}

async function list(context: Context): Promise<void> {
  const items = await withCloud(context, nodesOf);
  if (context.json) {
    await printJson(context, { items });
    return;
  }
  const header = ["NODE", "STATE", "SINCE", "EVENTS", "DEVICES", "REMOVED BY"];
  const rows = items.map(({ name, state, since, events, devices, by }) => [
    name,
    state,
    since,
    String(events),
    String(devices),
    by ?? "-",
  ]);
  await printText(context, table(header, rows, { paint: context.paint, lineWidth: lineWidth(context) }));
}

async function remove(
  context: Context,
  { yes = false }: { readonly yes?: boolean },
  node: string,
): Promise<void> {
  await withCloud(context, async (target) => {
    const found = (await nodesOf(target)).find(({ name }) => name === node);
    if (found === undefined)
      throw new TidemarkError("NODE_UNKNOWN", `there is no node ${node} here: tidemark node list shows them`);
    if (!yes) {
      throw new TidemarkError(
        "USAGE",
        `this erases the cloud's ${found.events} events of the node ${node} for good, and refuses its certificates ` +
          `(${found.devices} devices name it): nothing was done; add --yes to do it`,
      );
    }
    const path = `/tidemark/v1/nodes/${encodeURIComponent(node)}`;
    await target.send("DELETE", path, { timeoutMs: removeMsMax });
    if (context.json) await printJson(context, { node, events: found.events });
    else {
      await printText(
        context,
        `node ${node} removed: its ${found.events} events are erased here, and its certificates are refused\n`,
      );
    }
  });
}
