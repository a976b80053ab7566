/** The registers as plain data: for snapshots, and for hashes of the state. */
import { type Event, type EventId, type Incarnation, eventId, sideOf } from "./event.ts";
import { type Life, type Register, type Registers, emptyRegisters } from "./registers-state.ts";

/** `[origin, seq, time, type, class, body, cause, [origin, seq of each seen]]` */
type EncodedEvent = readonly [
  Incarnation,
  number,
  number,
  string,
  Event["class"],
  Event["body"],
  EventId | null,
  readonly (readonly [Incarnation, number])[],
];

/** `[slot, events]` */
type EncodedSlot = readonly [string, readonly EncodedEvent[]];

/** `[id, born, over, slots]` */
type EncodedLife = readonly [EventId, boolean, boolean, readonly EncodedSlot[]];

interface Encoded {
  readonly objects: readonly (readonly [string, readonly EncodedLife[]])[];
  /** `[incarnation, generation]` */
  readonly generations: readonly (readonly [Incarnation, number])[];
  /** `[origin, [sequence, offset, since of each era]]` */
  readonly eras: readonly (readonly [Incarnation, readonly (readonly [number, number, number])[]])[];
  readonly reset: readonly [Incarnation, number] | null;
  /** `[origin, [from, to of each range]]`; absent where nothing was forgotten. */
  readonly ended?: readonly (readonly [Incarnation, readonly (readonly [number, number])[]])[];
}

/** Positions differ from replica to replica, so they are not part of the state. Lists are in order of their keys. */
export function encodeRegisters(state: Registers): unknown {
  const { objects, generations, eras, reset, ended } = state;
  const encoded: Encoded = {
    objects: sorted(objects).map(([key, lives]) => [key, sorted(lives).map(([, life]) => encodeLife(life))]),
    generations: sorted(generations),
    eras: sorted(eras).map(([origin, list]) => [
      origin,
      list.map(({ seq, offset, since }) => [seq, offset, since] as const),
    ]),
    reset: reset === undefined ? null : [reset.origin, reset.seq],
    ...(ended.size > 0 && { ended: encodeEnded(ended) }),
  };
  return encoded;
}

function encodeEnded(ended: Registers["ended"]): NonNullable<Encoded["ended"]> {
  return sorted(ended).map(([origin, ranges]) => [
    origin,
    ranges.map(({ from, to }): [number, number] => [from, to]),
  ]);
}

function sorted<Key extends string, Value>(map: ReadonlyMap<Key, Value>): [Key, Value][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

function encodeLife({ id, born, over, slots }: Life): EncodedLife {
  return [id, born, over, sorted(slots).map(([slot, register]) => [slot, encodeRegister(register)])];
}

function encodeRegister({ cloud, node, rivals = [] }: Register): EncodedEvent[] {
  return [cloud, node, ...rivals].filter((event) => event !== undefined).map(encodeEntry);
}

function encodeEntry({ origin, seq, time, type, class: kind, body, cause, seen }: Event): EncodedEvent {
  const vector = seen.map((entry) => [entry.origin, entry.seq] as const);
  return [origin, seq, time, type, kind, body, cause ?? null, vector];
}

/** @throws on what `encodeRegisters` did not make */
export function decodeRegisters(data: unknown): Registers {
  const encoded = data as Encoded;
  const state = emptyRegisters();
  for (const [incarnation, generation] of encoded.generations) state.generations.set(incarnation, generation);
  for (const [origin, list] of encoded.eras) {
    state.eras.set(
      origin,
      list.map(([seq, offset, since]) => ({ seq, offset, since })),
    );
  }
  if (encoded.reset !== null) state.reset = { origin: encoded.reset[0], seq: encoded.reset[1] };
  for (const [origin, ranges] of encoded.ended ?? []) {
    state.ended.set(
      origin,
      ranges.map(([from, to]) => ({ from, to })),
    );
  }
  for (const [key, lives] of encoded.objects) {
    state.objects.set(key, new Map(lives.map((life) => [life[0], decodeLife(key, life)])));
  }
  return state;
}

function decodeLife(key: string, [id, born, over, slots]: EncodedLife): Life {
  const life: Life = { id, born, over, slots: new Map() };
  for (const [slot, entries] of slots) {
    const events = entries.map((entry) => decodeEntry(entry, { key, slot, life: id }));
    life.slots.set(slot, decodeRegister(events));
  }
  return life;
}

/** Of each side, the first is the one that stands. */
function decodeRegister(events: readonly Event[]): Register {
  const cloud = events.find(({ origin }) => sideOf(origin) === "cloud");
  const node = events.find(({ origin }) => sideOf(origin) === "node");
  const rivals = events.filter((event) => event !== cloud && event !== node);
  return { cloud, node, rivals: rivals.length === 0 ? undefined : rivals };
}

function decodeEntry(
  entry: EncodedEvent,
  place: { readonly key: string; readonly slot: string; readonly life: EventId },
): Event {
  const [origin, seq, time, type, kind, body, cause, seen] = entry;
  const life = eventId(origin, seq) === place.life ? undefined : place.life;
  return {
    origin,
    seq,
    time,
    type,
    class: kind,
    key: place.key,
    slot: place.slot,
    life,
    body,
    cause: cause ?? undefined,
    deletes: undefined,
    seen: seen.map(([other, otherSeq]) => ({ origin: other, seq: otherSeq })),
    position: 0,
  };
}
