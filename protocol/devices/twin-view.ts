/** A device as people and programs ask for it, read off the registers; the same on the cloud and on the node. */
import { calibratedTime } from "../../core/clock.ts";
import { type Event, type EventId, type Incarnation, type Side, eventId } from "../../core/event.ts";
import { type ConflictPolicy, type Register, type Registers, winner } from "../../core/registers.ts";
import { rfc3339 } from "../../core/time.ts";
import { type StandingConflict, type Winner, declaredPolicy, standingConflict } from "./conflicts.ts";
import { type Declaration, declaredDevices, readDeclaration } from "./declaration.ts";
import { desiredSlot, propertyOfSlot, reportedSlot, stateSlot } from "./twin-slots.ts";
import { type ValueType, sameValue, typeOfMetadata } from "./values.ts";

export { desiredSlot, isDesiredSlot, reportedSlot, stateSlot } from "./twin-slots.ts";

/** What `device get --json` answers. */
export interface DeviceAnswer extends DeviceView {
  readonly asOf: AsOf;
  /** Whether nothing that came here is missing. What has not come yet, `silent` says. */
  readonly complete: boolean;
  /** Since when the other side (at the cloud the node) has not been heard: null while it is. Absent of the past. */
  readonly silent?: { readonly side: Side; readonly since: string | null } | null;
}

export interface AsOf {
  /** RFC 3339, UTC, with milliseconds. */
  readonly time: string;
  /** The latest sequence of each origin that the answer counts in. */
  readonly vector: Readonly<Record<Incarnation, number>>;
}

export interface DeviceView {
  readonly namespace: string;
  readonly name: string;
  readonly node: string | null;
  readonly model: string | null;
  readonly state: string | null;
  readonly lastOnlineTime: string | null;
  readonly properties: Readonly<Record<string, PropertyView>>;
}

export interface PropertyView {
  /** As the model declares it or, undeclared, as the device said; null when nobody did. */
  readonly type: string | null;
  readonly reported: ValueView | null;
  readonly desired: ValueView | null;
  /** False while something is wanted that is not reported. */
  readonly inSync: boolean;
  readonly undeclared?: true;
  /** Both sides had set the desired value, and the policy decides which one stands; until one of them sets it again. */
  readonly conflict?: ConflictView;
}

export interface ConflictView {
  readonly policy: ConflictPolicy;
  readonly winner: Winner;
  /** The value that does not stand; null where the losing side had withdrawn its own. */
  readonly lost: ValueView | null;
}

export interface ValueView {
  readonly value: string;
  /** The time that came with the value, else that of the event. */
  readonly time: string;
  readonly event: EventId;
}

/** One property of a device, both halves. */
export interface Twin {
  readonly name: string;
  readonly declared: boolean;
  readonly type: ValueType | undefined;
  readonly reported: TwinValue | undefined;
  readonly desired: TwinValue | undefined;
  readonly conflict: StandingConflict | undefined;
}

export interface TwinValue {
  readonly value: string;
  /** Ms since the epoch. */
  readonly time: number;
  readonly event: EventId;
  /** What the device called the value's type, where the model says nothing. */
  readonly type: string | undefined;
}

/** @returns undefined when the device does not exist in this log. */
export function deviceView(
  registers: Registers,
  namespace: string,
  name: string,
  node: string | null,
): DeviceView | undefined {
  const declaration = readDeclaration(registers, namespace, name);
  if (declaration === undefined) return undefined;
  const { state, lastOnline } = readState(declaration.life.slots.get(stateSlot)?.node);
  return {
    namespace,
    name,
    node,
    model: declaration.model ?? null,
    state: state ?? null,
    lastOnlineTime: lastOnline === undefined ? null : rfc3339(lastOnline),
    // From entries, so that a property called `__proto__` is one like any other.
    properties: Object.fromEntries(
      readTwins(registers, declaration).map((twin) => [twin.name, propertyView(registers, twin)]),
    ),
  };
}

/** All devices of one log, by namespace and name. */
export function deviceList(registers: Registers, node: string | null): DeviceView[] {
  return declaredDevices(registers).flatMap(
    ({ namespace, name }) => deviceView(registers, namespace, name, node) ?? [],
  );
}

function propertyView(registers: Registers, twin: Twin): PropertyView {
  const { conflict } = twin;
  const type = twin.declared ? twin.type : (twin.reported?.type ?? twin.type);
  return {
    type: type ?? null,
    reported: valueView(twin.reported),
    desired: valueView(twin.desired),
    inSync: isInSync(twin),
    ...(twin.declared ? {} : { undeclared: true as const }),
    ...(conflict && { conflict: conflictView(registers, conflict) }),
  };
}

function conflictView(registers: Registers, conflict: StandingConflict): ConflictView {
  const { cloud, node, policy, winner: won } = conflict;
  return { policy, winner: won, lost: valueView(readValue(registers, won === "cloud" ? node : cloud)) };
}

function valueView(value: TwinValue | undefined): ValueView | null {
  if (value === undefined) return null;
  return { value: value.value, time: rfc3339(value.time), event: value.event };
}

/** The declared properties in their order, then what else was ever said, by name. */
export function readTwins(registers: Registers, declaration: Declaration): Twin[] {
  const { slots } = declaration.life;
  const others = new Set<string>();
  for (const slot of slots.keys()) {
    const name = propertyOfSlot(slot);
    if (name !== undefined && !declaration.properties.has(name)) others.add(name);
  }
  const twins: Twin[] = [];
  for (const name of [...declaration.properties.keys(), ...[...others].sort()]) {
    const twin = readTwin(registers, declaration, name);
    if (twin.declared || twin.reported !== undefined || twin.desired !== undefined) twins.push(twin);
  }
  return twins;
}

export function readTwin(registers: Registers, declaration: Declaration, name: string): Twin {
  const { slots } = declaration.life;
  return makeTwin(registers, declaration, name, {
    reported: slots.get(reportedSlot(name))?.node,
    desired: slots.get(desiredSlot(name)),
  });
}

/** A property made of this event and this register, which need not be durable yet. */
export function makeTwin(
  registers: Registers,
  declaration: Declaration,
  name: string,
  slots: { readonly reported: Event | undefined; readonly desired: Register | undefined },
): Twin {
  const property = declaration.properties.get(name);
  const reported = readValue(registers, slots.reported);
  const policy = declaredPolicy(declaration, name);
  const said = reported?.type === undefined ? undefined : typeOfMetadata(reported.type);
  return {
    name,
    declared: property !== undefined,
    type: property?.type ?? said,
    reported,
    desired: readValue(registers, winner(registers, slots.desired, policy)),
    conflict: standingConflict(registers, slots.desired, policy),
  };
}

/** Reads the body of `twin.reported` and `twin.desired`. @returns undefined for a withdrawn or deleted value. */
export function readValue(registers: Registers, event: Event | undefined): TwinValue | undefined {
  if (event === undefined || !Array.isArray(event.body)) return undefined;
  const [value, timestamp, type] = event.body as readonly unknown[];
  if (typeof value !== "string") return undefined;
  return {
    value,
    time: isTime(timestamp) ? timestamp : calibratedTime(registers.eras, event),
    event: eventId(event.origin, event.seq),
    type: typeof type === "string" ? type : undefined,
  };
}

/** Reads the body of `device.state`; `lastOnline` in ms since the epoch. */
export function readState(event: Event | undefined): {
  state: string | undefined;
  lastOnline: number | undefined;
} {
  const [state, lastOnline] = (Array.isArray(event?.body) ? event.body : []) as readonly unknown[];
  return {
    state: typeof state === "string" ? state : undefined,
    lastOnline: isTime(lastOnline) ? lastOnline : undefined,
  };
}

/** Whether nothing is wanted of the property, or what is wanted is reported. An empty value wants nothing. */
export function isInSync({ type, reported, desired }: Pick<Twin, "type" | "reported" | "desired">): boolean {
  if (desired === undefined || desired.value === "") return true;
  return reported !== undefined && sameValue(type, reported.value, desired.value);
}

/** The latest time that `Date` and RFC 3339 both can say: the end of the year 9999. */
const latestTime = 253_402_300_799_999;

export function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= latestTime;
}
