/** The live view: what is known, as the lines of a screen. Pure. */
import { changeText } from "../device-text.ts";
import { type Paint, type Style, plain } from "../paint.ts";
import { type Cell, Columns } from "../table.ts";
import { count, counted, cut, pad, printable, shellWord, widthOf } from "../text.ts";
import { type Part, type ShownEvent, type UpModel, isConnected, waitingForCloud } from "./model.ts";

export interface ViewOptions {
  readonly paint?: Paint;
  readonly columns: number;
  readonly rows: number;
  /** Whether keys are read. */
  readonly keys: boolean;
}

interface Painter {
  readonly paint: Paint;
  readonly width: number;
}

const indent = "  ";
const eventsShownMin = 3;
/** A blank line, a heading, and the columns' names. */
const eventHeadLines = 3;
const eventsShownMax = 12;
const notesShown = 3;

/** As many lines as the screen has rows at most, none wider than it. */
export function renderView(model: UpModel, options: ViewOptions): string[] {
  const { paint = plain, columns, rows } = options;
  const painter = { paint, width: Math.max(20, columns) };
  const before = [titleLines(model, painter), partLines(model, painter), deviceLines(model, painter)];
  const after = [noteLines(model, painter), tryLines(model, painter)];
  const keys = options.keys ? [keyLine(model, painter)] : [];
  // What is left is for events: where that is too little, they give way to what one can do.
  const free = rows - heightOf([...before, ...after, keys]) - eventHeadLines;
  const shown = Math.min(eventsShownMax, free);
  const events = shown < eventsShownMin ? [] : eventLines(model, painter, shown);
  const blocks = [...before, events, ...after].filter((block) => block.length > 0);
  const isTight = heightOf([...blocks, keys]) > rows;
  const lines = blocks.flatMap((block, index) => (index === 0 || isTight ? block : ["", ...block]));
  if (keys.length === 0) return lines.slice(0, rows);
  const kept = lines.slice(0, Math.max(0, rows - 1));
  return [...kept, ...(isTight || kept.length === 0 ? [] : [""]), ...keys];
}

/** With a blank line between blocks. */
function heightOf(blocks: readonly (readonly string[])[]): number {
  return blocks.reduce((height, block) => height + (block.length === 0 ? 0 : block.length + 1), -1);
}

function titleLines({ version, dataDir, stopping }: UpModel, { paint, width }: Painter): string[] {
  const title = `Tidemark ${version}`;
  const right = stopping ? "stopping …" : cut(dataDir, Math.max(0, width - widthOf(title) - 2));
  const between = " ".repeat(Math.max(2, width - widthOf(title) - widthOf(right)));
  return [`${paint("bold", title)}${between}${paint("dim", right)}`];
}

function heading(text: string, { paint, width }: Painter): string {
  return paint("bold", cut(text, width));
}

function partLines(model: UpModel, { paint, width }: Painter): string[] {
  const columns = new Columns({ paint, lineWidth: width, indent });
  const rows = [model.cloud, ...model.nodes].map((part): Cell[] => [
    { text: part.isCloud ? "cloud" : part.name, style: "bold" },
    stateCell(part),
    part.state === "running" && part.pid !== undefined
      ? `pid ${part.pid}${part.byHand ? ", by hand" : ""}`
      : "",
    { text: detailText(model, part), style: part.state === "down" ? "yellow" : "dim" },
  ]);
  columns.fit(rows);
  return rows.map((row) => columns.line(row));
}

function stateCell(part: Part): Cell {
  if (part.state === "down") return { text: "○ down", style: "red" };
  if (part.state === "starting") return { text: "◌ starting", style: "yellow" };
  if (part.isCloud) return { text: "● running", style: "green" };
  if (part.status === undefined) return { text: "● running", style: "green" };
  return isConnected(part) ? { text: "● connected", style: "green" } : { text: "● offline", style: "yellow" };
}

function detailText(model: UpModel, part: Part): string {
  const { addresses, state } = part;
  if (state === "down") return part.ending ?? "not running";
  if (state === "starting") return "";
  if (part.isCloud) {
    const nodes = model.nodes.filter(isConnected).length;
    return `${nodes} of ${counted(model.nodes.length, "node")}  ${addresses["api"] ?? ""}  ${addresses["link"] ?? ""}`;
  }
  const waiting = waitingForCloud(part) ?? 0;
  const behind = waiting === 0 ? "nothing waits" : `${counted(waiting, "event")} to send`;
  return `${behind}  ${addresses["mqtt"] ?? ""}  ${addresses["edgeApi"] ?? ""}`;
}

function deviceLines(model: UpModel, painter: Painter): string[] {
  const { device, cloud, nodes } = model;
  const [node] = nodes;
  if (device === undefined || node === undefined) return [];
  const { paint, width } = painter;
  const undeclared = [...node.properties.keys(), ...cloud.properties.keys()].filter(
    (name) => !device.properties.some((property) => property.name === name),
  );
  const shown = [...device.properties, ...[...new Set(undeclared)].map((name) => ({ name, unit: "" }))];
  const rows = shown.map(({ name, unit }): Cell[] => {
    const here = node.properties.get(name);
    const there = cloud.properties.get(name);
    const wanted = here?.desired ?? there?.desired;
    return [
      name,
      { text: unit, style: "dim" },
      valueCell(here?.reported, node),
      valueCell(there?.reported, cloud),
      wantedCell(wanted, here),
    ];
  });
  const headers = ["PROPERTY", "", "AT THE NODE", "IN THE CLOUD", "WANTED"];
  const columns = new Columns({ paint, lineWidth: width, indent, widths: [0, 0, 14, 14] }).fit([
    headers,
    ...rows,
  ]);
  return [
    heading(`${device.namespace}/${device.name}`, painter),
    columns.line(headers.map((text): Cell => ({ text, style: "dim" }))),
    ...rows.map((row) => columns.line(row)),
  ];
}

const valueWidthMax = 24;

/** What a side that is down had last is shown faintly. */
function valueCell(value: string | undefined, { state }: Part): Cell {
  if (value === undefined) return { text: "-", style: "dim" };
  return { text: cut(value, valueWidthMax), style: state === "running" ? undefined : "dim" };
}

function wantedCell(wanted: string | undefined, here: { reported: string | undefined } | undefined): Cell {
  if (wanted === undefined || wanted === "") return "";
  const style: Style = here?.reported === wanted ? "green" : "yellow";
  return { text: here?.reported === wanted ? `${wanted} ✓` : `${wanted} …`, style };
}

function eventLines({ events, cloud, nodes }: UpModel, painter: Painter, shown: number): string[] {
  const { paint, width } = painter;
  const rows = [...events.values()].slice(-shown).map((event): Cell[] => {
    const { change } = event;
    return [
      { text: change.time.slice(11, 23), style: "dim" },
      { text: `#${change.event.slice(change.event.indexOf("/") + 1)}`, style: "dim" },
      arrivalCell(event, "node", nodes[0]),
      arrivalCell(event, "cloud", cloud),
      `${change.namespace}/${change.name}`,
      changeText(change),
    ];
  });
  const headers = ["TIME", "EVENT", "NODE", "CLOUD", "DEVICE", "WHAT"];
  const columns = new Columns({ paint, lineWidth: width, indent, right: [1], widths: [12, 6, 8, 8] }).fit([
    headers,
    ...rows,
  ]);
  const lines = rows.map((row) => columns.line(row));
  // The rows that are not there yet are kept free, so that nothing below moves.
  while (lines.length < shown) lines.push("");
  return [
    heading("What happens", painter),
    columns.line(headers.map((text): Cell => ({ text, style: "dim" }))),
    ...lines,
  ];
}

/** A tick where it began, the time it took to the other side, or that it is still waited for. */
function arrivalCell({ change, seenMs }: ShownEvent, side: "node" | "cloud", part: Part | undefined): Cell {
  const home = change.event.startsWith("n") ? "node" : "cloud";
  const seen = seenMs[side];
  if (side === home) return { text: "✓", style: "green" };
  if (seen === undefined) return { text: part?.state === "running" ? "…" : "waits", style: "yellow" };
  const began = seenMs[home];
  // Either was there before anyone looked: how long it took is not known.
  if (seen === 0 || began === undefined || began === 0) return { text: "✓", style: "green" };
  return { text: `+${duration(Math.max(0, seen - began))}`, style: "green" };
}

function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${count(Math.round(ms / 1000))} s`;
}

function noteLines({ notes }: UpModel, { paint, width }: Painter): string[] {
  return notes.slice(-notesShown).map(({ time, text }) => {
    const at = time.slice(11, 19);
    return `${indent}${paint("dim", at)}  ${paint("yellow", cut(printable(text), Math.max(1, width - 12)))}`;
  });
}

function tryLines(model: UpModel, painter: Painter): string[] {
  const lines = model.lines();
  const labelWidth = Math.max(...lines.map(([what]) => widthOf(what)));
  return [
    heading("Try, in another terminal", painter),
    ...lines.flatMap(([what, words]) => {
      const wrapped = wrapCommand(words, painter.width - labelWidth - 4);
      return wrapped.map((line, index) => {
        const label = painter.paint("dim", pad(index === 0 ? what : "", labelWidth));
        return `${indent}${label}  ${painter.paint("cyan", line)}`;
      });
    }),
  ];
}

/** A command that can be copied as it is: broken between words, with a backslash. A word too long for a line has its own. */
export function wrapCommand(words: readonly string[], width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of words.map(shellWord)) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && widthOf(longer) > width - 2) {
      lines.push(`${line} \\`);
      line = `  ${word}`;
    } else line = longer;
  }
  return [...lines, line];
}

function keyLine({ cloud, nodes }: UpModel, { paint, width }: Painter): string {
  const verb = (part: Part | undefined): string => (part?.state === "down" ? "start" : "kill");
  const items = [
    ["c", `${verb(cloud)} the cloud`],
    ["e", `${verb(nodes[0])} the node`],
    ["q", "quit"],
  ] as const;
  const text = items.map(([key, what]) => `${key} ${what}`).join("   ");
  if (widthOf(text) > width - 2) return cut(`${indent}${text}`, width);
  return indent + items.map(([key, what]) => `${paint("bold", key)} ${paint("dim", what)}`).join("   ");
}
