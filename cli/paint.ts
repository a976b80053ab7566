import { styleText } from "node:util";
import type { Output, World } from "./world.ts";

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** Colours a text, or leaves it as it is where no colour is wanted. */
export type Paint = (style: Style | undefined, text: string) => string;

export const plain: Paint = (_style, text) => text;

export const coloured: Paint = (style, text) =>
  style === undefined || text === "" ? text : styleText(style, text, { validateStream: false });

/** Colour goes to terminals, unless `NO_COLOR` or `--no-color` says no, and where `FORCE_COLOR` says so. */
export function paintFor(output: Output, env: World["env"], wanted: boolean): Paint {
  if (!wanted || (env["NO_COLOR"] ?? "") !== "") return plain;
  const forced = env["FORCE_COLOR"] ?? "";
  return (forced !== "" && forced !== "0") || (output.isTTY === true && env["TERM"] !== "dumb")
    ? coloured
    : plain;
}
