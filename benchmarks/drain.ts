import { sleep } from "./harness.ts";
import { cpuSeconds } from "./machine.ts";
import type { Backlog } from "./subject.ts";

/** What it took until all of a backlog was in the cloud. */
export interface Drained {
  readonly seconds: number;
  /** CPU seconds. */
  readonly edge: number;
  readonly cloud: number;
}

/** Connects the node, and waits until the cloud has stored `events` more. @throws when it has not within the limit */
export async function drain(
  backlog: Backlog,
  events: number,
  { pollSeconds, limitSeconds }: { readonly pollSeconds: number; readonly limitSeconds: number },
): Promise<Drained> {
  const before = await backlog.stored();
  const cpu = [cpuSeconds(backlog.edge), cpuSeconds(backlog.cloud)] as const;
  const began = performance.now();
  const connected = backlog.connect();
  for (;;) {
    await sleep(pollSeconds);
    const stored = (await backlog.stored()) - before;
    if (stored >= events) break;
    if (performance.now() - began > limitSeconds * 1000)
      throw new Error(`${stored} of ${events} after ${limitSeconds} s`);
  }
  const seconds = (performance.now() - began) / 1000;
  const edge = cpuSeconds(backlog.edge) - cpu[0];
  const cloud = cpuSeconds(backlog.cloud) - cpu[1];
  await connected;
  return { seconds, edge, cloud };
}
