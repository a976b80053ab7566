/** A device as it was: its state at a cut, why there was none, and what differs between two states. */
import { type Cut, isWithin } from "../../core/cut.ts";
import { TidemarkError } from "../../core/errors.ts";
import { type Event, nodeOfLog } from "../../core/event.ts";
import { type PastLog, type Walk, placeOf, registersAt, walk } from "../../core/past.ts";
import { type Registers, beginsLife } from "../../core/registers.ts";
import { rfc3339 } from "../../core/time.ts";
import { deviceKey, modelKey } from "./topics.ts";
import { type DeviceView, type PropertyView, deviceView } from "./twin-view.ts";

export interface DeviceName {
  readonly namespace: string;
  readonly name: string;
}

/** The registers of a device and of the models it may have, at a cut. */
export function deviceRegistersAt(
  log: PastLog,
  { namespace, name }: DeviceName,
  cut: Cut,
  options?: Walk,
): Promise<Registers> {
  const [key, models] = [deviceKey(namespace, name), modelKey(namespace, "")];
  return registersAt(log, cut, (other) => other === key || other.startsWith(models), options);
}

/** @returns undefined when it did not exist then */
export async function deviceAt(
  log: PastLog,
  device: DeviceName,
  cut: Cut,
  options?: Walk,
): Promise<DeviceView | undefined> {
  const registers = await deviceRegistersAt(log, device, cut, options);
  return deviceView(registers, device.namespace, device.name, nodeOfLog(log.id) ?? null);
}

/** Why a device is not in a log at a cut. @param at the cut, as people see it */
export async function absence(
  log: PastLog,
  { namespace, name }: DeviceName,
  cut: Cut,
  { at, ...options }: Walk & { readonly at: string },
): Promise<TidemarkError> {
  const key = deviceKey(namespace, name);
  let born: Event | undefined;
  let bornLater: Event | undefined;
  let ended: Event | undefined;
  for await (const events of walk(log, options)) {
    for (const event of events) {
      if (event.key !== key || !log.applies(event)) continue;
      const isIn = isWithin(cut, event, log.registers.generations);
      if (event.deletes === true && isIn) ended = event;
      if (!beginsLife(event)) continue;
      if (isIn) born = event;
      else bornLater ??= event;
    }
  }
  const device = `${namespace}/${name}`;
  const timeOf = (event: Event): string => rfc3339(placeOf(log.registers, event).time);
  if (born !== undefined) {
    const deleted = ended === undefined ? null : timeOf(ended);
    const when = deleted === null ? "" : `, at ${deleted}`;
    return new TidemarkError("DELETED", `${device} had been deleted by ${at}${when}`, {
      data: { reason: "deleted", deleted },
    });
  }
  if (bornLater !== undefined) {
    const since = timeOf(bornLater);
    return new TidemarkError("NOT_YET", `${device} did not exist yet at ${at}: it did from ${since} on`, {
      data: { reason: "notYet", since },
    });
  }
  return new TidemarkError("NOT_FOUND", `there has never been a device ${device} here`, {
    data: { reason: "never" },
  });
}

/** One thing that two states of a device say differently. */
export interface Difference {
  /** Null for what is said of the whole device. */
  readonly property: string | null;
  readonly facet: "model" | "state" | "type" | "reported" | "desired";
  readonly from: string | null;
  readonly to: string | null;
}

/** What differs, properties in order of name. A state that is absent says nothing. */
export function differences(from: DeviceView | undefined, to: DeviceView | undefined): Difference[] {
  const found: Difference[] = [];
  const compare = (
    property: string | null,
    facet: Difference["facet"],
    [before, after]: readonly [string | null | undefined, string | null | undefined],
  ): void => {
    if ((before ?? null) === (after ?? null)) return;
    found.push({ property, facet, from: before ?? null, to: after ?? null });
  };
  compare(null, "model", [from?.model, to?.model]);
  compare(null, "state", [from?.state, to?.state]);
  const names = new Set([...namesOf(from), ...namesOf(to)]);
  for (const name of [...names].toSorted()) {
    const [before, after] = [propertyOf(from, name), propertyOf(to, name)];
    compare(name, "type", [before?.type, after?.type]);
    compare(name, "reported", [before?.reported?.value, after?.reported?.value]);
    compare(name, "desired", [before?.desired?.value, after?.desired?.value]);
  }
  return found;
}

function namesOf(view: DeviceView | undefined): string[] {
  return Object.keys(view?.properties ?? {});
}

function propertyOf(view: DeviceView | undefined, name: string): PropertyView | undefined {
  return view !== undefined && Object.hasOwn(view.properties, name) ? view.properties[name] : undefined;
}
