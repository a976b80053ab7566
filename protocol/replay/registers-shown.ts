/** The registers as JSON with names: what `replay --state` prints, and what differences are named by. */
import { type Event, eventId } from "../../core/event.ts";
import type { Life, Register, Registers } from "../../core/registers.ts";
import { rfc3339 } from "../../core/time.ts";

/** Names in order, so that equal states are shown alike. */
export function shownRegisters(state: Registers): unknown {
  return {
    objects: byName(state.objects, (lives) => byName(lives, shownLife)),
    generations: byName(state.generations, (generation) => generation),
    eras: byName(state.eras, (eras) => eras.map(({ seq, offset, since }) => ({ seq, offset, since }))),
    reset: state.reset === undefined ? null : eventId(state.reset.origin, state.reset.seq),
    ended: byName(state.ended, (ranges) => ranges.map(({ from, to }) => [from, to])),
  };
}

/** One object: its lives. Null when there is none of that key. */
export function shownObject(state: Registers, key: string): unknown {
  const lives = state.objects.get(key);
  return lives === undefined ? null : byName(lives, shownLife);
}

function shownLife({ born, over, slots }: Life): unknown {
  return { born, over, slots: byName(slots, shownRegister) };
}

function shownRegister({ cloud, node, rivals }: Register): unknown {
  return {
    ...(cloud && { cloud: shownEvent(cloud) }),
    ...(node && { node: shownEvent(node) }),
    ...(rivals && { rivals: rivals.map(shownEvent) }),
  };
}

function shownEvent({ origin, seq, time, type, class: kind, body, cause, seen }: Event): unknown {
  return {
    event: eventId(origin, seq),
    time: rfc3339(time),
    type,
    class: kind,
    body: shown(body),
    cause: cause ?? null,
    seen: seen.map((entry) => eventId(entry.origin, entry.seq)),
  };
}

/** Bytes as hexadecimal text behind `bytes:`. */
function shown(body: Event["body"]): unknown {
  if (typeof body !== "object" || body === null) return body;
  if (body instanceof Uint8Array) {
    return `bytes:${Array.from(body, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }
  if (Array.isArray(body)) return body.map(shown);
  return Object.fromEntries(Object.entries(body).map(([name, field]) => [name, shown(field)]));
}

function byName<Value>(map: ReadonlyMap<string, Value>, show: (value: Value) => unknown): unknown {
  const entries = [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, value]) => [name, show(value)]));
}
