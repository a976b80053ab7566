/** Answers about a device at an instant: its state, what differs between two, who said what last. */
import { TidemarkError, hasCode } from "../../core/errors.ts";
import { type EventId, nodeOfLog } from "../../core/event.ts";
import { type PastLog, type Place, comparePlaces, cutNow, vectorOf } from "../../core/past.ts";
import type { Registers } from "../../core/registers.ts";
import { rfc3339 } from "../../core/time.ts";
import { type BlameRow, blame } from "../devices/blame.ts";
import { type Difference, absence, deviceRegistersAt, differences } from "../devices/past.ts";
import { type AsOf, type DeviceView, deviceView } from "../devices/twin-view.ts";
import { type WhyLink, whyLink } from "../devices/why.ts";
import { type Gap, type Span, gapsOfCut } from "./completeness.ts";
import { type HttpResponse, jsonResponse, queryValue } from "./http.ts";
import { type Found, type Moment, findMoment, parseMoment, placeOfMoment } from "./moment.ts";
import {
  type Asked,
  type PastAnswer,
  type PastSource,
  aboutAnswer,
  assertKept,
  findEvent,
  futureWarning,
  logsOfDevice,
  otherNodes,
  required,
} from "./past-source.ts";

/** `device get --at --json` */
export interface StateAnswer extends DeviceView, PastAnswer {
  readonly asOf: AsOf;
}

/** `device diff --json` */
export interface DiffAnswer extends PastAnswer {
  readonly namespace: string;
  readonly name: string;
  readonly node: string | null;
  readonly from: DiffEnd;
  readonly to: DiffEnd;
  readonly differences: readonly Difference[];
}

export interface DiffEnd {
  readonly asOf: AsOf;
  /** Null when it did not exist then; `absent` says why. */
  readonly device: DeviceView | null;
  readonly absent: string | null;
}

/** `blame --json` */
export interface BlameAnswer extends PastAnswer {
  readonly namespace: string;
  readonly name: string;
  readonly node: string | null;
  readonly asOf: AsOf;
  readonly items: readonly (BlameRow & {
    /** The event of `cause`, where it is held here. */
    readonly because: WhyLink | null;
  })[];
}

/** A device in one log at one moment. */
interface DevicePast {
  readonly log: PastLog;
  readonly found: Found;
  readonly registers: Registers;
  readonly view: DeviceView | undefined;
}

export async function answerState(source: PastSource, asked: Asked): Promise<HttpResponse> {
  const now = source.now();
  const at = momentOf(asked, "at", now) ?? parseMoment("at", "now", now);
  const past = await whereItWas(source, asked, at);
  const body: StateAnswer = {
    ...(past.view as DeviceView),
    asOf: asOfPast(past),
    ...(await aboutPast(source, [past], futureWarning("at", at.time ?? 0, now))),
  };
  return jsonResponse(200, body);
}

export async function answerBlame(source: PastSource, asked: Asked): Promise<HttpResponse> {
  const { namespace, name, request } = asked;
  const now = source.now();
  const at = momentOf(asked, "at", now) ?? parseMoment("at", "now", now);
  const past = await whereItWas(source, asked, at);
  const { log, registers } = past;
  const property = queryValue(request, "property");
  const rows = blame(registers, asked, property);
  if (rows.length === 0) {
    const message = `nobody has said anything of ${property ?? "it"} of ${namespace}/${name}`;
    throw new TidemarkError("NOT_FOUND", message, { data: { property } });
  }
  const items: BlameAnswer["items"][number][] = [];
  for (const row of rows) items.push({ ...row, because: await becauseOf(source, log, row.cause) });
  const body: BlameAnswer = {
    namespace,
    name,
    node: nodeOfLog(log.id) ?? null,
    asOf: asOfPast(past),
    items,
    ...(await aboutPast(source, [past], futureWarning("at", at.time ?? 0, now))),
  };
  return jsonResponse(200, body);
}

async function becauseOf(source: PastSource, log: PastLog, cause: EventId | null): Promise<WhyLink | null> {
  const found = cause === null ? undefined : await findEvent(source, log, cause);
  return found === undefined ? null : whyLink(found, "cause");
}

export async function answerDiff(source: PastSource, asked: Asked): Promise<HttpResponse> {
  const { namespace, name, request } = asked;
  const now = source.now();
  const from = parseMoment("from", required(request, "from", "the earlier instant"), now);
  const to = momentOf(asked, "to", now) ?? parseMoment("to", "now", now);
  const logs = logsHolding(await logsOfDevice(source, asked), [from, to]);
  let refusal: TidemarkError | undefined;
  for (const [index, log] of logs.entries()) {
    assertOrder(log, await placeOfMoment(log, from), await placeOfMoment(log, to));
    const before = await pastOf(log, asked, from, now);
    const after = await pastOf(log, asked, to, now);
    if (before.view === undefined && after.view === undefined) {
      refusal = worst(refusal, await absenceIn(after, asked));
      continue;
    }
    const warnings = [...otherNodes(logs.toSpliced(index, 1)), ...futureWarning("to", to.time ?? 0, now)];
    const body: DiffAnswer = {
      namespace,
      name,
      node: nodeOfLog(log.id) ?? null,
      from: await endOf(before, asked),
      to: await endOf(after, asked),
      differences: differences(before.view, after.view),
      ...(await aboutPast(source, [before, after], warnings)),
    };
    return jsonResponse(200, body);
  }
  throw refusal ?? nowhere(asked);
}

/** @throws USAGE */
export function assertOrder(log: PastLog, from: Place, to: Place): void {
  if (comparePlaces(log.registers.generations, from, to) <= 0) return;
  const [later, earlier] = [rfc3339(from.time), rfc3339(to.time)];
  throw new TidemarkError("USAGE", `the range is reversed: from ${later} is later than to ${earlier}`);
}

function momentOf({ request }: Asked, name: string, nowMs: number): Moment | undefined {
  const text = queryValue(request, name);
  return text === undefined ? undefined : parseMoment(name, text, nowMs);
}

/** Only the log that holds an event can say what was so at it. */
function logsHolding(logs: readonly PastLog[], moments: readonly Moment[]): readonly PastLog[] {
  const holding = logs.filter(({ histories }) =>
    moments.every(({ id }) => id === undefined || histories.has(id.origin)),
  );
  // Where none does, the first one says which event it lacks.
  return holding.length === 0 ? logs.slice(0, 1) : holding;
}

/** The device in the first log in which it was, then. @throws DELETED, NOT_YET, NOT_FOUND, FORGOTTEN */
async function whereItWas(source: PastSource, asked: Asked, at: Moment): Promise<DevicePast> {
  const logs = logsHolding(await logsOfDevice(source, asked), [at]);
  let refusal: { readonly error: TidemarkError; readonly past: DevicePast } | undefined;
  for (const log of logs) {
    const past = await pastOf(log, asked, at, source.now());
    if (past.view !== undefined) return past;
    const error = await absenceIn(past, asked);
    if (refusal === undefined || worst(refusal.error, error) === error) refusal = { error, past };
  }
  if (refusal === undefined) throw nowhere(asked);
  const { error, past } = refusal;
  const { complete, gaps, earliest } = await aboutPast(source, [past], []);
  throw new TidemarkError(error.code, error.message, { data: { ...error.data, complete, gaps, earliest } });
}

async function pastOf(log: PastLog, asked: Asked, at: Moment, nowMs: number): Promise<DevicePast> {
  const { namespace, name, gone } = asked;
  const found = await findMoment(log, at, nowMs, gone);
  await assertKept(log, found.place.time);
  const node = nodeOfLog(log.id) ?? null;
  if (found.isNow) {
    const { registers } = log;
    const view = deviceView(registers, namespace, name, node);
    return { log, found: { ...found, cut: cutNow(log) }, registers, view };
  }
  const registers = await deviceRegistersAt(log, asked, found.cut, gone);
  return { log, found, registers, view: deviceView(registers, namespace, name, node) };
}

function absenceIn({ log, found }: DevicePast, asked: Asked): Promise<TidemarkError> {
  return absence(log, asked, found.cut, { at: found.text, gone: asked.gone });
}

/** Of several reasons why there was none, the one that says most. */
function worst(a: TidemarkError | undefined, b: TidemarkError): TidemarkError {
  if (a === undefined || hasCode(a, "NOT_FOUND")) return b;
  return hasCode(a, "NOT_YET") && hasCode(b, "DELETED") ? b : a;
}

function nowhere({ namespace, name }: Asked): TidemarkError {
  return new TidemarkError("NOT_FOUND", `nothing is known here of a device ${namespace}/${name}`);
}

function asOfPast({ log, found }: DevicePast): AsOf {
  return { time: rfc3339(found.place.time), vector: vectorOf(found.cut, log) };
}

async function endOf(past: DevicePast, asked: Asked): Promise<DiffEnd> {
  const absent = past.view === undefined ? (await absenceIn(past, asked)).data["reason"] : null;
  return {
    asOf: asOfPast(past),
    device: past.view ?? null,
    absent: typeof absent === "string" ? absent : null,
  };
}

/** A state carries forward what was before it, so all that is missing before it counts. */
async function aboutPast(
  source: PastSource,
  pasts: readonly [DevicePast, ...DevicePast[]],
  warnings: readonly string[],
): Promise<PastAnswer> {
  const [{ log }] = pasts;
  const gaps: Gap[] = pasts.flatMap(({ found }) => (found.isEvent ? gapsOfCut(log, found.cut) : []));
  const states = pasts.filter(({ found }) => !found.isEvent).map(({ found }) => found.place.time);
  const to = Math.max(...pasts.map(({ found }) => found.place.time));
  const span: Span = { from: -Infinity, to, isOpen: states.length > 0, states };
  return aboutAnswer(source, log, { span, gaps, warnings });
}
