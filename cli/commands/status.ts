import type { Command } from "commander";
import type { Side } from "../../core/event.ts";
import type { StatusRow } from "../../protocol/rest/status-api.ts";
import { type Act, example } from "../act.ts";
import { type Context, lineWidth, printJson, printText } from "../context.ts";
import { findPlaces } from "../places.ts";
import { type SideOptions, sideOption } from "../side.ts";
import { statusText } from "../status-text.ts";
import { openTarget, targetOf, type Target } from "../target.ts";

export function addStatus(program: Command, act: Act): void {
  program
    .command("status")
    .summary("what runs, which nodes are connected, what is in the way")
    .description(
      "Say what runs, which nodes are connected, and what is in the way. People see all that runs here; --json is of one process.",
    )
    .addOption(sideOption())
    .addHelpText(
      "after",
      example("npx tidemark status", "npx tidemark status --side node --node edge-node-1 --json"),
    )
    .action(act(status));
}

async function status(context: Context, { side }: SideOptions): Promise<void> {
  if (context.json) {
    const [row] = await rowsOf([await openTarget(context, side)]);
    await printJson(context, row);
    return;
  }
  const rows = await rowsOf(await targetsFor(context, side));
  const options = { paint: context.paint, nowMs: context.world.now(), lineWidth: lineWidth(context) };
  await printText(context, rows.map((row) => statusText(row, options)).join("\n"));
}

/** All that runs from the data directory, unless one is asked for; where nothing runs, what it has left. */
async function targetsFor(context: Context, side: Side | undefined): Promise<Target[]> {
  const { server, kubeconfig, node } = context;
  if ((server ?? kubeconfig ?? node ?? side) === undefined) {
    const { cloud, nodes } = await findPlaces(context.dataDir);
    const running = [cloud, ...nodes].filter(({ run }) => run !== undefined);
    if (running.length > 0) return Promise.all(running.map((place) => targetOf(context, place)));
  }
  return [await openTarget(context, side)];
}

async function rowsOf(targets: readonly Target[]): Promise<StatusRow[]> {
  try {
    return await Promise.all(
      targets.map(async (target) => (await target.get("/tidemark/v1/status")) as StatusRow),
    );
  } finally {
    for (const target of targets) await target.close();
  }
}
