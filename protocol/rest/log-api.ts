/**
 * The log over HTTP, the same at the cloud and on the node:
 *
 *     GET /tidemark/v1/logs                          the logs there are
 *     GET /tidemark/v1/logs/LOG/events               ?from= &to= (positions) &last=N &follow=true   NDJSON, oldest first
 *                                                  ?since= &until= (instants: RFC 3339, ms since the epoch, -15m, now)
 *     GET /tidemark/v1/logs/LOG/events/ORIGIN/SEQ    one event
 *     GET /tidemark/v1/logs/LOG/verify               walks all that is stored, and has what is damaged fetched again from
 *                                                    the peer; ?refetch=false only looks
 *     GET /tidemark/v1/logs/LOG/stats
 *     GET /tidemark/v1/logs/LOG/export               ?from= &to= or ?since= &until=   bytes (docs/log-format.md)
 *                                                    &plain=true: secrets too, for a replay on the spot
 *
 * `LOG` is a node's name, or `cluster` behind `?cluster=true` so that a node of that name can be asked for too.
 */
import { type Log, type VerifyResult, recheckLog, verifyLog } from "../../core/log-verify.ts";
import { calibratedTime } from "../../core/clock.ts";
import { TidemarkError } from "../../core/errors.ts";
import type { ExportPart } from "../../core/export-format.ts";
import { exportLog, positionsWithin, writeExport } from "../../core/export-write.ts";
import { type Event, clusterLog, isIncarnation, nodeLog, nodeOfLog } from "../../core/event.ts";
import { type Cancelled, follow } from "../../core/follow.ts";
import { parseInstant, rfc3339 } from "../../core/time.ts";
import { productVersion } from "../version.ts";
import {
  type HttpRequest,
  type HttpResponse,
  jsonLine,
  jsonResponse,
  queryValue,
  statusResponse,
} from "./http.ts";

/** The logs that one process holds. */
export interface LogSource {
  logs(): Iterable<Log>;
  log(id: Log["id"]): Log | undefined;
  /** Ms since the epoch. */
  now(): number;
}

/** An event as `log tail`, `log show` and the API give it. */
export interface EventRow {
  /** The node's name, or `cluster`. */
  readonly log: string;
  readonly position: number;
  readonly origin: string;
  readonly seq: number;
  /** The vector clock beside the event's own entry. */
  readonly seen: Readonly<Record<string, number>>;
  readonly time: string;
  readonly type: string;
  readonly class: string;
  readonly key: string;
  readonly slot: string | null;
  readonly life: string | null;
  readonly body: unknown;
  readonly cause: string | null;
}

export function eventRow(log: Log["id"], event: Event): EventRow {
  return {
    log: logName(log),
    position: event.position,
    origin: event.origin,
    seq: event.seq,
    seen: Object.fromEntries(event.seen.map(({ origin, seq }) => [origin, seq])),
    time: rfc3339(event.time),
    type: event.type,
    class: event.class,
    key: event.key,
    slot: event.slot ?? null,
    life: event.life ?? null,
    body: event.body,
    cause: event.cause ?? null,
  };
}

export function logName(log: Log["id"]): string {
  return nodeOfLog(log) ?? "cluster";
}

/** @returns undefined when the path is not one of these */
export async function serveLogs(
  source: LogSource,
  request: HttpRequest,
  path: readonly string[],
  gone: Cancelled,
): Promise<HttpResponse | undefined> {
  if (path[0] !== "tidemark" || path[1] !== "v1" || path[2] !== "logs") return undefined;
  if (request.method !== "GET")
    return statusResponse(405, `${request.method} is not for logs; they can only be read`);
  if (path.length === 3) return jsonResponse(200, { items: [...source.logs()].map(statsOf) });
  const log = source.log(queryValue(request, "cluster") === "true" ? clusterLog : nodeLog(path[3] as string));
  if (log === undefined) return statusResponse(404, `there is no log of ${path[3] ?? "that name"} here`);
  const [verb, origin, seq, ...rest] = path.slice(4);
  if (rest.length > 0) return undefined;
  if (verb === "events" && origin === undefined)
    return eventStream(log, request, { nowMs: source.now(), gone });
  if (verb === "events" && seq !== undefined) return oneEvent(log, origin as string, Number(seq));
  if (verb === "verify" && origin === undefined) return verified(log, request);
  if (verb === "stats" && origin === undefined) return jsonResponse(200, await storedStatsOf(log));
  if (verb === "export" && origin === undefined) return exported(log, request, source.now());
  return undefined;
}

async function verified(log: Log, request: HttpRequest): Promise<HttpResponse> {
  const onlyLooks = queryValue(request, "refetch") === "false";
  return jsonResponse(200, verifyRow(await (onlyLooks ? verifyLog(log) : recheckLog(log))));
}

/** The parts of the export that a request to `…/export` asks for. */
export async function exportOf(
  log: Log,
  request: Pick<HttpRequest, "query">,
  nowMs: number,
): Promise<AsyncGenerator<ExportPart[]>> {
  const range = await positionsOf(log, request, nowMs);
  const redacts = queryValue(request, "plain") !== "true";
  return exportLog(log, { product: `tidemark ${productVersion}`, ...range, redacts });
}

async function exported(log: Log, request: HttpRequest, nowMs: number): Promise<HttpResponse> {
  const chunks = writeExport(await exportOf(log, request, nowMs), log.stored.digest);
  // What goes wrong at once is told as an error, and not by a stream that breaks off: the beginning, and the header.
  const [preamble, header] = [await chunks.next(), await chunks.next()];
  async function* body(): AsyncGenerator<Uint8Array> {
    if (preamble.done !== true) yield preamble.value;
    if (header.done !== true) yield header.value;
    yield* chunks;
  }
  return { status: 200, headers: { "content-type": "application/octet-stream" }, body: body() };
}

async function positionsOf(
  log: Log,
  request: Pick<HttpRequest, "query">,
  nowMs: number,
): Promise<{ readonly from?: number | undefined; readonly to?: number | undefined }> {
  const [since, until] = [instant(request, "since", nowMs), instant(request, "until", nowMs)];
  const [from, to] = [positiveNumber(request, "from"), positiveNumber(request, "to")];
  if (since === undefined && until === undefined) return { from, to };
  const found = await positionsWithin(log, withinTimes(log, since, until));
  if (found === undefined)
    throw new TidemarkError("NOT_FOUND", `the log of ${logName(log.id)} has no events of that time`);
  return { from: from ?? found.from, to: to ?? found.to };
}

async function oneEvent(log: Log, origin: string, seq: number): Promise<HttpResponse> {
  if (isIncarnation(origin) && Number.isSafeInteger(seq) && seq > 0) {
    const event = await log.eventAt(origin, seq);
    if (event !== undefined) return jsonResponse(200, eventRow(log.id, event));
  }
  return statusResponse(404, `event ${origin}/${seq} is not in the log of ${logName(log.id)}`);
}

function eventStream(
  log: Log,
  request: HttpRequest,
  { nowMs, gone }: { readonly nowMs: number; readonly gone: Cancelled },
): HttpResponse {
  const last = positiveNumber(request, "last");
  const from = positiveNumber(request, "from") ?? 1;
  const to = positiveNumber(request, "to") ?? log.position;
  const start = last === undefined ? from : Math.max(1, log.position - last + 1);
  const following = queryValue(request, "follow") === "true";
  const wanted = withinTimes(log, instant(request, "since", nowMs), instant(request, "until", nowMs));
  const batches = following ? follow(log, start, gone) : upTo(log, start, to, gone);
  const body = linesOf(log, batches, wanted);
  return { status: 200, headers: { "content-type": "application/x-ndjson" }, body };
}

/** Both ends count in. Times are compared as the clocks that were put right since would have said them. */
function withinTimes(
  log: Log,
  since: number | undefined,
  until: number | undefined,
): (event: Event) => boolean {
  if (since !== undefined && until !== undefined && since > until) {
    throw new TidemarkError("USAGE", `the range is reversed: it begins ${rfc3339(since)}, and ends before`);
  }
  if (since === undefined && until === undefined) return () => true;
  return (event) => {
    const time = calibratedTime(log.registers.eras, event);
    return time >= (since ?? -Infinity) && time <= (until ?? Infinity);
  };
}

function instant(request: Pick<HttpRequest, "query">, name: string, nowMs: number): number | undefined {
  const text = queryValue(request, name);
  if (text === undefined) return undefined;
  const time = parseInstant(text, nowMs);
  if (time !== undefined) return time;
  throw new TidemarkError(
    "USAGE",
    `${name}=${text} is no instant: write 2026-09-01T12:00:00Z, ms since the epoch, -15m, or now`,
  );
}

async function* upTo(log: Log, from: number, to: number, gone: Cancelled): AsyncGenerator<readonly Event[]> {
  let next = from;
  while (next <= to && !gone.aborted) {
    const events = await log.read(next);
    if (events.length === 0) return;
    next = (events.at(-1) as Event).position + 1;
    yield events.filter((event) => event.position <= to);
  }
}

async function* linesOf(
  log: Log,
  batches: AsyncIterable<readonly Event[]>,
  wanted: (event: Event) => boolean,
): AsyncGenerator<string> {
  for await (const events of batches) {
    const lines = events.filter(wanted).map((event) => jsonLine(eventRow(log.id, event)));
    if (lines.length > 0) yield lines.join("");
  }
}

function positiveNumber(request: Pick<HttpRequest, "query">, name: string): number | undefined {
  const text = queryValue(request, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new TidemarkError("USAGE", `${name}=${text} is not a positive whole number`);
}

/** `log verify`: hashes are the chain's, in hexadecimal. */
export interface VerifyRow {
  readonly ok: boolean;
  readonly events: number;
  readonly segments: number;
  readonly origins: Readonly<Record<string, { first: number; last: number; hash: string }>>;
  readonly problems: readonly { code: string; origin: string | null; from: number; to: number }[];
}

export function verifyRow({ result, origins }: VerifyResult): VerifyRow {
  return {
    ok: result.problems.length === 0,
    events: result.events,
    segments: result.segments,
    origins,
    problems: result.problems.map(({ code, origin, from, to }) => ({
      code,
      origin: origin ?? null,
      from,
      to,
    })),
  };
}

export interface StatsRow {
  readonly log: string;
  readonly side: string;
  readonly live: string;
  readonly events: number;
  readonly objects: number;
  readonly vector: Readonly<Record<string, number>>;
  readonly waitingBytes: number;
  readonly unauthorised: number;
  readonly problems: number;
}

/** `log stats`: also how it is stored. Bytes are those of records, without the indexes. */
export interface StoredStatsRow extends StatsRow {
  readonly stored: {
    /** Events that are in a block, and the blocks. */
    readonly mergedEvents: number;
    readonly blocks: number;
    readonly blockBytes: number;
    readonly unmergedEvents: number;
    readonly segments: number;
    readonly segmentBytes: number;
    /** Over all; null of an empty log. */
    readonly bytesPerEvent: number | null;
  };
}

export async function storedStatsOf(log: Log): Promise<StoredStatsRow> {
  const { blocks, blockEvents, blockBytes, segments, segmentEvents, segmentBytes } =
    await log.stored.store.shape(log.id);
  const events = blockEvents + segmentEvents;
  const stored = {
    mergedEvents: blockEvents,
    blocks,
    blockBytes,
    unmergedEvents: segmentEvents,
    segments,
    segmentBytes,
    bytesPerEvent: events === 0 ? null : Math.round(((blockBytes + segmentBytes) / events) * 10) / 10,
  };
  return { ...statsOf(log), stored };
}

export function statsOf(log: Log): StatsRow {
  return {
    log: logName(log.id),
    side: log.side,
    live: log.incarnation,
    events: log.position,
    objects: log.registers.objects.size,
    vector: log.vector(),
    waitingBytes: log.waitingBytes,
    unauthorised: log.unauthorised,
    problems: log.problems.length,
  };
}
