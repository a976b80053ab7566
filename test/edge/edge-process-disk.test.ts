/** A disk that fills up while a node begins: the node says so, lets go of its log, and begins when there is room. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Committer } from "../../core/committer.ts";
import { hasCode } from "../../core/errors.ts";
import { nodeLog } from "../../core/event.ts";
import { Log } from "../../core/log.ts";
import { LevelStore } from "../../core/store/level.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { type RunningEdge, startEdge } from "../../edge/edge-process.ts";
import { ReserveFile } from "../../protocol/adapters/disk.ts";
import { nodeEnvironment } from "../../protocol/adapters/environment.ts";
import { type Disk, mountDisk } from "../crash/disk.ts";

const node = "edge-node-1";
const mebi = 1024 * 1024;
const logger = { log: () => {} };

/** An event that no checkpoint covers: the next who opens the log has something to write as it closes it. */
async function leaveAnEvent(dataDir: string): Promise<void> {
  const environment = nodeEnvironment(logger, nodeDigest);
  const store = new LevelStore(join(dataDir, "edge", node, "log"));
  await store.open();
  const log = await Log.open({
    id: nodeLog(node),
    side: "node",
    committer: new Committer(store, environment.timers),
    environment,
  });
  await log.appended([{ type: "audit.test", class: "audit", key: "audit/test", body: "x".repeat(1000) }]);
  await store.close();
}

const roomBytes = [0, 4096, 8192, 16_384, 65_536];
const skip = process.getuid?.() === 0 ? false : "mounting a small file system needs root";

interface Place {
  readonly dataDir: string;
  readonly disk: Disk;
  readonly start: (onProgress?: () => void) => Promise<RunningEdge>;
}

async function smallDisk(t: Test): Promise<Place> {
  const dataDir = await mkdtemp(join(tmpdir(), "tidemark-disk-"));
  const disk = mountDisk(dataDir, 16 * mebi);
  if (typeof disk === "string") throw new Error(disk);
  t.teardown(async () => {
    disk.release();
    await rm(dataDir, { recursive: true });
  });
  const ports = { mqttHost: "127.0.0.1", mqttPort: 0, apiPort: 0 };
  return {
    dataDir,
    disk,
    start: (onProgress = () => undefined) =>
      startEdge({ dataDir, node, cloudUrl: "wss://127.0.0.1:1", ...ports, logger, onProgress }),
  };
}

t.test(
  "a disk that fills up while a node begins is told as that, and keeps nothing locked",
  { skip },
  async (t) => {
    const { dataDir, disk, start } = await smallDisk(t);
    let refused = 0;
    for (const room of roomBytes) {
      await leaveAnEvent(dataDir);
      try {
        const running = await start(() => disk.fill(room));
        await running.stop().catch(() => undefined);
      } catch (error) {
        refused += 1;
        t.ok(hasCode(error, "DISK_FULL"), `with ${room} bytes left: ${String(error)}`);
      }
      disk.free();
      const running = await start();
      await t.resolves(running.stop(), `begins again after ${room} bytes`);
    }
    t.ok(refused > 0, "there was a disk too full to begin on");
  },
);

t.test("a node that can't begin on a full disk begins where its reserve was", { skip }, async (t) => {
  const { dataDir, disk, start } = await smallDisk(t);
  await leaveAnEvent(dataDir);
  const reserve = new ReserveFile(join(dataDir, "edge", node), 4 * mebi);
  await reserve.keep();
  disk.fill(0);
  await t.rejects(start(), { code: "DISK_FULL" });
  t.notOk(await reserve.isKept());
  const running = await start();
  await t.resolves(running.stop());
});
