import { pack, unpack } from "./codec.ts";
import type { Event } from "./event.ts";
import type { Digest } from "./ports.ts";
import { hex } from "./segment.ts";

/**
 * A fold of the log. `apply` does no I/O and reads no clock; it tolerates a repeated event, and never throws on an old
 * one. It may change `state` in place: the shell that owns the state publishes it once a segment.
 */
export interface Projection<State> {
  readonly name: string;
  /** Rises when `apply` or the encoding changes; a snapshot of another version is not used. */
  readonly version: number;
  initial(): State;
  apply(state: State, event: Event): void;
  /** Plain data that says all of the state, and the same for equal states (`canonical` puts keys in order). */
  encode(state: State): unknown;
  /** @throws on data that `encode` did not make */
  decode(data: unknown): State;
}

/** The same value always gives the same bytes: keys in order, absent fields left out. */
export function canonical(value: unknown): Uint8Array {
  return pack(ordered(value));
}

function ordered(value: unknown): unknown {
  if (value === undefined || value === null || typeof value !== "object") return value ?? null;
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(ordered);
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, field]) => [name, ordered(field)]));
}

/** Hexadecimal SHA-256 of a projection's state: equal states, equal hashes, on any machine. */
export function stateHash<State>(projection: Projection<State>, state: State, digest: Digest): string {
  return hex(digest.sha256(canonical(projection.encode(state))));
}

/** A snapshot's bytes: msgpack `[name, version, position, state]`. */
export function encodeSnapshot<State>(
  projection: Projection<State>,
  state: State,
  position: number,
): Uint8Array {
  return pack([projection.name, projection.version, position, projection.encode(state)]);
}

/** @returns undefined when the snapshot is of another projection or version, or can't be read. */
export function decodeSnapshot<State>(
  projection: Projection<State>,
  bytes: Uint8Array,
): { state: State; position: number } | undefined {
  try {
    const [name, version, position, data] = unpack(bytes) as unknown[];
    if (name !== projection.name || version !== projection.version || typeof position !== "number") {
      return undefined;
    }
    return { state: projection.decode(data), position };
  } catch {
    return undefined;
  }
}
