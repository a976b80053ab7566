/** What the devices' own topics have to say about a batch of events: pure, so that the same events say the same. */
import { clockCorrected } from "../../core/clock.ts";
import { type Event, type EventId, eventId } from "../../core/event.ts";
import { originOpened } from "../../core/generations.ts";
import { type Life, type Registers, currentLife, lifeOf } from "../../core/registers.ts";
import { type Member } from "./answers.ts";
import { declaredDevices, readDeclaration } from "./declaration.ts";
import { modelKey, parseDeviceKey } from "./topics.ts";
import { type Twin, isDesiredSlot, isInSync, readTwins } from "./twin-view.ts";
import { twinDesired, twinReported } from "./twin-update.ts";

export const resourceApplied = "resource.applied";
export const resourceDeleted = "resource.deleted";

/** Something is wanted of a device that is not so. */
export interface Delta {
  readonly namespace: string;
  readonly name: string;
  /** The newest event that led to it. */
  readonly event: EventId;
  /** Every property of which something is wanted. */
  readonly wanted: readonly Twin[];
  /** Those of them that are not reported so. */
  readonly pending: readonly Twin[];
}

/** The devices that a batch of events touches, and the newest event of each that is under its current life. */
export function touchedDevices(events: readonly Event[], registers: Registers): ReadonlyMap<string, Event> {
  const touched = new Map<string, Event>();
  for (const event of events) {
    const { type, key } = event;
    if (type === clockCorrected || type === originOpened) {
      for (const device of disputed(registers)) touched.set(device, event);
    }
    if (type !== twinReported && type !== twinDesired && event.class !== "resource") continue;
    if (!isDevice(event)) {
      for (const device of inConflictUnder(key, registers)) touched.set(device, event);
    } else if (type !== resourceDeleted && lifeOf(event) === currentLife(registers, key)?.id) {
      // What came late, of a life that is over, must not hide what came before it.
      touched.set(key, event);
    }
  }
  return touched;
}

/**
 * The deltas to publish after a batch of events: at most one a device, with the state that `registers` have now.
 * @param asked by a device's namespace and name: whether anybody would hear it
 */
export function deltaEffects(
  events: readonly Event[],
  registers: Registers,
  asked: (namespace: string, name: string) => boolean = () => true,
): Delta[] {
  const effects: Delta[] = [];
  for (const [key, event] of touchedDevices(events, registers)) {
    const device = parseDeviceKey(key);
    if (device === undefined || !asked(device.namespace, device.name)) continue;
    // Most devices are never told anything, and report often.
    const life = currentLife(registers, key);
    if (life === undefined || !hasDesired(life)) continue;
    const delta = pendingDelta(registers, device.namespace, device.name);
    if (delta !== undefined) effects.push({ ...delta, event: eventId(event.origin, event.seq) });
  }
  return effects;
}

/** What is wanted of a device and is not so, now. @returns undefined when nothing is */
export function pendingDelta(registers: Registers, namespace: string, name: string): Delta | undefined {
  const declaration = readDeclaration(registers, namespace, name);
  if (declaration === undefined) return undefined;
  const wanted = readTwins(registers, declaration).filter(({ desired }) => (desired?.value ?? "") !== "");
  const pending = wanted.filter((twin) => !isInSync(twin));
  let newest: Twin["desired"];
  for (const { desired } of pending) {
    if (desired !== undefined && (newest === undefined || desired.time >= newest.time)) newest = desired;
  }
  return newest === undefined ? undefined : { namespace, name, event: newest.event, wanted, pending };
}

/** The devices that came to a node or left it, by what is so after the batch. */
export interface MembershipChange {
  readonly event: EventId;
  readonly added: readonly Member[];
  readonly removed: readonly Member[];
}

/** @returns undefined when none did. */
export function membershipEffect(
  events: readonly Event[],
  registers: Registers,
): MembershipChange | undefined {
  const added = new Map<string, Member>();
  const removed = new Map<string, Member>();
  let newest: Event | undefined;
  for (const event of events) {
    const device = event.class === "resource" ? parseDeviceKey(event.key) : undefined;
    if (device === undefined) continue;
    const isBirth = event.type === resourceApplied && event.life === undefined;
    if (!isBirth && event.type !== resourceDeleted) continue;
    newest = event;
    const declaration = readDeclaration(registers, device.namespace, device.name);
    if (declaration === undefined) removed.set(event.key, { ...device, declaration });
    else if (isBirth) added.set(event.key, { ...device, declaration });
  }
  if (newest === undefined || added.size + removed.size === 0) return undefined;
  return {
    event: eventId(newest.origin, newest.seq),
    added: [...added.values()],
    removed: [...removed.values()],
  };
}

function hasDesired(life: Life): boolean {
  for (const slot of life.slots.keys()) if (isDesiredSlot(slot)) return true;
  return false;
}

/** What a model says of conflicts decides what is wanted of the devices that refer to it, where there are any. */
function inConflictUnder(key: string, registers: Registers): string[] {
  return declaredDevices(registers).flatMap(({ namespace, name }) => {
    const declaration = readDeclaration(registers, namespace, name);
    if (declaration?.model === undefined || modelKey(namespace, declaration.model) !== key) return [];
    const inConflict = readTwins(registers, declaration).some(({ conflict }) => conflict !== undefined);
    return inConflict ? [declaration.key] : [];
  });
}

/** Devices of which both sides want something: a clock put right, or a new order of incarnations, may say who wins. */
function* disputed(registers: Registers): Generator<string> {
  for (const key of registers.objects.keys()) {
    for (const [slot, { cloud, node }] of currentLife(registers, key)?.slots ?? []) {
      if (!isDesiredSlot(slot) || cloud === undefined || node === undefined) continue;
      yield key;
      break;
    }
  }
}

function isDevice(event: Event): boolean {
  return event.key.startsWith("devices/");
}
