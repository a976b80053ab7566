import { createInterface } from "node:readline";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { TidemarkError } from "../../core/errors.ts";
import { type Comparison, type Parting, compare } from "../../protocol/replay/compare.ts";
import type { ReplayRow } from "../../protocol/replay/rebuild.ts";
import { hasErrno } from "../../protocol/adapters/files.ts";
import type { Replay } from "../commands/replay.ts";
import { type Context, absolute, lineWidth, printJson, printText } from "../context.ts";
import { exitCode } from "../exit-codes.ts";
import { facts } from "../table.ts";
import { count, counted } from "../text.ts";
import { differencesText } from "./differences-text.ts";

/** @returns 0 when no checkpoint differs, else 1 */
export async function compareWith(
  context: Context,
  file: string,
  { rebuild, projection, progress }: Replay,
): Promise<number> {
  const comparison = await compare(rebuild, rowsOf(context, file), projection.name);
  progress.end();
  if (context.json) await printJson(context, { ...comparison, isSame: isSame(comparison) });
  else await printText(context, comparisonText(context, comparison));
  return isSame(comparison) ? 0 : exitCode.failed;
}

function isSame({ parted, beyond }: Comparison): boolean {
  return parted === undefined && beyond === undefined;
}

function comparisonText(context: Context, { same, parted, beyond }: Comparison): string {
  const { paint } = context;
  if (parted !== undefined) return partingText(context, parted);
  if (beyond !== undefined)
    return `${paint("red", "differs")}  the file goes on to position ${count(beyond)}, which this log does not reach\n`;
  return `${paint("green", "same")}  at ${counted(same, "checkpoint")}\n`;
}

function partingText(context: Context, parting: Parting): string {
  const { paint } = context;
  const { position, since, event, key, type, theirs, ours, differences } = parting;
  const from = (since ?? 0) + 1;
  const where =
    event === undefined
      ? `between positions ${count(from)} and ${count(position)}`
      : `at position ${count(position)}`;
  const every = Math.max(1, Math.floor((position - from) / 1000));
  const lines = [
    `${paint("red", "differs")}  they part ${where}\n`,
    facts(
      [
        ["event", event],
        ["type", type],
        ["key", key],
        ["in the file", theirs],
        ["here", ours],
      ],
      context,
    ),
  ];
  if (event === undefined) {
    lines.push(
      `\nTo find the event, let the other build print more of it, and compare again:\n  npx tidemark replay --json --from ${from} --until ${position} --checkpoint-every ${every}\n`,
    );
  }
  if (differences !== undefined)
    lines.push(
      "\nIn the file → here:\n",
      differencesText(differences, { paint, lineWidth: lineWidth(context) }),
    );
  return lines.join("");
}

async function* rowsOf(context: Context, file: string): AsyncGenerator<ReplayRow> {
  const { world } = context;
  const input = file === "-" ? world.stdin : createReadStream(absolute(world, file));
  try {
    for await (const line of createInterface({ input: Readable.from(input) }))
      if (line !== "") yield rowOf(line, file);
  } catch (cause) {
    if (!hasErrno(cause, "ENOENT")) throw cause;
    throw new TidemarkError("USAGE", `there is no file ${file} to compare with`, { cause });
  }
}

function rowOf(line: string, file: string): ReplayRow {
  try {
    return JSON.parse(line) as ReplayRow;
  } catch (cause) {
    throw new TidemarkError("USAGE", `${file} is not the output of \`tidemark replay --json\``, { cause });
  }
}
