/** One run of the replay benchmark, in a process of its own: heap and compiled code are nobody else's. */
import { serve } from "./child.ts";
import { foldAll, readSegments, record } from "./product/recording.ts";
import { unpackAll } from "./raw/replay.ts";
import type { Side } from "./subject.ts";

export interface ReplayRun {
  readonly side: Side;
  /** A data directory. */
  readonly dataDir: string;
  readonly events: number;
}

/** Times the events of a log are gone through before it counts, so that the code is compiled. */
const warmRuns = 2;

/** Records, then goes through the bytes in memory. @returns events a second */
async function run({ side, dataDir, events }: ReplayRun): Promise<number> {
  await record(dataDir, events);
  const segments = await readSegments(dataDir);
  const goThrough = side === "raw" ? unpackAll : foldAll;
  for (let run = 0; run < warmRuns; run += 1) goThrough(segments);
  const began = performance.now();
  const count = goThrough(segments);
  return count / ((performance.now() - began) / 1000);
}

serve({ run });
