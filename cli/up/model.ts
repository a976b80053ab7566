/** What `up` knows: pure, so that what is shown can be told from it alone. */
import { parseEventId } from "../../core/event.ts";
import type { DeviceAnswer, PropertyView } from "../../protocol/devices/twin-view.ts";
import type { ChangeRow } from "../../protocol/rest/device-api.ts";
import type { StatusRow } from "../../protocol/rest/status-api.ts";

export type PartState = "starting" | "running" | "down";

/** The cloud or a node: a process, and what it says. */
export interface Part {
  /** `cloud`, or the node's name. */
  readonly name: string;
  readonly isCloud: boolean;
  state: PartState;
  pid: number | undefined;
  /** Whether someone else started what runs now. */
  byHand: boolean;
  addresses: Readonly<Record<string, string>>;
  /** How it ended: `killed by SIGKILL`. */
  ending: string | undefined;
  status: StatusRow | undefined;
  /** The shown device's properties, as this side has them. */
  readonly properties: Map<string, ShownProperty>;
  /** The command that starts it by hand. */
  readonly startCommand: string;
}

export interface ShownProperty {
  reported: string | undefined;
  desired: string | undefined;
}

/** One event, and when each side was seen to have it. */
export interface ShownEvent {
  readonly change: ChangeRow;
  /** Ms on `up`'s own clock; 0 where it was there before anyone looked. */
  readonly seenMs: { node: number | undefined; cloud: number | undefined };
}

export interface Note {
  readonly time: string;
  readonly text: string;
}

export interface DeclaredProperty {
  readonly name: string;
  readonly unit: string;
}

export interface UpModel {
  readonly version: string;
  readonly dataDir: string;
  readonly cloud: Part;
  readonly nodes: readonly Part[];
  /** Undefined with `--no-device`. */
  readonly device:
    | { readonly namespace: string; readonly name: string; readonly properties: readonly DeclaredProperty[] }
    | undefined;
  readonly events: Map<string, ShownEvent>;
  readonly notes: Note[];
  /** Lines to try, by what they do; a line is a command, word by word. */
  readonly lines: () => readonly (readonly [what: string, words: readonly string[]])[];
  stopping: boolean;
}

export function createPart(name: string, isCloud: boolean, startCommand: string): Part {
  return {
    name,
    isCloud,
    state: "starting",
    pid: undefined,
    byHand: false,
    addresses: {},
    ending: undefined,
    status: undefined,
    properties: new Map(),
    startCommand,
  };
}

const eventsMax = 200;
const notesMax = 20;

export function note(model: UpModel, time: string, text: string): void {
  model.notes.push({ time, text });
  if (model.notes.length > notesMax) model.notes.shift();
}

/** Takes in a change that a side has just been seen to have. @returns whether no side had it before */
export function takeChange(model: UpModel, part: Part, change: ChangeRow, nowMs: number): boolean {
  const { events } = model;
  const known = events.get(change.event);
  const shown = known ?? { change, seenMs: { node: undefined, cloud: undefined } };
  if (part.isCloud) shown.seenMs.cloud ??= nowMs;
  else shown.seenMs.node ??= nowMs;
  if (known === undefined) events.set(change.event, shown);
  const [oldest] = events.keys();
  if (events.size > eventsMax && oldest !== undefined) events.delete(oldest);
  takeValue(model, part, change);
  return known === undefined;
}

function takeValue({ device }: UpModel, part: Part, change: ChangeRow): void {
  const { namespace, name, property, type, value } = change;
  if (namespace !== device?.namespace || name !== device.name || property === null) return;
  const shown = part.properties.get(property) ?? { reported: undefined, desired: undefined };
  if (type === "twin.reported") shown.reported = value ?? undefined;
  else if (type === "twin.desired") shown.desired = value ?? undefined;
  part.properties.set(property, shown);
}

/** Takes in the whole device, as a side has it when someone begins to look. */
export function takeDevice(part: Part, device: DeviceAnswer): void {
  part.properties.clear();
  for (const [name, property] of Object.entries(device.properties)) {
    part.properties.set(name, shownOf(property));
  }
}

function shownOf({ reported, desired }: PropertyView): ShownProperty {
  return { reported: reported?.value, desired: desired?.value };
}

/** Takes in what a process says of itself; events that it has by then are marked, whether or not their coming was seen. */
export function takeStatus({ events }: UpModel, part: Part, status: StatusRow): void {
  part.status = status;
  const held = new Map(status.nodes.flatMap(({ vector }) => Object.entries(vector)));
  for (const { change, seenMs } of events.values()) {
    const id = parseEventId(change.event);
    if (id === undefined || (held.get(id.origin) ?? 0) < id.seq) continue;
    if (part.isCloud) seenMs.cloud ??= 0;
    else seenMs.node ??= 0;
  }
}

/** Events that a node has and the cloud lacks, as the node says. */
export function waitingForCloud({ status }: Part): number | undefined {
  return status?.nodes[0]?.lag.toCloud;
}

export function isConnected({ state, status }: Part): boolean {
  return state === "running" && status?.nodes[0]?.state === "Connected";
}
