/** The JSON of the device topics, as KubeEdge's clients know it: what comes in. `answers.ts` is what goes out. */
import { isTime } from "./twin-view.ts";

/** One message to a device topic; a larger one is refused. */
export const maxPayloadBytes: number = 256 * 1024;

/** Why a message is refused: what the answer's `code` and `reason` say. */
export interface Refusal {
  readonly code: 400 | 404 | 500;
  /** A sentence for the publisher's log. */
  readonly reason: string;
}

/** A message, read. `eventId` is echoed in every answer; it is empty when the message had none. */
export type Request<Content> =
  | { readonly eventId: string; readonly content: Content; readonly refusal?: undefined }
  | { readonly eventId: string; readonly refusal: Refusal };

/** What one property is told; `null` deletes it. */
export type PropertyChange = PropertySaid | null;

export interface PropertySaid {
  readonly actual: SaidValue | undefined;
  readonly expected: SaidValue | undefined;
  /** What the publisher calls the value's type. */
  readonly type: string | undefined;
}

export interface SaidValue {
  readonly value: string;
  /** Ms since the epoch, where the publisher gave it. */
  readonly time: number | undefined;
}

type Fields = Readonly<Record<string, unknown>>;
type Read<Content> = { readonly content: Content } | { readonly reason: string };

/** `twin/get` and `membership/get`: nothing but an event id. An empty message will do. */
export function parseGet(text: string): Request<true> {
  if (text === "") return { eventId: "", content: true };
  return parse(text, () => ({ content: true }));
}

/** The properties of a `twin/update`, by name, in the order of the message. */
export function parseTwinUpdate(text: string): Request<ReadonlyMap<string, PropertyChange>> {
  return parse(text, readTwinUpdate);
}

/** The state of a `state/update`, in lower case. One that is not known is refused, not dropped without a word. */
export function parseStateUpdate(text: string): Request<string> {
  return parse(text, ({ state }) => {
    const lower = typeof state === "string" ? state.toLowerCase() : "";
    return states.has(lower)
      ? { content: lower }
      : { reason: `"state" is not one of ${[...states].join(", ")}` };
  });
}

const states: ReadonlySet<string> = new Set(["online", "offline", "ok", "unknown", "unhealthy"]);

/** Whether a device in this state can be talked to. */
export function isOnline(state: string): boolean {
  return state === "online" || state === "ok";
}

function parse<Content>(text: string, read: (fields: Fields) => Read<Content>): Request<Content> {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return refused("", "the message is not JSON");
  }
  if (!isFields(message)) return refused("", "the message is not a JSON object");
  const eventId = message["event_id"] ?? "";
  if (typeof eventId !== "string") return refused("", '"event_id" is not text');
  const found = read(message);
  return "reason" in found ? refused(eventId, found.reason) : { eventId, content: found.content };
}

function refused(eventId: string, reason: string): { eventId: string; refusal: Refusal } {
  return { eventId, refusal: { code: 400, reason } };
}

function readTwinUpdate({ twin }: Fields): Read<ReadonlyMap<string, PropertyChange>> {
  if (!isFields(twin)) return { reason: '"twin" is missing or not an object' };
  const changes = new Map<string, PropertyChange>();
  for (const name of Object.keys(twin)) {
    const told = twin[name];
    if (told === null) {
      changes.set(name, null);
      continue;
    }
    const said = readProperty(told);
    if (typeof said === "string") return { reason: `${name}: ${said}` };
    changes.set(name, said);
  }
  return { content: changes };
}

/** @returns the property, or why it can't be read. */
function readProperty(told: unknown): PropertySaid | string {
  if (!isFields(told)) return "neither an object nor null";
  const actual = readValue(told["actual"]);
  if (typeof actual === "string") return `actual: ${actual}`;
  const expected = readValue(told["expected"]);
  if (typeof expected === "string") return `expected: ${expected}`;
  const { metadata } = told;
  const type = isFields(metadata) ? metadata["type"] : undefined;
  if (type !== undefined && typeof type !== "string") return "metadata.type is not text";
  return { actual, expected, type: type === "" ? undefined : type };
}

function readValue(told: unknown): SaidValue | string | undefined {
  if (told === undefined || told === null) return undefined;
  if (!isFields(told)) return "not an object";
  const { value, metadata } = told;
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string")
    return `the value must be text in quotes, not ${JSON.stringify(value).slice(0, 40)}`;
  const time = isFields(metadata) ? metadata["timestamp"] : undefined;
  // A publisher that has no clock says 0.
  if (time === undefined || time === null || time === 0) return { value, time: undefined };
  return isTime(time) ? { value, time } : "metadata.timestamp is not a time in ms since the epoch";
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
