/** Results for people. */
import Table from "cli-table3";
import { type Result, meets, spread } from "./harness.ts";
import type { Machine } from "./machine.ts";

export function describe(machine: Machine, commit: string): string {
  const { cpu, cores, memoryMiB, kernel, node, disk, load, packages } = machine;
  return [
    `${cpu}, ${cores} cores, ${Math.round(memoryMiB / 1024)} GiB, Linux ${kernel}, ${disk}; load ${load.toFixed(2)} at the start`,
    `Node ${node}; ${Object.entries(packages)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}`,
    `commit ${commit}`,
  ].join("\n");
}

const blank = Object.fromEntries(
  ["top", "bottom", "left", "mid", "right"]
    .flatMap((edge) => ["", "-mid", "-left", "-right"].map((part) => [edge + part, ""]))
    .concat([["middle", ""]]),
);

export function tabulate(results: readonly Result[]): string {
  const table = new Table({
    head: ["", "product", "raw", "ratio", "target", ""],
    colAligns: ["left", "right", "right", "right", "left", "left"],
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
    chars: blank,
  });
  for (const result of results) {
    const { name, unit, value, raw, ratio, target, runs } = result;
    const values = runs.map((run) => run.value);
    const raws = runs.map((run) => run.raw);
    table.push([
      `${name} (${unit})`,
      cell(value, spread(values)),
      cell(raw, spread(raws)),
      ratio === null ? "-" : ratio.toFixed(2),
      target ?? "",
      { true: "met", false: "NOT MET", undefined: "" }[String(meets(result))] ?? "",
    ]);
  }
  return table.toString().replaceAll(/ +$/gm, "");
}

function cell(value: number | null, swing: number | null): string {
  if (value === null) return "-";
  return swing === null ? format(value) : `${format(value)} ±${Math.round(swing * 50)}%`;
}

function format(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** One sentence on how far the machine was ours. */
export function describeOthers(results: readonly Result[]): string {
  const most = Math.max(0, ...results.flatMap(({ runs }) => runs.map((run) => run.others)));
  const note = most > 0.05 ? ": figures are lower, and ratios less certain, than on a quiet machine" : "";
  return `Other programs took up to ${Math.round(most * 100)}% of the cores during a run${note}.`;
}
