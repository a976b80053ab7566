import type { Context } from "./context.ts";

/** Makes a command's function one that commander calls: with the common options read, and its exit code kept. */
export type Act = (
  run: (context: Context, options: never, ...names: readonly never[]) => Promise<number | void>,
) => (...given: unknown[]) => Promise<void>;

/** The last part of a command's help. */
export function example(...lines: readonly string[]): string {
  return `\nExample${lines.length === 1 ? "" : "s"}:\n${lines.map((line) => `  ${line}`).join("\n")}`;
}
