/** A device as it was: its state at a cut, why there was none, and what differs between two states. */
import { type Cut, isWithin } from "../../core/cut.ts";
import { TidemarkError } from "../../core/errors.ts";
import { parseEventId } from "../../core/event.ts";
import type { Cancelled } from "../../core/follow.ts";
import { type PastLog, addState, placeOf, registersAt } from "../../core/past.ts";
import type { Registers } from "../../core/registers.ts";
import { rfc3339 } from "../../core/time.ts";
import { readDeclaration } from "./declaration.ts";
import { deviceKey, modelKey } from "./topics.ts";
import type { DeviceView, PropertyView } from "./twin-view.ts";

export interface DeviceName {
  readonly namespace: string;
  readonly name: string;
}

/** The registers of a device and of the model it has, at a cut. */
export async function deviceRegistersAt(
  log: PastLog,
  { namespace, name }: DeviceName,
  cut: Cut,
  gone?: Cancelled,
): Promise<Registers> {
  const registers = await registersAt(log, cut, [deviceKey(namespace, name)], gone);
  const model = readDeclaration(registers, namespace, name)?.model;
  if (model !== undefined) {
    await addState(registers, log, { key: modelKey(namespace, model), cut, gone });
  }
  return registers;
}

/** Why a device is not in a log at a cut. @param at the cut, as people see it */
export async function absence(
  log: PastLog,
  { namespace, name }: DeviceName,
  cut: Cut,
  { at, gone }: { readonly at: string; readonly gone: Cancelled },
): Promise<TidemarkError> {
  const key = deviceKey(namespace, name);
  const device = `${namespace}/${name}`;
  const { generations } = log.registers;
  const lives = [...(log.registers.objects.get(key)?.keys() ?? [])].flatMap((id) => parseEventId(id) ?? []);
  if (lives.some((life) => isWithin(cut, life, generations))) {
    const ends = (await log.stateOf(key, cut, gone)).filter((event) => event.deletes === true);
    const times = ends.map((event) => placeOf(log.registers, event).time);
    const deleted = times.length === 0 ? null : rfc3339(Math.max(...times));
    const when = deleted === null ? "" : `, at ${deleted}`;
    return new TidemarkError("DELETED", `${device} had been deleted by ${at}${when}`, {
      data: { reason: "deleted", deleted },
    });
  }
  if (lives.length === 0) {
    return new TidemarkError("NOT_FOUND", `nothing is known here of a device ${device}`, {
      data: { reason: "never" },
    });
  }
  const births = await Promise.all(lives.map(({ origin, seq }) => log.eventAt(origin, seq)));
  const times = births.flatMap((event) => (event === undefined ? [] : placeOf(log.registers, event).time));
  const since = times.length === 0 ? null : rfc3339(Math.min(...times));
  const when = since === null ? "" : `: it did from ${since} on`;
  return new TidemarkError("NOT_YET", `${device} did not exist yet at ${at}${when}`, {
    data: { reason: "notYet", since },
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
