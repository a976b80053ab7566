/** Devices as people read them. */
import type { DeviceAnswer, DeviceView, PropertyView } from "../protocol/devices/twin-view.ts";
import type { ChangeRow } from "../protocol/rest/device-api.ts";
import type { Paint } from "./paint.ts";
import { type Cell, Columns, facts, table } from "./table.ts";
import { ageSince } from "./text.ts";

export interface TextOptions {
  readonly paint: Paint;
  readonly nowMs: number;
  readonly lineWidth: number | undefined;
}

const none = "-";

/** A block: what is known of the device, then a line for each property. */
export function deviceText(device: DeviceAnswer, options: TextOptions): string {
  const { paint } = options;
  const lastOnline = device.lastOnlineTime === null ? "" : `, last online ${device.lastOnlineTime}`;
  const head = facts(
    [
      ["node", device.node ?? "none: it is declared, and on no node"],
      ["model", device.model ?? none],
      ["state", device.state === null ? none : `${device.state}${lastOnline}`],
      ["as of", device.asOf.time],
      ["complete", device.complete ? undefined : { text: "no", style: "red" }],
      ["not heard", silenceText(device)],
    ],
    options,
  );
  const rows = Object.entries(device.properties).map(([name, property]) =>
    propertyRow(name, property, options),
  );
  const properties =
    rows.length === 0
      ? "No properties: its model declares none, and it has reported none.\n"
      : table(["PROPERTY", "TYPE", "REPORTED", "DESIRED", "IN-SYNC", "AGE", ""], rows, options);
  return `${paint("bold", `${device.namespace}/${device.name}`)}\n${head}\n${properties}`;
}

function silenceText({ silent }: DeviceAnswer): Cell | undefined {
  if (silent === undefined || silent === null) return undefined;
  const since = silent.since === null ? "at all yet" : `since ${silent.since}`;
  return { text: `from the ${silent.side} ${since}: what it did then may be missing`, style: "yellow" };
}

function propertyRow(name: string, property: PropertyView, { nowMs }: TextOptions): Cell[] {
  const { type, reported, desired } = property;
  return [
    name,
    type ?? none,
    reported?.value ?? none,
    desired?.value ?? none,
    inSyncCell(property),
    reported === null ? none : ageSince(reported.time, nowMs),
    { text: property.undeclared === true ? "undeclared" : conflictNote(property), style: "yellow" },
  ];
}

/** What is wanted was decided between two, and what the other one was. */
function conflictNote({ conflict }: PropertyView): string {
  if (conflict === undefined) return "";
  const loser = conflict.winner === "cloud" ? "edge" : "cloud";
  const lost = conflict.lost === null ? "nothing" : conflict.lost.value;
  return `conflict: the ${loser} wanted ${lost} (policy ${conflict.policy})`;
}

function inSyncCell({ desired, inSync }: PropertyView): Cell {
  if (desired === null) return none;
  return inSync ? { text: "yes", style: "green" } : { text: "no", style: "yellow" };
}

export function deviceListText(devices: readonly DeviceView[], options: TextOptions): string {
  if (devices.length === 0) return "No devices. Declare one with: npx tidemark apply -f FILE\n";
  const rows = devices.map((device): Cell[] => {
    const properties = Object.values(device.properties);
    const waiting = properties.filter(({ inSync }) => !inSync).length;
    const newest = properties
      .flatMap(({ reported }) => reported?.time ?? [])
      .toSorted()
      .at(-1);
    return [
      `${device.namespace}/${device.name}`,
      device.node ?? none,
      device.model ?? none,
      device.state ?? none,
      String(properties.length),
      waiting === 0 ? { text: "yes", style: "green" } : { text: `no (${waiting})`, style: "yellow" },
      newest === undefined ? none : ageSince(newest, options.nowMs),
    ];
  });
  return table(["DEVICE", "NODE", "MODEL", "STATE", "PROPERTIES", "IN-SYNC", "REPORTED"], rows, {
    ...options,
    right: [4],
  });
}

/** What a change says, without whom it is about: `load 0.42`, `interval wanted 5`, `state online`. */
export function changeText({
  type,
  property,
  value,
}: Pick<ChangeRow, "type" | "property" | "value">): string {
  switch (type) {
    case "twin.reported":
      return value === null ? `${property} deleted` : `${property} ${value}`;
    case "twin.desired":
      return value === null ? `${property} no longer wanted` : `${property} wanted ${value}`;
    case "conflict.resolved":
      return `${property} in conflict, ${value ?? "nothing"} won`;
    case "device.state":
      return `state ${value ?? "unknown"}`;
    case "resource.applied":
      return "declared";
    case "resource.deleted":
      return "deleted";
    default:
      return type;
  }
}

/** Lines of `device watch`: aligned as far as the past lines let them be. */
export function changeLines(options: TextOptions): (change: ChangeRow) => string {
  const columns = new Columns({ ...options, widths: [24, 12, 20] });
  return (change) =>
    columns.line([
      { text: change.time, style: "dim" },
      { text: change.node, style: "dim" },
      `${change.namespace}/${change.name}`,
      changeText(change),
    ]);
}
