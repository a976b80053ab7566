/** Where a replay's events come from: a running process, the log that a stopped one left, or an export. */
import { TidemarkError } from "../../core/errors.ts";
import type { ExportPart } from "../../core/export-format.ts";
import { readExport } from "../../core/export-read.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import type { Until } from "../../protocol/replay/rebuild.ts";
import type { Context } from "../context.ts";
import { pieces } from "../export-source.ts";
import { chooseLog, logsOf } from "../log-choice.ts";
import { parseBound } from "../log-range.ts";
import { type Query, openTarget } from "../target.ts";
import type { LogOptions } from "../with-log.ts";

export interface Source {
  readonly parts: AsyncIterable<readonly ExportPart[]>;
  /** How many there are, where that is known. */
  readonly events: number | undefined;
  close(): Promise<void>;
}

export interface SourceOptions extends LogOptions {
  readonly file?: string;
  readonly redact?: boolean;
}

/** @throws USAGE */
export function untilOf(text: string | undefined, nowMs: number): Until | undefined {
  return text === undefined ? undefined : parseBound(text, nowMs);
}

export async function openSource(
  context: Context,
  options: SourceOptions,
  until: Until | undefined,
): Promise<Source> {
  const { file } = options;
  if (file !== undefined) {
    if (options.redact === true)
      throw new TidemarkError("USAGE", "what an export left out is not in it: leave --redact out");
    const parts = readExport(pieces(context.world, file), nodeDigest);
    return { parts, events: undefined, close: () => Promise.resolve() };
  }
  const isCluster = options.cluster === true;
  const target = await openTarget(context, isCluster ? "cloud" : options.side);
  try {
    const { ref, row } = chooseLog(await logsOf(target), { node: context.node, isCluster });
    const to = until !== undefined && "position" in until ? Math.max(1, until.position) : undefined;
    const query: Query = {
      ...(to !== undefined && { to: String(to) }),
      ...(options.redact !== true && { plain: "true" }),
    };
    const parts = target.exportParts(ref, query);
    return { parts, events: Math.min(row.events, to ?? row.events), close: () => target.close() };
  } catch (error) {
    await target.close();
    throw error;
  }
}
