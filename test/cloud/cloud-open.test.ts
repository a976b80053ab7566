/** A cloud that can't be opened lets go of all that it had begun, so that its process can end or try again. */
import t from "tap";
import { Cloud } from "../../cloud/cloud.ts";
import { deviceKind, deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { TidemarkError } from "../../core/errors.ts";
import { type LogId, nodeLog } from "../../core/event.ts";
import type { Timers } from "../../core/ports.ts";
import { MemoryDisk, MemoryStore } from "../../core/store/memory.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import type { ReadRecord } from "../../core/store-port.ts";
import { device, environment, model, timers } from "./fixtures.ts";

const broken = nodeLog("zz-broken");

/** Of its last log nothing can be read. */
class BrokenStore extends MemoryStore {
  override async logs(): Promise<LogId[]> {
    return [...(await super.logs()), broken];
  }

  override async read(log: LogId, position: number, maxBytes: number): Promise<ReadRecord[]> {
    if (log === broken) throw new TidemarkError("SEGMENT_CORRUPT", "it can't be read");
    return super.read(log, position, maxBytes);
  }
}

/** Timers that know how many are still to fire. */
class CountedTimers implements Timers {
  pending = 0;

  after(delayMs: number, task: () => void): () => void {
    this.pending += 1;
    let isOver = false;
    const end = (): void => {
      if (!isOver) this.pending -= 1;
      isOver = true;
    };
    const cancel = timers.after(delayMs, () => {
      end();
      task();
    });
    return () => {
      end();
      cancel();
    };
  }

  soon(task: () => void): void {
    timers.soon(task);
  }
}

const options = { macKey: new Uint8Array(32), product: "test" };

/** The disk of a cloud that had a device on a node. */
async function stopped(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const whole = new MemoryStore(disk, { timers, digest: nodeDigest });
  await whole.open();
  const cloud = await Cloud.open({ ...options, environment: environment(), store: whole });
  await cloud.resources.create(deviceModelKind, "default", model());
  await cloud.resources.create(deviceKind, "default", device({ node: "press-7", desired: { temp: "20" } }));
  await cloud.settled();
  await cloud.close();
  await whole.close();
  return disk;
}

t.test("no timer of it is left", async (t) => {
  const store = new BrokenStore(await stopped(), { timers, digest: nodeDigest });
  await store.open();
  const counted = new CountedTimers();
  const opening = Cloud.open({ ...options, environment: { ...environment(), timers: counted }, store });
  await t.rejects(opening, { code: "SEGMENT_CORRUPT" });
  t.equal(counted.pending, 0);
  await store.close();
});

t.test("it waits for nothing that waits until it is open", async (t) => {
  const store = new BrokenStore(await stopped(), { timers, digest: nodeDigest });
  await store.open();
  // Where the cursor is lost, there is something to look at again.
  const cursor = `cursor!${nodeLog("press-7")}!conflicts`;
  await store.commit({ segments: [], values: new Map([[cursor, undefined]]) });
  const opening = Cloud.open({ ...options, environment: environment(), store });
  await t.rejects(opening, { code: "SEGMENT_CORRUPT" });
  await store.close();
});
