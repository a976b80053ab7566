import type { Command } from "commander";
import { TidemarkError } from "../../core/errors.ts";
import { nodeOfLog } from "../../core/event.ts";
import type { EventRow } from "../../protocol/rest/log-api.ts";
import { type Act, example } from "../act.ts";
import { type Context, absolute, printJson, printNote } from "../context.ts";
import { exitCode } from "../exit-codes.ts";
import { type Summary, printBytes, summaryOf, withNewFile, written } from "../export-source.ts";
import { parseBound, rangeQuery } from "../log-range.ts";
import { resolveEventId } from "../names.ts";
import { Progress } from "../progress.ts";
import { logPath, logQuery } from "../target.ts";
import { count, counted } from "../text.ts";
import { type LogOptions, logCommand, withLog } from "../with-log.ts";

interface ExportOptions extends LogOptions {
  readonly from?: string;
  readonly to?: string;
  readonly output?: string;
}

export function addLogExport(log: Command, act: Act): void {
  logCommand(log, "export")
    .option("--from <place>", "first: a position, an instant, or ORIGIN/SEQ")
    .option("--to <place>", "last, which counts in")
    .option("-o, --output <file>", "where to; - is standard output")
    .description(
      "Write the log, or a slice of it, as one file with the state before it: `replay --file` and `log import` read it anywhere. Values of Secrets are left out.",
    )
    .addHelpText(
      "after",
      example(
        "npx tidemark log export -o node.tidemark",
        "npx tidemark log export --from -1h -o - | ssh me@there 'cat > hour'",
      ),
    )
    .action(act(exportLog));
}

async function exportLog(context: Context, options: ExportOptions): Promise<number> {
  const file = options.output;
  if (file === undefined)
    throw new TidemarkError("USAGE", "say where to write it: -o FILE, or -o - for standard output");
  const { world } = context;
  const [from, to] = [options.from, options.to].map((text) =>
    text === undefined ? undefined : parseBound(text, world.now()),
  );
  return withLog(context, options, async (target, ref, row) => {
    const positionOf = async (text: string): Promise<number> => {
      const { origin, seq } = resolveEventId(text, Object.keys(row.vector));
      const event = await target.get(logPath(ref, `/events/${origin}/${seq}`), logQuery(ref));
      return (event as EventRow).position;
    };
    const range = await rangeQuery(from, to, positionOf);
    const progress = new Progress({ output: world.stderr, label: "Exporting", paint: context.paintError });
    let events = 0;
    const fill = (write: (chunk: Uint8Array) => Promise<void>): Promise<Summary> =>
      summaryOf(written(target.exportBytes(ref, range), write), (part) => {
        if (part.kind === "segment") progress.update((events += part.segment.count));
      });
    const toOutput = (chunk: Uint8Array): Promise<void> => printBytes(world.stdout, chunk);
    const summary = await (
      file === "-" ? fill(toOutput) : withNewFile(world, absolute(world, file), fill)
    ).finally(() => progress.end());
    if (context.json && file !== "-") await printJson(context, jsonOf(file, summary));
    else await printNote(context, summaryText(file, summary));
    return summary.end.problems.length === 0 ? 0 : exitCode.incomplete;
  });
}

function jsonOf(file: string, { header, end }: Summary): unknown {
  const { log, side, from, product } = header;
  const { position, segments, events, redacted, problems } = end;
  return {
    file,
    log: nodeOfLog(log) ?? "cluster",
    side,
    product,
    from,
    to: position,
    segments,
    events,
    redacted,
    problems,
  };
}

/** What an export holds, in a line or two. */
export function summaryText(file: string, { header, end }: Summary): string {
  const name = nodeOfLog(header.log) ?? "the cluster";
  const lines = [
    `${file}: the log of ${name} as the ${header.side} has it, positions ${count(header.from)} to ${count(end.position)}, ${counted(end.events, "event")} in ${counted(end.segments, "segment")}\n`,
  ];
  if (end.redacted > 0) lines.push(`left out: the secrets of ${counted(end.redacted, "event")}\n`);
  if (end.problems.length > 0)
    lines.push("not complete: the log has damage in this range, which `tidemark log verify` shows\n");
  return lines.join("");
}
