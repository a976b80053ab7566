/**
 * Conflicts over what is wanted: both sides wrote one slot, and neither had seen the other's value.
 *
 * Who wins is worked out from the registers whenever it is asked (`standingConflict`). `conflict.resolved` is a record
 * for people of what was so when the two met: the cloud makes it, once for each pair of events, and no fold reads it.
 */
import { calibratedTime } from "../../core/clock.ts";
import { type Body, type Draft, type Event, type EventId, eventId, parseEventId } from "../../core/event.ts";
import {
  type ConflictPolicy,
  type Contenders,
  type Register,
  type Registers,
  areConcurrent,
  conflictPolicies,
  preferred,
  winner,
} from "../../core/registers.ts";
import { policyOf } from "./conflict-policy.ts";
import { type Declaration, readDeclaration } from "./declaration.ts";
import { parseDeviceKey } from "./topics.ts";
import { desiredSlot, propertyOfDesired } from "./twin-slots.ts";

export const conflictResolved = "conflict.resolved";

/** A side, as policies and people name it. */
export type Winner = "cloud" | "edge";

/** A conflict that is decided by policy now, because nobody has written the slot since. */
export interface StandingConflict extends Contenders {
  readonly policy: ConflictPolicy;
  readonly winner: Winner;
}

/** @returns undefined where the register's value was not decided by policy: one side had seen the other, or they agree */
export function standingConflict(
  registers: Registers,
  register: Register | undefined,
  policy: ConflictPolicy,
): StandingConflict | undefined {
  const { cloud, node } = register ?? {};
  if (cloud === undefined || node === undefined) return undefined;
  if (!isConflict(registers, { cloud, node })) return undefined;
  const won = preferred(registers, { cloud, node }, policy);
  return { cloud, node, policy, winner: won === node ? "edge" : "cloud" };
}

/** Both sides wanting the same is none. */
export function isConflict(registers: Registers, contenders: Contenders): boolean {
  if (!areConcurrent(registers.generations, contenders)) return false;
  return valueOf(contenders.cloud.body) !== valueOf(contenders.node.body);
}

/** What one side wanted. */
export interface ConflictSide {
  readonly event: EventId;
  /** Null where it was withdrawn. */
  readonly value: string | null;
  /** When it was said, ms since the epoch. */
  readonly time: number;
}

/** What a `conflict.resolved` event says. */
export interface ConflictRecord {
  /** The record's own id: that of its event. */
  readonly id: EventId;
  /** Ms since the epoch. */
  readonly time: number;
  readonly namespace: string;
  readonly name: string;
  readonly property: string;
  readonly life: EventId | undefined;
  readonly cloud: ConflictSide;
  readonly edge: ConflictSide;
  readonly policy: ConflictPolicy;
  readonly winner: Winner;
}

/** What is so of a conflict now. */
export type Outcome =
  /** The policy decides still. `winner` may differ from the record's, if the policy was changed. */
  | { readonly state: "standing"; readonly winner: Winner; readonly policy: ConflictPolicy }
  /** A person chose: `event` names the conflict as its cause. */
  | { readonly state: "overridden"; readonly event: EventId; readonly value: string | null }
  /** The slot was written again. */
  | { readonly state: "superseded"; readonly event: EventId; readonly value: string | null }
  /** The device is gone, or another one of that name. */
  | { readonly state: "deleted" };

/** The record of two events that are in conflict. `cause` is the one that came later. */
export function conflictDraft(registers: Registers, contenders: Contenders, cause: EventId): Draft {
  const { cloud, node } = contenders;
  const property = propertyOfDesired(cloud.slot) ?? "";
  const policy = policyNow(registers, cloud.key, property);
  const won = preferred(registers, contenders, policy) === node ? "edge" : "cloud";
  const side = (event: Event): Body => [
    idOf(event),
    valueOf(event.body),
    Math.floor(calibratedTime(registers.eras, event)),
  ];
  const body: Body = { property, cloud: side(cloud), edge: side(node), policy, winner: won };
  return { type: conflictResolved, class: "audit", key: cloud.key, life: cloud.life, body, cause };
}

/** Two records of one pair, as a cloud that was put back to an earlier copy may make, have one identity. */
export function identityOf({ cloud, edge }: Pick<ConflictRecord, "cloud" | "edge">): string {
  return pairId(cloud.event, edge.event);
}

export function pairId(cloud: EventId, node: EventId): string {
  return `${cloud} ${node}`;
}

/** @returns undefined when the event is no record of a conflict, or says it in a way that is not known here */
export function readConflict(event: Event): ConflictRecord | undefined {
  const device = event.type === conflictResolved ? parseDeviceKey(event.key) : undefined;
  if (device === undefined) return undefined;
  const { property, cloud, edge, policy, winner: won } = (event.body ?? {}) as Record<string, unknown>;
  const sides = { cloud: readSide(cloud), edge: readSide(edge) };
  const known = conflictPolicies.find((one) => one === policy);
  if (typeof property !== "string" || known === undefined) return undefined;
  if (sides.cloud === undefined || sides.edge === undefined || (won !== "cloud" && won !== "edge"))
    return undefined;
  return {
    id: idOf(event),
    time: event.time,
    ...device,
    property,
    life: event.life,
    cloud: sides.cloud,
    edge: sides.edge,
    policy: known,
    winner: won,
  };
}

export function outcomeOf(registers: Registers, record: ConflictRecord): Outcome {
  const declaration = readDeclaration(registers, record.namespace, record.name);
  if (declaration === undefined || declaration.life.id !== record.life) return { state: "deleted" };
  const policy = policyOf(declaration.policies, record.property);
  const register = declaration.life.slots.get(desiredSlot(record.property));
  const standing = standingConflict(registers, register, policy);
  if (standing !== undefined && pairId(idOf(standing.cloud), idOf(standing.node)) === identityOf(record))
    return { state: "standing", winner: standing.winner, policy };
  const now = winner(registers, register, policy);
  if (now === undefined) return { state: "deleted" };
  const state = now.cause === record.id ? "overridden" : "superseded";
  return { state, event: idOf(now), value: valueOf(now.body) };
}

export function declaredPolicy(declaration: Declaration, property: string): ConflictPolicy {
  return policyOf(declaration.policies, property);
}

function policyNow(registers: Registers, key: string, property: string): ConflictPolicy {
  const device = parseDeviceKey(key);
  const declaration = device && readDeclaration(registers, device.namespace, device.name);
  return declaration === undefined ? "latest" : declaredPolicy(declaration, property);
}

function readSide(said: unknown): ConflictSide | undefined {
  if (!Array.isArray(said)) return undefined;
  const [event, value, time] = said as readonly unknown[];
  if (typeof event !== "string" || parseEventId(event) === undefined || typeof time !== "number")
    return undefined;
  return { event: event as EventId, value: typeof value === "string" ? value : null, time };
}

/** The text in the body of `twin.desired`; null where it is withdrawn. */
function valueOf(body: Body): string | null {
  const value: unknown = Array.isArray(body) ? body[0] : null;
  return typeof value === "string" ? value : null;
}

function idOf({ origin, seq }: Event): EventId {
  return eventId(origin, seq);
}
