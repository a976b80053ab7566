/** Conflicts as people read them. */
import type { ConflictRow, Overridden } from "../protocol/rest/conflicts.ts";
import type { Paint } from "./paint.ts";
import { type Cell, facts, table } from "./table.ts";

export interface ConflictTextOptions {
  readonly paint: Paint;
  readonly lineWidth: number | undefined;
  /** An event's id as people see it. */
  readonly shorten: (id: string) => string;
}

const withdrawn = "(withdrawn)";

export function conflictListText(rows: readonly ConflictRow[], options: ConflictTextOptions): string {
  if (rows.length === 0) return "No conflicts.\n";
  const lines = rows.map((row): Cell[] => [
    { text: row.time, style: "dim" },
    options.shorten(row.id),
    row.node,
    `${row.namespace}/${row.name}`,
    row.property,
    valueCell(row, "cloud"),
    valueCell(row, "edge"),
    row.winner,
    `policy ${row.policy}`,
    nowCell(row, options),
  ]);
  const headers = [
    "TIME",
    "ID",
    "NODE",
    "DEVICE",
    "PROPERTY",
    "CLOUD",
    "EDGE",
    "WINNER",
    "DECIDED-BY",
    "NOW",
  ] as const;
  return table(headers, lines, options);
}

/** The value that won stands out. */
function valueCell(row: ConflictRow, side: "cloud" | "edge"): Cell {
  const text = row[side].value ?? withdrawn;
  return row.winner === side ? { text, style: "bold" } : { text, style: "dim" };
}

function nowCell({ outcome, winner }: ConflictRow, { shorten }: ConflictTextOptions): Cell {
  switch (outcome.state) {
    case "standing":
      return outcome.winner === winner
        ? { text: "stands", style: "yellow" }
        : { text: `stands, the ${outcome.winner}'s by policy ${outcome.policy}`, style: "yellow" };
    case "overridden":
    case "superseded": {
      const value = outcome.value ?? withdrawn;
      return { text: `${outcome.state}: ${value}, by ${shorten(outcome.event)}`, style: "green" };
    }
    case "deleted":
      return { text: "device gone", style: "dim" };
    default:
      return outcome satisfies never;
  }
}

/** One conflict, all of it. */
export function conflictText(row: ConflictRow, options: ConflictTextOptions): string {
  const { paint } = options;
  const device = `${row.namespace}/${row.name}`;
  const side = (name: "cloud" | "edge"): string => {
    const { value, time, event } = row[name];
    return `${value ?? withdrawn}  said ${time}, ${event}`;
  };
  const head = facts(
    [
      ["device", device],
      ["property", row.property],
      ["node", row.node],
      ["found", row.time],
      ["cloud", side("cloud")],
      ["edge", side("edge")],
      ["winner", `${row.winner}, by policy ${row.policy}`],
      ["now", nowCell(row, { ...options, shorten: (id) => id })],
    ],
    options,
  );
  const advice =
    row.outcome.state === "standing"
      ? `\nTo choose otherwise: npx tidemark conflicts override ${options.shorten(row.id)} --winner cloud|edge, or --value V\n`
      : "";
  return `${paint("bold", row.id)}\n${head}${advice}`;
}

export function overriddenText({ namespace, name, property, value, id }: Overridden): string {
  return `${namespace}/${name}: ${property} wanted ${value}; the conflict ${id} is overridden\n`;
}
