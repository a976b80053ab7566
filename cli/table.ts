import { type Paint, type Style, plain } from "./paint.ts";
import { cut, printable, widthOf } from "./text.ts";

/** A cell's text is made printable; its style colours it, and nothing else. */
export type Cell = string | { readonly text: string; readonly style?: Style | undefined };

export interface ColumnsOptions {
  readonly paint?: Paint;
  /** Columns whose cells stand at the right, from 0. */
  readonly right?: readonly number[];
  /** The least width of each column. */
  readonly widths?: readonly number[];
  /** Longer lines are cut. */
  readonly lineWidth?: number | undefined;
  readonly indent?: string;
}

const gap = "  ";

/** Aligned columns for lines that come one after another: a column widens for good when a cell needs it. */
export class Columns {
  readonly #options: ColumnsOptions;
  readonly #widths: number[];

  constructor(options: ColumnsOptions = {}) {
    this.#options = options;
    this.#widths = [...(options.widths ?? [])];
  }

  /** Makes the columns wide enough for these rows. */
  fit(rows: readonly (readonly Cell[])[]): this {
    for (const row of rows) {
      const { right = [] } = this.#options;
      for (const [index, cell] of row.entries()) {
        // The last cell has nothing to its right to be aligned.
        if (index === row.length - 1 && !right.includes(index)) continue;
        this.#widths[index] = Math.max(this.#widths[index] ?? 0, widthOf(printable(textOf(cell))));
      }
    }
    return this;
  }

  line(row: readonly Cell[]): string {
    this.fit([row]);
    const { paint = plain, right = [], lineWidth, indent = "" } = this.#options;
    let line = indent;
    let used = widthOf(indent);
    // Spaces wait for the next text, so that no line ends in them.
    let spaces = "";
    for (const [index, cell] of row.entries()) {
      const isLast = index === row.length - 1;
      const room = lineWidth === undefined ? Infinity : lineWidth - used;
      if (room < 1) break;
      const text = cut(printable(textOf(cell)), room);
      const width = isLast && !right.includes(index) ? 0 : (this.#widths[index] ?? 0);
      const filling = " ".repeat(Math.max(0, Math.min(width, room) - widthOf(text)));
      const [before, after] = right.includes(index) ? [filling, gap] : ["", filling + gap];
      used += widthOf(text) + filling.length + gap.length;
      if (text === "") {
        spaces += before + after;
        continue;
      }
      line += spaces + before + paint(typeof cell === "string" ? undefined : cell.style, text);
      spaces = after;
    }
    return line;
  }
}

function textOf(cell: Cell): string {
  return typeof cell === "string" ? cell : cell.text;
}

/** Headers and rows in aligned columns, one line each, ending in a line break. */
export function table(
  headers: readonly string[],
  rows: readonly (readonly Cell[])[],
  options: ColumnsOptions = {},
): string {
  const columns = new Columns(options).fit([headers, ...rows]);
  const top = columns.line(headers.map((text) => ({ text, style: "dim" as const })));
  return [top, ...rows.map((row) => columns.line(row))].map((line) => `${line}\n`).join("");
}

/** Names and values, one pair a line; a pair without a value is left out. */
export function facts(
  pairs: readonly (readonly [name: string, value: Cell | undefined])[],
  options: ColumnsOptions = {},
): string {
  const rows = pairs.flatMap(([text, value]): Cell[][] =>
    value === undefined ? [] : [[{ text, style: "dim" }, value]],
  );
  const columns = new Columns({ indent: "  ", ...options }).fit(rows);
  return rows.map((row) => `${columns.line(row)}\n`).join("");
}
