/** A device's changes over HTTP: a page as JSON, or all pages as NDJSON. */
import { TidemarkError } from "../../core/errors.ts";
import type { PastLog } from "../../core/past.ts";
import { type HistoryItem, type HistoryPage, type HistoryQuery, deviceHistory } from "../devices/history.ts";
import { type HttpRequest, type HttpResponse, jsonLine, jsonResponse, queryValue } from "./http.ts";
import { parseMoment, placeOfMoment } from "./moment.ts";
import { assertOrder } from "./past-state.ts";
import {
  type Asked,
  type PastAnswer,
  type PastSource,
  aboutAnswer,
  assertKept,
  futureWarning,
  logsOfDevice,
  otherNodes,
} from "./past-source.ts";

/** `device history --json` */
export interface HistoryAnswer extends PastAnswer {
  readonly items: readonly HistoryItem[];
  readonly next: string | null;
}

const limitDefault = 1000;
const limitMax = 10_000;

export async function answerHistory(source: PastSource, asked: Asked): Promise<HttpResponse> {
  const { request, gone } = asked;
  const now = source.now();
  const logs = await logsOfDevice(source, asked);
  const [first] = logs;
  const moments = ["from", "to"].map((name) => {
    const text = queryValue(request, name);
    return text === undefined ? undefined : parseMoment(name, text, now);
  });
  // An event is in one log, whichever of those it is.
  const log =
    logs.find(({ histories }) =>
      moments.every((each) => each?.id === undefined || histories.has(each.id.origin)),
    ) ?? first;
  const [from, to] = await Promise.all(
    moments.map(async (each) => (each === undefined ? undefined : placeOfMoment(log, each))),
  );
  if (from !== undefined && to !== undefined) assertOrder(log, from, to);
  if (from !== undefined) await assertKept(log, from.time);
  const query: HistoryQuery = {
    from,
    to,
    property: queryValue(request, "property"),
    cursor: queryValue(request, "cursor"),
    limit: limitOf(request),
    descending: orderOf(request) === "desc",
  };
  const about = await aboutAnswer(source, log, {
    span: { from: from?.time ?? -Infinity, to: to?.time ?? Infinity, isOpen: true },
    warnings: [
      ...otherNodes(logs.filter((other) => other !== log)),
      ...futureWarning("from", from?.time ?? 0, now),
      ...futureWarning("to", to?.time ?? 0, now),
    ],
  });
  const page = await deviceHistory(log, asked, query, gone);
  if (wantsLines(request)) {
    const body = allPages({ log, asked, query, page, about });
    return { status: 200, headers: { "content-type": "application/x-ndjson" }, body };
  }
  const { complete, gaps, earliest, warnings } = about;
  const body: HistoryAnswer = { items: page.items, earliest, complete, gaps, warnings, next: page.next };
  return jsonResponse(200, body);
}

/** A line for each change; the last one says what a page says beside its items. */
async function* allPages(options: {
  readonly log: PastLog;
  readonly asked: Asked;
  readonly query: HistoryQuery;
  readonly page: HistoryPage;
  readonly about: PastAnswer;
}): AsyncGenerator<string> {
  const { log, asked, query, about } = options;
  let { page } = options;
  for (;;) {
    yield page.items.map(jsonLine).join("");
    if (page.next === null || asked.gone.aborted) break;
    page = await deviceHistory(log, asked, { ...query, limit: limitMax, cursor: page.next }, asked.gone);
  }
  yield jsonLine({ ...about, next: null });
}

function wantsLines(request: HttpRequest): boolean {
  const format = queryValue(request, "format");
  if (format === undefined) return request.headers["accept"] === "application/x-ndjson";
  if (format === "ndjson" || format === "json") return format === "ndjson";
  throw new TidemarkError("USAGE", `format=${format} is not known: it is json or ndjson`);
}

function orderOf(request: HttpRequest): string {
  const order = queryValue(request, "order") ?? "asc";
  if (order === "asc" || order === "desc") return order;
  throw new TidemarkError("USAGE", `order=${order} is not known: it is asc, oldest first, or desc`);
}

function limitOf(request: HttpRequest): number {
  const text = queryValue(request, "limit");
  const limit = text === undefined ? limitDefault : Number(text);
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= limitMax) return limit;
  throw new TidemarkError(
    "USAGE",
    `limit=${text} is not a number from 1 to ${limitMax}: ask for more by pages`,
  );
}
