/** Where the past is read from: the logs that a process holds, and what it knows of their other sides. */
import { TidemarkError } from "../../core/errors.ts";
import type { Cancelled } from "../../core/follow.ts";
import { type EventId, type LogId, nodeLog, nodeOfLog, parseEventId } from "../../core/event.ts";
import { type PastLog, beginningOf, placeOf } from "../../core/past.ts";
import { pastOf } from "../../core/log-past.ts";
import { currentLife } from "../../core/registers.ts";
import { rfc3339 } from "../../core/time.ts";
import type { DeviceName } from "../devices/past.ts";
import { deviceKey } from "../devices/topics.ts";
import type { FoundEvent } from "../devices/why.ts";
import { type Gap, type Span, holesIn, peerGap } from "./completeness.ts";
import { type HttpRequest, queryValue } from "./http.ts";
import type { LogSource } from "./log-api.ts";
import type { LinkView } from "./status-api.ts";

export interface PastSource {
  logs(): Iterable<PastLog>;
  log(id: LogId): PastLog | undefined;
  /** The link to the other side of a node's log; undefined while nothing is known of it. */
  link(node: string): LinkView | undefined;
  /** Ms since the epoch. */
  now(): number;
}

/** @param link the link to the other side of a node's log, as far as it is known */
export function pastSourceOf(source: LogSource, link: PastSource["link"]): PastSource {
  return {
    logs: () => Array.from(source.logs(), pastOf),
    log: (id) => {
      const log = source.log(id);
      return log && pastOf(log);
    },
    link,
    now: () => source.now(),
  };
}

/** What is asked about: a device, in the named node's log or wherever it is. */
export interface Asked extends DeviceName {
  readonly node: string | undefined;
  readonly request: HttpRequest;
  readonly gone: Cancelled;
}

/** What every answer about the past says of itself. */
export interface PastAnswer {
  readonly complete: boolean;
  readonly gaps: readonly Gap[];
  /** The earliest time of which something is held; null for an empty log. */
  readonly earliest: string | null;
  readonly warnings: readonly string[];
}

/** @throws NODE_UNKNOWN */
export function logOfNode(source: PastSource, node: string): PastLog {
  const log = source.log(nodeLog(node));
  if (log !== undefined) return log;
  throw new TidemarkError("NODE_UNKNOWN", `there is no log of a node ${node} here`, { data: { node } });
}

/**
 * The logs that know a device: the named node's alone; else that of the node where it is, then those of nodes where it
 * was, the latest first, then the cluster's.
 * @throws NOT_FOUND when it was in none; NODE_UNKNOWN
 */
export async function logsOfDevice(
  source: PastSource,
  { node, namespace, name }: DeviceName & { readonly node: string | undefined },
): Promise<readonly [PastLog, ...PastLog[]]> {
  if (node !== undefined) return [logOfNode(source, node)];
  const key = deviceKey(namespace, name);
  const ranked: { readonly log: PastLog; readonly rank: number }[] = [];
  for (const log of source.logs()) {
    if (!log.registers.objects.has(key)) continue;
    if (nodeOfLog(log.id) === undefined) ranked.push({ log, rank: -1 });
    else if (currentLife(log.registers, key) !== undefined) ranked.push({ log, rank: Infinity });
    else ranked.push({ log, rank: await latestBirth(log, key) });
  }
  const [first, ...others] = ranked.sort((a, b) => b.rank - a.rank).map(({ log }) => log);
  if (first !== undefined) return [first, ...others];
  throw new TidemarkError("NOT_FOUND", `nothing is known here of a device ${namespace}/${name}`, {
    data: { reason: "never" },
  });
}

async function latestBirth(log: PastLog, key: string): Promise<number> {
  let latest = 0;
  for (const id of log.registers.objects.get(key)?.keys() ?? []) {
    const { event } = (await eventIn(log, id)) ?? {};
    if (event !== undefined) latest = Math.max(latest, placeOf(log.registers, event).time);
  }
  return latest;
}

/** @returns undefined when this log does not hold it */
async function eventIn(log: PastLog, id: EventId): Promise<FoundEvent | undefined> {
  const named = parseEventId(id);
  const event =
    named === undefined || !log.histories.has(named.origin)
      ? undefined
      : await log.eventAt(named.origin, named.seq);
  return event === undefined ? undefined : { log, node: nodeOfLog(log.id) ?? null, event };
}

/** Finds an event, in `near` or, since the cluster's events lead to those of nodes, in another log. */
export async function findEvent(
  source: Pick<PastSource, "logs">,
  near: PastLog | undefined,
  id: EventId,
): Promise<FoundEvent | undefined> {
  const here = near === undefined ? undefined : await eventIn(near, id);
  if (here !== undefined) return here;
  for (const log of source.logs()) {
    const there = log.id === near?.id ? undefined : await eventIn(log, id);
    if (there !== undefined) return there;
  }
  return undefined;
}

/** @param options.span what was asked for; without one only the given gaps count */
export async function aboutAnswer(
  source: PastSource,
  log: PastLog,
  options: {
    readonly span?: Span | undefined;
    readonly gaps?: readonly Gap[];
    readonly warnings?: readonly string[];
  },
): Promise<PastAnswer> {
  const { span, gaps = [], warnings = [] } = options;
  const node = nodeOfLog(log.id);
  const all = [...gaps];
  if (span !== undefined) all.push(...(await holesIn(log, span)));
  if (span !== undefined && span.isOpen && node !== undefined) {
    all.push(...(await peerGap(log, source.link(node), span, source.now())));
  }
  const beginning = await beginningOf(log);
  return {
    complete: all.length === 0,
    gaps: all,
    earliest: beginning === undefined ? null : rfc3339(beginning.time),
    warnings,
  };
}

/** Other logs that know the device too: whoever asks may mean those. */
export function otherNodes(others: readonly PastLog[]): string[] {
  const nodes = others.flatMap(({ id }) => nodeOfLog(id) ?? []);
  if (nodes.length === 0) return [];
  return [`the device was on ${nodes.join(", ")} too: name one of them to ask its log`];
}

/** @throws FORGOTTEN for what is earlier than all that is held, where there once was more */
export async function assertKept(log: PastLog, time: number): Promise<void> {
  const beginning = await beginningOf(log);
  if (beginning === undefined || !beginning.isForgotten || time >= beginning.time) return;
  const earliest = rfc3339(beginning.time);
  throw new TidemarkError(
    "FORGOTTEN",
    `what was so at ${rfc3339(time)} is no longer kept: the earliest is ${earliest}`,
    { data: { earliest } },
  );
}

export function futureWarning(name: string, time: number, nowMs: number): string[] {
  if (time <= nowMs) return [];
  return [`${name} ${rfc3339(time)} is in the future: the answer is of ${rfc3339(nowMs)}`];
}

/** A parameter that must be there. @throws USAGE */
export function required(request: HttpRequest, name: string, what: string): string {
  const text = queryValue(request, name);
  if (text !== undefined && text !== "") return text;
  throw new TidemarkError("USAGE", `${name} is missing: say ${what}`);
}
