/** Answers about causes. */
import { TidemarkError } from "../../core/errors.ts";
import { type EventId, eventId, nodeOfLog, parseEventId } from "../../core/event.ts";
import type { Cancelled } from "../../core/follow.ts";
import { currentLife, winner } from "../../core/registers.ts";
import { deviceKey } from "../devices/topics.ts";
import { desiredSlot, reportedSlot } from "../devices/twin-view.ts";
import { type FoundEvent, type Why, why } from "../devices/why.ts";
import type { Gap, Span } from "./completeness.ts";
import { type HttpRequest, type HttpResponse, jsonResponse } from "./http.ts";
import {
  type Asked,
  type PastAnswer,
  type PastSource,
  aboutAnswer,
  findEvent,
  logOfNode,
  logsOfDevice,
  otherNodes,
  required,
} from "./past-source.ts";

/** `why --json` */
export interface WhyAnswer extends Why, PastAnswer {}

/** Why a property is as it is: from the latest that was reported of it or, without that, wanted. */
export async function answerPropertyWhy(source: PastSource, asked: Asked): Promise<HttpResponse> {
  const { namespace, name, request, gone } = asked;
  const property = required(request, "property", "which property is meant");
  const [log, ...others] = await logsOfDevice(source, asked);
  const { registers } = log;
  const slots = currentLife(registers, deviceKey(namespace, name))?.slots;
  if (slots === undefined)
    throw new TidemarkError("NOT_FOUND", `there is no device ${namespace}/${name} now`);
  const event =
    slots.get(reportedSlot(property))?.node ?? winner(registers, slots.get(desiredSlot(property)));
  if (event === undefined) {
    const message = `nobody has said anything of ${property} of ${namespace}/${name}`;
    throw new TidemarkError("NOT_FOUND", message, { data: { property } });
  }
  const span: Span = { from: -Infinity, to: Infinity, isOpen: true };
  const found = { log, node: nodeOfLog(log.id) ?? null, event };
  return answerOf(source, found, { span, warnings: otherNodes(others), gone });
}

export async function answerEventWhy(
  source: PastSource,
  { node, request, gone }: { node: string | undefined; request: HttpRequest; gone: Cancelled },
): Promise<HttpResponse> {
  const text = required(request, "event", "which event is meant, as ORIGIN/SEQ");
  const named = parseEventId(text);
  if (named === undefined) throw new TidemarkError("USAGE", `event=${text} is no event: write ORIGIN/SEQ`);
  const id = eventId(named.origin, named.seq);
  const log = node === undefined ? undefined : logOfNode(source, node);
  const found = await findEvent(log === undefined ? source : { logs: () => [log] }, log, id);
  if (found === undefined) {
    throw new TidemarkError("NOT_FOUND", `event ${id} is not held here`, { data: { event: id } });
  }
  return answerOf(source, found, { gone });
}

async function answerOf(
  source: PastSource,
  found: FoundEvent,
  options: { readonly span?: Span; readonly warnings?: readonly string[]; readonly gone: Cancelled },
): Promise<HttpResponse> {
  const find = (near: FoundEvent["log"], id: EventId): Promise<FoundEvent | undefined> =>
    findEvent(source, near, id);
  const answer = await why(found, find, options.gone);
  const gaps: Gap[] =
    answer.missing === null ? [] : [{ from: null, to: null, reason: `${answer.missing} is not held here` }];
  const body: WhyAnswer = { ...answer, ...(await aboutAnswer(source, found.log, { ...options, gaps })) };
  return jsonResponse(200, body);
}
