/** The load generator, from the harness's end. */
import { type Child, startChild } from "./child.ts";
import type { Counts, LoadOptions, OpenLoop, Sent } from "./raw/load.ts";

/** As many as in the measurements that the targets come from. */
export const publishers = 20;
const window = 64;

export interface Load {
  /** Keeps every publisher's window full until `stop`. */
  saturate(): Promise<void>;
  stop(): Promise<void>;
  count(): Promise<Counts>;
  /** @returns when all messages are acknowledged, at most 5 s after the last. */
  openLoop(options: OpenLoop): Promise<Sent>;
  close(): Promise<void>;
}

export async function startLoad(port: number, results: boolean): Promise<Load> {
  const child: Child = startChild(new URL("raw/load.js", import.meta.url));
  try {
    await child.ask("connect", { port, publishers, window, results } satisfies LoadOptions);
  } catch (error) {
    await child.stop();
    throw error;
  }
  return {
    saturate: () => child.ask("saturate"),
    stop: () => child.ask("stop"),
    count: () => child.ask<Counts>("count"),
    openLoop: (options) => child.ask<Sent>("openLoop", options),
    close: () => child.stop(),
  };
}
