/** Where a backup's bytes come from: a running process over its API, or the files of a stopped one. */
import { join } from "node:path";
import type { Side } from "../core/event.ts";
import type { Context } from "./context.ts";
import { type Place, choosePlace, findPlaces } from "./places.ts";
import type { RunningTarget } from "./running-target.ts";
import { copyLog } from "./stopped-copy.ts";
import { namedServer, runningTargetOf } from "./target.ts";

export interface BackupBytes {
  /** `the cloud at https://127.0.0.1:6443` */
  readonly name: string;
  readonly bytes: AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** @throws TidemarkError NOT_REACHABLE, USAGE, LOG_LOCKED, FORMAT_NEWER, SEGMENT_CORRUPT, DISK_FULL */
export async function openBackup(context: Context, side: Side | undefined): Promise<BackupBytes> {
  const named = await namedServer(context);
  if (named !== undefined) return running(named);
  const place = await placeOf(context, side);
  if (place.run === undefined) return stopped(context, place);
  return running(await runningTargetOf(context, place.node, place.run));
}

function running(target: RunningTarget): BackupBytes {
  return { name: target.name, bytes: target.bytes("/tidemark/v1/backup"), close: () => target.close() };
}

/** A node that is named is meant itself, not what the cloud has of it. */
async function placeOf(context: Context, side: Side | undefined): Promise<Place> {
  const { node } = context;
  const wanted = { node, side: side ?? (node === undefined ? undefined : "node") } as const;
  return choosePlace(await findPlaces(context.dataDir), wanted);
}

async function stopped(context: Context, { directory, node }: Place): Promise<BackupBytes> {
  const [{ LevelStore }, { nodeDigest }, { backupOf }, { productVersion }] = await Promise.all([
    import("../core/store/level.ts"),
    import("../core/store/node-digest.ts"),
    import("../protocol/adapters/backup-source.ts"),
    import("../protocol/version.ts"),
  ]);
  const copy = await copyLog(join(directory, "log"), context.world);
  const store = new LevelStore(copy.directory);
  const close = async (): Promise<void> => {
    await store.close();
    await copy.remove();
  };
  try {
    await store.open();
  } catch (error) {
    await close();
    throw error;
  }
  const manifest = {
    side: node === undefined ? "cloud" : "node",
    node,
    product: productVersion,
    time: context.world.now(),
  } as const;
  return {
    name: `the stopped ${node === undefined ? "cloud" : `node ${node}`} in ${directory}`,
    bytes: backupOf({ manifest, directory, store, digest: nodeDigest }),
    close,
  };
}
