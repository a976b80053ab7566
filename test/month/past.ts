/** Asks a log for the past, and compares it with what devices said then. */
import { hasCode } from "../../core/errors.ts";
import { pastOf } from "../../core/log-past.ts";
import type { Log } from "../../core/log.ts";
import { beginningOf, cutAt, registersAt } from "../../core/past.ts";
import { currentLife } from "../../core/registers.ts";
import { gapsAt } from "../../protocol/rest/completeness.ts";
import type { Seeded } from "../sim/random.ts";
import { type Model, numberIn } from "./model.ts";

export interface PastFindings {
  asked: number;
  right: number;
  /** Said to be incomplete, as it was. */
  incomplete: number;
  /** Not answered, over damage that was found on the way. */
  refused: number;
  /** How far back, ms, at least and at most. */
  reachMs: { least: number; most: number };
}

export function noFindings(): PastFindings {
  return {
    asked: 0,
    right: 0,
    incomplete: 0,
    refused: 0,
    reachMs: { least: Number.POSITIVE_INFINITY, most: 0 },
  };
}

interface Question {
  readonly log: Log;
  readonly keys: readonly string[];
  readonly model: Model;
  readonly random: Seeded;
  readonly findings: PastFindings;
}

const asks = 40;

/** @returns what was wrong */
export async function askPast({ log, keys, model, random, findings }: Question): Promise<string[]> {
  try {
    return await answers({ log, keys, model, random, findings });
  } catch (error) {
    // The disk is damaged where the answer is: the process begins anew, and derives it again.
    if (!hasCode(error, "SEGMENT_CORRUPT") && !hasCode(error, "LOG_CLOSED")) throw error;
    findings.refused += 1;
    return [];
  }
}

async function answers({ log, keys, model, random, findings }: Question): Promise<string[]> {
  const past = pastOf(log);
  const beginning = await beginningOf(past);
  const last = await lastReportMs(log);
  if (beginning === undefined || last === undefined) return [];
  const wrong: string[] = [];
  const { reachMs } = findings;
  reachMs.least = Math.min(reachMs.least, last - beginning.time);
  reachMs.most = Math.max(reachMs.most, last - beginning.time);
  for (let nth = 0; nth < asks; nth += 1) {
    const timeMs = beginning.time + random.fraction() * (last - beginning.time);
    const key = random.pick(keys);
    const cut = await cutAt(past, timeMs);
    const life = currentLife(await registersAt(past, cut, [key]), key);
    const reported = life?.slots.get(`reported/p${random.between(0, 19)}`)?.node;
    const found = reported === undefined ? undefined : numberIn((reported.body as readonly unknown[])[0]);
    const wanted = model.saidAt(key, timeMs);
    findings.asked += 1;
    if (found === wanted) findings.right += 1;
    else if (await gapsAt(past, timeMs)) findings.incomplete += 1;
    else wrong.push(`${key} at ${timeMs} was ${wanted}, and is said to have been ${found}`);
  }
  return wrong;
}

/** When the last report happened that is held. */
async function lastReportMs(log: Log): Promise<number | undefined> {
  let last: number | undefined;
  for (const [key] of log.registers.objects) {
    for (const { node } of currentLife(log.registers, key)?.slots.values() ?? [])
      if (node?.type === "twin.reported") last = Math.max(last ?? 0, node.time);
  }
  return last;
}
