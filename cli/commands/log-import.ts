import type { Command } from "commander";
import { type Act, example } from "../act.ts";
import { type Context, printJson, printText } from "../context.ts";
import { exitCode } from "../exit-codes.ts";
import { Progress } from "../progress.ts";
import { shellWord } from "../text.ts";
import { summaryText } from "./log-export.ts";

export function addLogImport(log: Command, act: Act): void {
  log
    .command("import")
    .argument("<file>", "an export; - is standard input")
    .description(
      "Put an export into a data directory of its own, as a copy to read: `log show`, `device get`, `replay` and the others that read find it there. No process runs from it.",
    )
    .addHelpText("after", example("npx tidemark log import node.tidemark --data-dir ./copy"))
    .action(act(importLog));
}

async function importLog(context: Context, _options: object, file: string): Promise<number> {
  const { importExport } = await import("../log-copy.ts");
  const progress = new Progress({
    output: context.world.stderr,
    label: "Importing",
    paint: context.paintError,
  });
  const onProgress = (events: number): void => progress.update(events);
  const { summary, directory } = await importExport(context, file, onProgress).finally(() => progress.end());
  const { header, end } = summary;
  if (context.json) {
    const { log, side, from } = header;
    await printJson(context, { directory, log, side, from, to: end.position, events: end.events });
  } else {
    await printText(
      context,
      `${summaryText(file, summary)}\nRead it with\n  npx tidemark log show --data-dir ${shellWord(context.dataDir)}\n`,
    );
  }
  return end.problems.length === 0 ? 0 : exitCode.incomplete;
}
