/**
 * What an export leaves out: the one place where that is decided. Today these are the values of Kubernetes' `Secret`
 * objects. What stands in their place says nothing of them, not even a digest that could be guessed at.
 */
import type { Body, Event } from "./event.ts";
import type { Registers } from "./registers-state.ts";

export const redactedValue = "(redacted)";

/** `kubectl apply` keeps a copy of all that it was given here. */
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

type Fields = Readonly<Record<string, Body>>;

/** The body as an export has it; undefined where nothing of it is left out. */
export function redactedBody({ key, body }: Pick<Event, "key" | "body">): Body | undefined {
  const isSecret = key.startsWith("secrets/") || (isFields(body) && body["kind"] === "Secret");
  if (!isSecret || body === null) return undefined;
  return isFields(body) ? redactedSecret(body) : redactedValue;
}

/** The same for a state: what it would be, had its events come without their secrets. */
export function redactRegisters({ objects }: Registers): void {
  for (const lives of objects.values()) {
    for (const { slots } of lives.values()) {
      for (const register of slots.values()) {
        register.cloud = register.cloud && redactedEvent(register.cloud);
        register.node = register.node && redactedEvent(register.node);
        register.rivals = register.rivals?.map(redactedEvent);
      }
    }
  }
}

function redactedEvent(event: Event): Event {
  const body = redactedBody(event);
  return body === undefined ? event : { ...event, body };
}

function redactedSecret(secret: Fields): Fields {
  const { metadata } = secret;
  const annotations = isFields(metadata) ? metadata["annotations"] : undefined;
  const hasCopy = isFields(annotations) && Object.hasOwn(annotations, lastApplied);
  return {
    ...secret,
    ...("data" in secret && { data: withoutValues(secret["data"] ?? null) }),
    ...("stringData" in secret && { stringData: withoutValues(secret["stringData"] ?? null) }),
    ...(hasCopy && {
      metadata: { ...(metadata as Fields), annotations: { ...annotations, [lastApplied]: redactedValue } },
    }),
  };
}

/** Names stay, so that a replay shows which values there were. */
function withoutValues(values: Body): Body {
  if (!isFields(values)) return redactedValue;
  return Object.fromEntries(Object.keys(values).map((name) => [name, redactedValue]));
}

function isFields(value: Body | undefined): value is Fields {
  const isObject = typeof value === "object" && value !== null;
  return isObject && !Array.isArray(value) && !(value instanceof Uint8Array);
}
