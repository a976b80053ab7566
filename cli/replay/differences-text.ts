import type { Difference } from "../../protocol/replay/difference.ts";
import { facts } from "../table.ts";
import type { TextOptions } from "../device-text.ts";

const valueLengthMax = 200;

/** A line for each place: its name, before and after. */
export function differencesText(
  differences: readonly Difference[],
  options: Pick<TextOptions, "paint" | "lineWidth">,
): string {
  return facts(
    differences.map(({ path, before, after }) => [
      path.join(" › "),
      `${valueText(before)} → ${valueText(after)}`,
    ]),
    options,
  );
}

function valueText(value: unknown): string {
  if (value === undefined) return "(nothing)";
  const text = JSON.stringify(value);
  return text.length > valueLengthMax ? `${text.slice(0, valueLengthMax)}…` : text;
}
