/** The JSON of the device topics, as KubeEdge's clients know it: what goes out. Times are ms since the epoch. */
import type { Registers } from "../../core/registers.ts";
import { rfc3339 } from "../../core/time.ts";
import { type Declaration, declaredDevices, readDeclaration } from "./declaration.ts";
import type { PropertyChange, Refusal } from "./payloads.ts";
import { type Twin, type TwinValue, readState, stateSlot } from "./twin-view.ts";
import { metadataOfType } from "./values.ts";

/** What every answer begins with. */
export interface Stamp {
  readonly eventId: string;
  readonly timestamp: number;
}

/** `twin` in payloads: one property. */
export interface TwinJson {
  readonly expected?: ValueJson;
  readonly actual?: ValueJson;
  /** Whether the property may be deleted: only what nobody declared may. */
  readonly optional: boolean;
  readonly metadata: { readonly type: string };
}

export interface ValueJson {
  readonly value: string;
  readonly metadata: { readonly timestamp: number };
}

export function refusalAnswer({ eventId, timestamp }: Stamp, { code, reason }: Refusal): string {
  return JSON.stringify({ event_id: eventId, timestamp, code, reason });
}

/** `twin/get/result`, and `twin/update/result` with the changed properties as they were told. */
export function twinAnswer(
  { eventId, timestamp }: Stamp,
  twin: Readonly<Record<string, TwinJson | null>>,
): string {
  return JSON.stringify({ event_id: eventId, timestamp, twin });
}

export function getResult(stamp: Stamp, twins: readonly Twin[]): string {
  return twinAnswer(stamp, byName(twins.filter(isSaid), twinJson));
}

/** `twin/update/result`: what was told, with the times it was given. */
export function updateResult(
  stamp: Stamp,
  changes: ReadonlyMap<string, PropertyChange>,
  after: readonly Twin[],
): string {
  return twinAnswer(
    stamp,
    byName(after, (twin) => {
      const change = changes.get(twin.name) ?? null;
      if (change === null) return null;
      const { expected, actual, ...rest } = twinJson(twin);
      return {
        ...(change.expected !== undefined && expected !== undefined && { expected }),
        ...(change.actual !== undefined && actual !== undefined && { actual }),
        ...rest,
      };
    }),
  );
}

/** `twin/update/document`: each changed property before and after; the two lists name the same properties. */
export function updateDocument(stamp: Stamp, before: readonly Twin[], after: readonly Twin[]): string {
  const last = new Map(before.map((twin) => [twin.name, twin]));
  return JSON.stringify({
    event_id: stamp.eventId,
    timestamp: stamp.timestamp,
    twin: byName(after, (twin) => ({ last: jsonOrNull(last.get(twin.name)), current: jsonOrNull(twin) })),
  });
}

/** `twin/update/delta`: every property of which something is wanted, and the wanted values that are not so yet. */
export function deltaPayload(stamp: Stamp, wanted: readonly Twin[], pending: readonly Twin[]): string {
  return JSON.stringify({
    event_id: stamp.eventId,
    timestamp: stamp.timestamp,
    twin: byName(wanted, twinJson),
    delta: byName(pending, (twin) => twin.desired?.value ?? ""),
  });
}

export function stateResult(
  { eventId, timestamp }: Stamp,
  device: { readonly name: string; readonly state: string; readonly lastOnline: number | undefined },
): string {
  const { name, state, lastOnline } = device;
  return JSON.stringify({
    event_id: eventId,
    timestamp,
    device: { name, state, lastOnlineTime: timeText(lastOnline) },
  });
}

/** `membership/get/result`: the devices of this node. Their twins are asked for one by one. */
export function membershipResult({ eventId, timestamp }: Stamp, registers: Registers): string {
  const devices = declaredDevices(registers).flatMap(({ namespace, name }) => {
    const declaration = readDeclaration(registers, namespace, name);
    return declaration === undefined ? [] : [memberJson(declaration)];
  });
  return JSON.stringify({ event_id: eventId, timestamp, devices });
}

/** A device that came, or one that is gone: of that nothing but its name is left. */
export interface Member {
  readonly namespace: string;
  readonly name: string;
  readonly declaration: Declaration | undefined;
}

/** `membership/updated`; a list with nothing in it is `null`. */
export function membershipUpdated(
  { eventId, timestamp }: Stamp,
  added: readonly Member[],
  removed: readonly Member[],
): string {
  const list = (members: readonly Member[]): unknown =>
    members.length === 0
      ? null
      : members.map(({ namespace, name, declaration }) =>
          declaration === undefined
            ? { id: `${namespace}/${name}`, name, description: "" }
            : memberJson(declaration),
        );
  return JSON.stringify({
    event_id: eventId,
    timestamp,
    added_devices: list(added),
    removed_devices: list(removed),
  });
}

function memberJson({ namespace, name, description, life }: Declaration): unknown {
  const { state, lastOnline } = readState(life.slots.get(stateSlot)?.node);
  return {
    id: `${namespace}/${name}`,
    name,
    description,
    state: state ?? "unknown",
    last_online: timeText(lastOnline),
    attributes: {},
  };
}

/** KubeEdge says an empty text where there is no time. */
function timeText(time: number | undefined): string {
  return time === undefined ? "" : rfc3339(time);
}

export function twinJson(twin: Twin): TwinJson {
  const said = twin.declared ? undefined : twin.reported?.type;
  return {
    ...(twin.desired !== undefined && { expected: valueJson(twin.desired) }),
    ...(twin.reported !== undefined && { actual: valueJson(twin.reported) }),
    optional: !twin.declared,
    metadata: { type: said ?? metadataOfType(twin.type) },
  };
}

function jsonOrNull(twin: Twin | undefined): TwinJson | null {
  return twin !== undefined && isSaid(twin) ? twinJson(twin) : null;
}

function isSaid({ reported, desired }: Twin): boolean {
  return reported !== undefined || desired !== undefined;
}

function valueJson({ value, time }: TwinValue): ValueJson {
  return { value, metadata: { timestamp: time } };
}

/** From entries, so that a property called `__proto__` is one like any other. */
function byName<Value>(twins: readonly Twin[], of: (twin: Twin) => Value): Record<string, Value> {
  return Object.fromEntries(twins.map((twin) => [twin.name, of(twin)]));
}
