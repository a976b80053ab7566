import type { Command } from "commander";
import { TidemarkError } from "../../core/errors.ts";
import type { EventRow, StatsRow, StoredStatsRow } from "../../protocol/rest/log-api.ts";
import { type Act, example } from "../act.ts";
import { type Context, lineWidth, printJson, printJsonLine, printNote, printText } from "../context.ts";
import { exitCode } from "../exit-codes.ts";
import { parseBound, rangeQuery } from "../log-range.ts";
import { EventLines, type LogTextOptions, eventText, statsText, verifyText } from "../log-text.ts";
import { resolveEventId, shortOrigins } from "../names.ts";
import { Progress } from "../progress.ts";
import { type LogRef, type Query, type Target, logPath, logQuery, openSide } from "../target.ts";
import { type LogOptions, logCommand, withLog } from "../with-log.ts";
import { addLogExport } from "./log-export.ts";
import { addLogImport } from "./log-import.ts";
import { addLogRepair } from "./log-repair.ts";

export function addLog(program: Command, act: Act): void {
  const log = program
    .command("log")
    .summary("the log itself: its last events, a range, its soundness, copies of it")
    .description("The log itself: of the only node, of --node NAME, or of the cluster.")
    .addHelpText("after", example("npx tidemark log tail -f"));
  logCommand(log, "tail")
    .option("-f, --follow", "go on with what comes, until interrupted")
    .option("--last <count>", "how many events to begin with", "20")
    .description("Print the last events, oldest first.")
    .addHelpText("after", example("npx tidemark log tail -f --last 5", "npx tidemark log tail --cluster"))
    .action(act(tail));
  logCommand(log, "show")
    .argument("[id]", "one event: ORIGIN/SEQ")
    .option("--from <place>", "first: a position, an instant, or ORIGIN/SEQ")
    .option("--to <place>", "last, which counts in")
    .description(
      "Print the whole log, a range of it, or all of one event, oldest first. Instants: 2026-09-01T12:00:00Z, ms since the epoch, -15m, now.",
    )
    .addHelpText("after", example("npx tidemark log show --from -15m", "npx tidemark log show n4k2p/17"))
    .action(act(show));
  logCommand(log, "verify")
    .description(
      "Walk all that is stored of a side's copy: checksums, missing sequences, hash chains. The cloud's copy, where there is a cloud in the data directory, else the node's, unless --side or --server says otherwise. Exit code 1 when not sound.",
    )
    .addHelpText(
      "after",
      example("npx tidemark log verify", "npx tidemark log verify --node edge-node-1 --side node"),
    )
    .action(act(verify));
  addLogRepair(log, act);
  logCommand(log, "stats")
    .description("Say how much there is of what, and what it takes: merged into blocks, and not yet.")
    .addHelpText("after", example("npx tidemark log stats --cluster --json"))
    .action(act(stats));
  addLogExport(log, act);
  addLogImport(log, act);
}

function textOptions(context: Context): LogTextOptions {
  return { paint: context.paint, lineWidth: lineWidth(context) };
}

interface TailOptions extends LogOptions {
  readonly follow?: boolean;
  readonly last: string;
}

function tail(context: Context, options: TailOptions): Promise<number> {
  if (!/^[0-9]{1,9}$/.test(options.last)) {
    throw new TidemarkError("USAGE", `--last ${options.last} is no count of events`);
  }
  const last = Number(options.last);
  return withLog(context, options, async (target, ref, row) => {
    const follow = options.follow === true && target.isRunning;
    const start = { from: String(Math.max(0, row.events - last) + 1) };
    if (last > 0 || follow) {
      await printEvents(context, { target, ref, row }, { ...start, follow: follow ? "true" : undefined });
    }
    if (options.follow !== true) return 0;
    if (follow && context.world.stopping().aborted) return 0;
    throw new TidemarkError("NOT_REACHABLE", `${target.name} brings no more events: start the process`);
  });
}

interface ShowOptions extends LogOptions {
  readonly from?: string;
  readonly to?: string;
}

function show(context: Context, options: ShowOptions, id?: string): Promise<number> {
  const nowMs = context.world.now();
  const [from, to] = [options.from, options.to].map((text) =>
    text === undefined ? undefined : parseBound(text, nowMs),
  );
  if (id !== undefined && (from ?? to) !== undefined)
    throw new TidemarkError("USAGE", "one event, or a range: not both");
  return withLog(context, options, async (target, ref, row) => {
    const event = async (text: string): Promise<EventRow> => {
      const { origin, seq } = resolveEventId(text, Object.keys(row.vector));
      return (await target.get(logPath(ref, `/events/${origin}/${seq}`), logQuery(ref))) as EventRow;
    };
    if (id !== undefined) {
      const found = await event(id);
      if (context.json) await printJson(context, found);
      else await printText(context, eventText(found, textOptions(context)));
      return 0;
    }
    const query = await rangeQuery(from, to, async (text) => (await event(text)).position);
    await printEvents(context, { target, ref, row }, query);
    return 0;
  });
}

interface Chosen {
  readonly target: Target;
  readonly ref: LogRef;
  readonly row: StatsRow;
}

/** Lines are aligned over so many events at a time, where they come fast enough. */
const batchMax = 200;

async function printEvents(context: Context, { target, ref, row }: Chosen, query: Query): Promise<void> {
  const follows = query["follow"] === "true";
  const origins = new Set(Object.keys(row.vector));
  let short = shortOrigins(origins);
  const shorten = (origin: string): string => {
    if (!short.has(origin)) short = shortOrigins(origins.add(origin));
    return short.get(origin) ?? origin;
  };
  const lines = new EventLines(shorten, textOptions(context));
  const signal = follows ? context.world.stopping() : undefined;
  let batch: EventRow[] = [];
  const flush = async (): Promise<void> => {
    const full = batch;
    batch = [];
    if (full.length > 0) await printText(context, lines.lines(full));
  };
  let position = Number(query["from"] ?? 1) - 1;
  for await (const found of target.lines(logPath(ref, "/events"), { ...query, ...logQuery(ref) }, signal)) {
    const event = found as EventRow;
    position = event.position;
    if (context.json) {
      await printJsonLine(context, event);
      continue;
    }
    batch.push(event);
    // What there was at the beginning comes together; after that, each as it comes.
    if (batch.length >= batchMax || (follows && position >= row.events)) await flush();
  }
  await flush();
}

function verify(context: Context, options: LogOptions): Promise<number> {
  const walk = async (target: Target, ref: LogRef, row: StatsRow): Promise<number> => {
    const progress = new Progress({
      output: context.world.stderr,
      label: "Verifying",
      paint: context.paintError,
      ...(!target.isRunning && { total: row.events }),
    });
    const result = await target
      .verify(ref, (events) => progress.update(events))
      .finally(() => progress.end());
    if (context.json) await printJson(context, { ...result, asked: target.name });
    else {
      await printNote(context, `${context.paintError("dim", `asked ${target.name}`)}\n`);
      await printText(
        context,
        verifyText(ref.isCluster ? "the cluster" : ref.name, result, textOptions(context)),
      );
    }
    return result.ok ? 0 : exitCode.failed;
  };
  return withLog(context, options, walk, openSide);
}

async function stats(context: Context, options: LogOptions): Promise<void> {
  await withLog(context, options, async (target, ref) => {
    const row = (await target.get(logPath(ref, "/stats"), logQuery(ref))) as StoredStatsRow;
    if (context.json) await printJson(context, row);
    else await printText(context, statsText(row, textOptions(context)));
  });
}
