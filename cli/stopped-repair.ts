/** Changes the log of a stopped process: in its own files, and by what a person has said. */
import { join } from "node:path";
import { restoredVersions } from "../cloud/version-base.ts";
import { Committer } from "../core/committer.ts";
import { TidemarkError } from "../core/errors.ts";
import { clusterLog, nodeLog } from "../core/event.ts";
import { Log } from "../core/log.ts";
import { recheckLog, verifyLog } from "../core/log-verify.ts";
import { giveUp } from "../core/log-repair.ts";
import { type Problem, rangeText } from "../core/replay.ts";
import { LevelStore } from "../core/store/level.ts";
import { nodeDigest } from "../core/store/node-digest.ts";
import { deriveKey } from "../protocol/adapters/credentials.ts";
import { nodeEnvironment } from "../protocol/adapters/environment.ts";
import { authority } from "../protocol/link/authority.ts";
import { type VerifyRow, verifyRow } from "../protocol/rest/log-api.ts";
import { cloudAuthority } from "./node-certificate.ts";
import type { Place } from "./places.ts";
import type { LogRef } from "./target.ts";

export interface GiveUpOptions {
  readonly dataDir: string;
  readonly place: Place;
  readonly ref: LogRef;
  /** As `rangeText` writes them. */
  readonly ranges: readonly string[];
}

/**
 * Gives up what is damaged of a stopped log.
 * @returns what is said of the log after it
 * @throws TidemarkError INVALID for a range that is not damaged, or that is kept back; LOG_LOCKED
 */
export async function giveUpStopped(options: GiveUpOptions): Promise<VerifyRow> {
  const { place, ref, ranges } = options;
  const store = new LevelStore(join(place.directory, "log"));
  await store.open();
  try {
    let log = await openLog(store, options);
    // A checkpoint may hide it from the log.
    await recheckLog(log);
    if (store.isSuspect) {
      // It takes nothing before it is rebuilt.
      await store.close();
      await store.open();
      log = await openLog(store, options);
      await recheckLog(log);
    }
    await giveUp(
      log,
      ranges.map((range) => problemOf(range, log.problems)),
    );
    // A new incarnation counts anew, and its versions must be above those that were given out.
    if (ref.isCluster) await store.commit({ segments: [], values: restoredVersions(Date.now()) });
    const verified = verifyRow(await verifyLog(log));
    await log.close();
    return verified;
  } finally {
    await store.close();
  }
}

async function openLog(store: LevelStore, { dataDir, place, ref }: GiveUpOptions): Promise<Log> {
  const environment = nodeEnvironment({ log: () => {} }, nodeDigest);
  const committer = new Committer(store, environment.timers);
  if (ref.isCluster) return Log.open({ id: clusterLog, side: "cloud", committer, environment });
  const isCloud = place.node === undefined;
  return Log.open({
    id: nodeLog(ref.name),
    side: isCloud ? "cloud" : "node",
    committer,
    environment,
    macKey: isCloud ? deriveKey((await cloudAuthority(dataDir)).key, "segment-mac") : undefined,
    authority,
  });
}

function problemOf(range: string, problems: readonly Problem[]): Problem {
  const problem = problems.find((each) => rangeText(each) === range);
  if (problem !== undefined) return problem;
  const known = [...new Set(problems.map(rangeText))].join(", ");
  throw new TidemarkError(
    "INVALID",
    `${range} is no damaged range of this log${known === "" ? ": nothing is damaged" : `: ${known} are`}`,
  );
}
