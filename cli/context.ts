/** What all commands have in common: their options, and how they write. */
import { once } from "node:events";
import { isAbsolute, resolve } from "node:path";
import { TidemarkError } from "../core/errors.ts";
import { type Paint, paintFor } from "./paint.ts";
import type { Output, World } from "./world.ts";

/** The common options, as the command line gives them. */
export interface CommonOptions {
  readonly dataDir?: string;
  readonly server?: string;
  readonly kubeconfig?: string;
  readonly node?: string;
  readonly namespace?: string;
  readonly json?: boolean;
  readonly output?: string;
  readonly config?: string;
  readonly color?: boolean;
}

export interface Context {
  readonly world: World;
  /** Absolute. */
  readonly dataDir: string;
  /** As it was given; undefined for the default. */
  readonly dataDirGiven: string | undefined;
  readonly server: string | undefined;
  readonly kubeconfig: string | undefined;
  readonly node: string | undefined;
  /** As it was given; where one is needed, the default is `default`. */
  readonly namespace: string | undefined;
  readonly json: boolean;
  /** For standard output. */
  readonly paint: Paint;
  /** For standard error. */
  readonly paintError: Paint;
}

const dataDirDefault = "./data";

/** @throws TidemarkError USAGE, UNSUPPORTED */
export function contextOf(world: World, options: CommonOptions): Context {
  const { env } = world;
  if (options.config !== undefined) {
    throw new TidemarkError(
      "UNSUPPORTED",
      `this version reads no configuration file (--config ${options.config}): say it with flags; --help lists them`,
    );
  }
  if (options.output !== undefined && options.output !== "json") {
    throw new TidemarkError("USAGE", `-o ${options.output} is not known: the only format is json`);
  }
  const given = options.dataDir ?? (env["TIDEMARK_DATA_DIR"] || undefined);
  const color = options.color !== false;
  return {
    world,
    dataDir: absolute(world, given ?? dataDirDefault),
    dataDirGiven: given,
    server: options.server ?? (env["TIDEMARK_SERVER"] || undefined),
    kubeconfig: options.kubeconfig === undefined ? undefined : absolute(world, options.kubeconfig),
    node: options.node,
    namespace: options.namespace,
    json: options.json === true || options.output === "json",
    paint: paintFor(world.stdout, env, color),
    paintError: paintFor(world.stderr, env, color),
  };
}

export function absolute(world: World, path: string): string {
  return isAbsolute(path) ? path : resolve(world.directory, path);
}

/** Writes, and waits for a reader that is slower. */
export async function print(output: Output, text: string): Promise<void> {
  if (text === "" || output.write(text)) return;
  await once(output, "drain");
}

/** A whole answer as JSON for programs. */
export function printJson(context: Context, value: unknown): Promise<void> {
  return print(context.world.stdout, `${JSON.stringify(value, null, 2)}\n`);
}

/** One of many objects, on a line of its own. */
export function printJsonLine(context: Context, value: unknown): Promise<void> {
  return print(context.world.stdout, `${JSON.stringify(value)}\n`);
}

export function printText(context: Context, text: string): Promise<void> {
  return print(context.world.stdout, text);
}

/** For people, beside the answer. */
export function printNote(context: Context, text: string): Promise<void> {
  return print(context.world.stderr, text);
}

/** How wide a line may be on standard output; undefined where nothing is shown to anyone. */
export function lineWidth(context: Context): number | undefined {
  const { isTTY, columns } = context.world.stdout;
  // A terminal that does not know its size says 0.
  return isTTY === true ? columns || 80 : undefined;
}
