/**
 * The projection that every other view reads: for each object its lives, for each life its slots, and for each slot
 * two registers, the latest event of each side. Which of the two wins is worked out when it is read (`winner`), and
 * never kept, so the state does not depend on the order in which events arrived.
 */
import {
  type Event,
  type EventId,
  type Incarnation,
  type Side,
  eventId,
  parseEventId,
  sideOf,
} from "./event.ts";
import { calibratedTime, clockCorrected, readCorrection } from "./clock.ts";
import { type Ended, isEnded, joinEnded, livesEnded, readEnded } from "./ended.ts";
import {
  type Generations,
  compareOfSide,
  generationOf,
  hasSeen,
  originOpened,
  originReset,
  readOpened,
} from "./generations.ts";
import type { Projection } from "./projection.ts";
import { decodeRegisters, encodeRegisters } from "./registers-encoding.ts";
import { type Life, type Register, type Registers, emptyRegisters } from "./registers-state.ts";

export type { Life, Register, Registers } from "./registers-state.ts";

export const registersProjection: Projection<Registers> = {
  name: "registers",
  version: 1,
  initial: emptyRegisters,
  apply,
  encode: encodeRegisters,
  decode: decodeRegisters,
};

/** Whether the event makes an object live: its id is the life. Only a resource of the cloud does. */
export function beginsLife(event: Pick<Event, "origin" | "class" | "slot" | "life" | "deletes">): boolean {
  const { origin, slot, life, deletes } = event;
  const isApplied = slot !== undefined && life === undefined && deletes !== true;
  return isApplied && event.class === "resource" && sideOf(origin) === "cloud";
}

/** The life that an event is under; undefined when it is under none. */
export function lifeOf(event: Event): EventId | undefined {
  return event.life ?? (beginsLife(event) ? eventId(event.origin, event.seq) : undefined);
}

function apply(state: Registers, event: Event): void {
  if (event.slot === undefined && event.deletes !== true) {
    applyMark(state, event);
    return;
  }
  const isCloud = sideOf(event.origin) === "cloud";
  const id = lifeOf(event);
  if (id === undefined || (event.deletes === true && !isCloud)) return;
  const life = findLife(state, event.key, id);
  if (life.over) return;
  if (event.deletes === true) {
    endLife(life);
    return;
  }
  if (isCloud && event.class === "resource") life.born = true;
  put(state.generations, life, event.slot as string, event);
}

function put(generations: Generations, life: Life, slot: string, event: Event): void {
  let register = life.slots.get(slot);
  if (register === undefined) {
    register = { cloud: undefined, node: undefined, rivals: undefined };
    life.slots.set(slot, register);
  }
  const side = sideOf(event.origin);
  const held = register[side];
  if (held === undefined) register[side] = event;
  else if (held.origin !== event.origin || register.rivals !== undefined)
    settleRivals(generations, register, [event]);
  else if (held.seq < event.seq) register[side] = event;
}

/**
 * Of each side the latest event stands. Where generations are not known, each incarnation's latest is kept, and the
 * one of the latest time stands, until they are: so it does not matter in which order it all arrives.
 */
function settleRivals(generations: Generations, register: Register, more: readonly Event[]): void {
  const { cloud, node, rivals = [] } = register;
  const events = [cloud, node, ...rivals, ...more].filter((event) => event !== undefined);
  const cloudEvents = latestFirst(generations, events, "cloud");
  const nodeEvents = latestFirst(generations, events, "node");
  register.cloud = cloudEvents[0];
  register.node = nodeEvents[0];
  const rest = [...cloudEvents.slice(1), ...nodeEvents.slice(1)];
  register.rivals = rest.length === 0 ? undefined : rest;
}

function latestFirst(generations: Generations, events: readonly Event[], side: Side): Event[] {
  const unknown = new Map<Incarnation, Event>();
  let known: Event | undefined;
  for (const event of events) {
    if (sideOf(event.origin) !== side) continue;
    if (!generations.has(event.origin)) {
      if ((unknown.get(event.origin)?.seq ?? 0) < event.seq) unknown.set(event.origin, event);
    } else if (known === undefined || compareOfSide(generations, known, event) < 0) {
      known = event;
    }
  }
  const sorted = [...unknown.values()].sort((a, b) => b.time - a.time || (a.origin < b.origin ? -1 : 1));
  return known === undefined ? sorted : [...sorted, known];
}

function applyMark(state: Registers, event: Event): void {
  if (event.type === originOpened) {
    applyOpened(state, event);
  } else if (event.type === clockCorrected) {
    applyCorrection(state, event);
  } else if (event.type === livesEnded) {
    applyEnded(state, readEnded(event));
  } else if (event.type === originReset && sideOf(event.origin) === "cloud") {
    const held = state.reset;
    if (held !== undefined && compareOfSide(state.generations, held, event) >= 0) return;
    state.reset = { origin: event.origin, seq: event.seq };
    endLivesBefore(state);
  }
}

function applyOpened(state: Registers, event: Event): void {
  const opened = readOpened(event);
  if (opened === undefined) return;
  const { incarnation, generation } = opened;
  // Said twice, the higher one stands.
  if (generation <= (state.generations.get(incarnation) ?? -1)) return;
  state.generations.set(incarnation, generation);
  endLivesBefore(state);
  for (const { slots } of allLives(state)) {
    for (const register of slots.values()) {
      if (register.rivals !== undefined) settleRivals(state.generations, register, []);
    }
  }
}

function* allLives(state: Registers): Generator<Life> {
  for (const lives of state.objects.values()) yield* lives.values();
}

function applyCorrection(state: Registers, event: Event): void {
  const era = isResetAway(state, event.origin) ? undefined : readCorrection(event);
  const eras = state.eras.get(event.origin) ?? [];
  if (era === undefined || eras.some(({ seq }) => seq === era.seq)) return;
  state.eras.set(
    event.origin,
    [...eras, era].toSorted((a, b) => a.seq - b.seq),
  );
}

function findLife(state: Registers, key: string, id: EventId): Life {
  let lives = state.objects.get(key);
  const held = lives?.get(id);
  if (held !== undefined) return held;
  if (isForgotten(state, id)) return { id, born: false, over: true, slots: new Map() };
  if (lives === undefined) {
    lives = new Map();
    state.objects.set(key, lives);
  }
  const life = { id, born: false, over: false, slots: new Map() };
  lives.set(id, life);
  return life;
}

/** Whether a life is over of which nothing is kept, not even that it is. */
function isForgotten(state: Registers, id: EventId): boolean {
  if (state.reset === undefined && state.ended.size === 0) return false;
  const began = parseEventId(id);
  return began !== undefined && (isResetAway(state, began.origin) || isEnded(state.ended, began));
}

/** Said in any order, it comes to the same: what was said once stands. */
function applyEnded(state: Registers, ended: Ended | undefined): void {
  if (ended === undefined) return;
  for (const [origin, ranges] of joinEnded(state.ended, ended)) {
    if (!isResetAway(state, origin)) state.ended.set(origin, ranges);
  }
  forgetLives(state);
}

/** Takes out what is forgotten. Who still holds such a life finds it over. */
function forgetLives(state: Registers): void {
  for (const [key, lives] of state.objects) {
    for (const life of lives.values()) {
      if (!isForgotten(state, life.id)) continue;
      endLife(life);
      lives.delete(life.id);
    }
    if (lives.size === 0) state.objects.delete(key);
  }
}

/** Nothing is kept of it but that it is over: what it was does not depend on what of it had arrived. */
function endLife(life: Life): void {
  life.over = true;
  life.born = false;
  life.slots.clear();
}

/** Whether an incarnation of the cloud is older than one that began anew, knowing nothing of it. */
function isResetAway(state: Registers, origin: Incarnation | undefined): boolean {
  const { reset, generations } = state;
  if (reset === undefined || origin === undefined) return false;
  const isCloud = sideOf(origin) === "cloud" && origin !== reset.origin;
  return isCloud && generationOf(generations, origin) < generationOf(generations, reset.origin);
}

/** Nothing is kept of what such an incarnation said: the cloud that began anew may never have held it. */
function endLivesBefore(state: Registers): void {
  if (state.reset === undefined) return;
  forgetLives(state);
  for (const ofOrigin of [state.eras, state.ended]) {
    for (const origin of ofOrigin.keys()) if (isResetAway(state, origin)) ofOrigin.delete(origin);
  }
}

/** The life that is going on, if the object exists: born, not over, and the latest of them. */
export function currentLife(state: Registers, key: string): Life | undefined {
  let current: Life | undefined;
  for (const life of state.objects.get(key)?.values() ?? []) {
    if (!life.born || life.over) continue;
    if (current === undefined || isLater(state.generations, life.id, current.id)) current = life;
  }
  return current;
}

function isLater(generations: Generations, a: EventId, b: EventId): boolean {
  const first = parseEventId(a);
  const second = parseEventId(b);
  if (first === undefined || second === undefined) return false;
  return compareOfSide(generations, first, second) > 0;
}

/** How concurrent values of one slot are decided. `latest`: by time, then the cloud's. */
export const conflictPolicies = ["latest", "cloud", "edge"] as const;
export type ConflictPolicy = (typeof conflictPolicies)[number];

/** The event that a slot's value is read from: one that had seen the other, or, of concurrent ones, by policy. */
export function winner(
  state: Registers,
  register: Register | undefined,
  policy: ConflictPolicy = "latest",
): Event | undefined {
  const cloud = register?.cloud;
  const node = register?.node;
  if (cloud === undefined || node === undefined) return cloud ?? node;
  if (hasSeen(state.generations, node.seen, cloud)) return node;
  if (hasSeen(state.generations, cloud.seen, node)) return cloud;
  return preferred(state, { cloud, node }, policy);
}

/** One event of each side in the same slot. */
export interface Contenders {
  readonly cloud: Event;
  readonly node: Event;
}

/** Whether neither writer had seen the other's event. */
export function areConcurrent(generations: Generations, { cloud, node }: Contenders): boolean {
  return !hasSeen(generations, node.seen, cloud) && !hasSeen(generations, cloud.seen, node);
}

/** Of concurrent events the one that the policy prefers. */
export function preferred(state: Registers, { cloud, node }: Contenders, policy: ConflictPolicy): Event {
  if (policy === "cloud") return cloud;
  if (policy === "edge") return node;
  return calibratedTime(state.eras, node) > calibratedTime(state.eras, cloud) ? node : cloud;
}
