import type { ReplayRow } from "../../protocol/replay/rebuild.ts";
import type { Replay } from "../commands/replay.ts";
import { type Context, lineWidth, printJsonLine, printText } from "../context.ts";
import { Columns } from "../table.ts";
import { count } from "../text.ts";

/** Applies all events, and prints a row at each checkpoint and at the end. */
export async function printCheckpoints(
  context: Context,
  withState: boolean,
  { rebuild, from, checkpointEvery, progress }: Replay,
): Promise<number> {
  const print = rowPrinter(context);
  let printed: number | undefined;
  for await (const events of rebuild.batches()) {
    for (const event of events) {
      rebuild.apply(event);
      if (event.position % checkpointEvery !== 0 || event.position < from) continue;
      printed = event.position;
      await print(rebuild.row(withState && context.json));
    }
    progress.update(rebuild.events);
  }
  progress.end();
  const last = printed === rebuild.position ? undefined : rebuild.row(withState && context.json);
  if (last !== undefined) await print(last);
  if (withState && !context.json) await printText(context, `\n${JSON.stringify(rebuild.shown(), null, 2)}\n`);
  return 0;
}

function rowPrinter(context: Context): (row: ReplayRow) => Promise<void> {
  if (context.json) return (row) => printJsonLine(context, row);
  const { paint } = context;
  const columns = new Columns({ paint, right: [0, 2], widths: [9, 24, 9], lineWidth: lineWidth(context) });
  let header = columns.line(
    ["POSITION", "TIME", "EVENTS", "STATE HASH"].map((text) => ({ text, style: "dim" })),
  );
  return async ({ position, time, events, stateHash }) => {
    const line = columns.line([
      count(position),
      { text: time ?? "-", style: "dim" },
      count(events),
      stateHash,
    ]);
    await printText(context, `${header === "" ? "" : `${header}\n`}${line}\n`);
    header = "";
  };
}
