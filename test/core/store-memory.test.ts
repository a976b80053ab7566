import t from "tap";
import type { Timers } from "../../core/ports.ts";
import { MemoryDisk, MemoryStore } from "../../core/store/memory.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { storeContract } from "./store-contract.ts";
import { blockOf, bytes, damaged, manyBytes, node, node1, plainAll, stored } from "./store-segments.ts";

const realTimers: Timers = {
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
  soon(task) {
    setImmediate(task);
  },
};

/** Timers that go off when the test says so. */
class HandTimers implements Timers {
  readonly delays: number[] = [];
  #tasks: (() => void)[] = [];

  after(delayMs: number, task: () => void): () => void {
    this.delays.push(delayMs);
    this.#tasks.push(task);
    return () => {
      this.#tasks = this.#tasks.filter((other) => other !== task);
    };
  }

  soon(task: () => void): void {
    this.#tasks.push(task);
  }

  get waiting(): number {
    return this.#tasks.length;
  }

  /** Runs what waits now, and lets promises settle. */
  async goOff(): Promise<void> {
    for (const task of this.#tasks.splice(0)) task();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

storeContract(t, "memory", () => {
  const disk = new MemoryDisk();
  return {
    store: () => new MemoryStore(disk, { timers: realTimers, digest: nodeDigest }),
    damage: async (log, position) => disk.damage(log, position),
    lose: async (log, position) => disk.lose(log, position),
  };
});

interface Crashable {
  readonly disk: MemoryDisk;
  readonly timers: HandTimers;
  readonly store: MemoryStore;
}

async function crashable(disk = new MemoryDisk(), delay = 5): Promise<Crashable> {
  const timers = new HandTimers();
  const store = new MemoryStore(disk, { timers, digest: nodeDigest, syncDelayMs: () => delay });
  await store.open();
  return { disk, timers, store };
}

async function positionsOn(disk: MemoryDisk): Promise<number[]> {
  const { store } = await crashable(disk);
  const records = await store.read(node1, 1, manyBytes);
  await store.close();
  return records.map(({ position }) => position);
}

/** One segment synced, and three batches that are not: 2, then 3 and 4 together, then 5 with a value. */
async function halfWritten(): Promise<Crashable & { settled: string[] }> {
  const world = await crashable();
  const settled: string[] = [];
  const { store, timers } = world;
  const note = (name: string, commit: Promise<void>): void => {
    commit.then(
      () => settled.push(name),
      (error: unknown) => settled.push(String(error)),
    );
  };
  note("first", store.commit({ segments: [stored({ lo: 1 })] }));
  await timers.goOff();
  note("second", store.commit({ segments: [stored({ lo: 2 })] }));
  note("third", store.commit({ segments: [stored({ lo: 3 }), stored({ lo: 4 })] }));
  note("fourth", store.commit({ segments: [stored({ lo: 5 })], values: new Map([["v", bytes("new")]]) }));
  return { ...world, settled };
}

t.test("a commit is told as done when its sync is, after the delay of the disk", async (t) => {
  const { store, timers, disk } = await crashable(new MemoryDisk(), 40);
  let done = false;
  const commit = store.commit({ segments: [stored({ lo: 1 })] }).then(() => (done = true));
  await new Promise((resolve) => setImmediate(resolve));
  t.same(timers.delays, [40]);
  t.notOk(done);
  t.equal(disk.unsynced, 1);
  t.same(await store.read(node1, 1, 1), [], "what is not durable is not read");
  await timers.goOff();
  await commit;
  t.ok(done);
  t.equal(disk.unsynced, 0);
  t.equal((await store.read(node1, 1, 1)).length, 1);
});

t.test("what comes while a sync is under way is synced together, after it", async (t) => {
  const { timers, settled } = await halfWritten();
  t.same(settled, ["first"]);
  await timers.goOff();
  t.same(settled, ["first", "second"]);
  await timers.goOff();
  t.same(settled, ["first", "second", "third", "fourth"]);
  t.equal(timers.waiting, 0);
});

t.test("a crash: what was not synced vanishes, and nobody hears of it", async (t) => {
  const { disk, timers, settled } = await halfWritten();
  disk.crash();
  t.equal(timers.waiting, 0, "no timer of the dead process is left");
  await timers.goOff();
  t.same(settled, ["first"]);
  t.same(await positionsOn(disk), [1]);
});

t.test("a crash: what had reached the disk unnoticed is there, whole batches, oldest first", async (t) => {
  for (const [reached, positions] of [
    [1, [1, 2]],
    [2, [1, 2, 3, 4]],
    [9, [1, 2, 3, 4, 5]],
  ] as const) {
    const { disk, settled } = await halfWritten();
    disk.crash({ reached });
    t.same(await positionsOn(disk), positions);
    t.same(settled, ["first"]);
  }
});

t.test("a crash: a torn batch is dropped whole", async (t) => {
  const { disk } = await halfWritten();
  disk.crash({ reached: 1, torn: "discarded" });
  t.same(await positionsOn(disk), [1, 2]);
});

t.test("a crash on a disk that lies: the last record of the torn batch is damaged", async (t) => {
  const { disk } = await halfWritten();
  disk.crash({ reached: 1, torn: "damaged" });
  const { store } = await crashable(disk);
  t.same(
    plainAll(await store.read(node1, 3, manyBytes)),
    plainAll([stored({ lo: 3 }), damaged(stored({ lo: 4 }))]),
  );
});

t.test("a crash while segments are merged: they are there, as they were or as a block", async (t) => {
  const segments = [1, 3, 5].map((lo) => stored({ lo, count: 2 }));
  for (const { fate, blocks, read } of [
    { fate: {}, blocks: 0, read: segments },
    { fate: { reached: 1 }, blocks: 1, read: segments },
    { fate: { torn: "discarded" }, blocks: 0, read: segments },
    { fate: { torn: "damaged" }, blocks: 0, read: segments },
  ] as const) {
    const { disk, timers, store } = await crashable();
    const commit = store.commit({ segments });
    await timers.goOff();
    await commit;
    void store.commit({ segments: [], blocks: [blockOf(segments)] });
    disk.crash(fate);
    const { store: again } = await crashable(disk);
    t.same(plainAll(await again.read(node1, 1, manyBytes)), plainAll(read));
    t.equal((await again.shape(node1)).blocks, blocks);
    await again.close();
  }
});

t.test("a crash while a segment is moved: it is there, where it was or where it goes", async (t) => {
  const [old, moved] = [stored({ lo: 1 }), stored({ lo: 2 })];
  for (const { fate, read } of [
    { fate: {}, read: old },
    { fate: { reached: 1 }, read: moved },
    { fate: { torn: "discarded" }, read: old },
    { fate: { torn: "damaged" }, read: old },
  ] as const) {
    const { disk, timers, store } = await crashable();
    const commit = store.commit({ segments: [old] });
    await timers.goOff();
    await commit;
    void store.commit({ segments: [moved], remove: [{ log: node1, position: old.position }] });
    disk.crash(fate);
    const { store: again } = await crashable(disk);
    t.same(plainAll(await again.read(node1, 1, manyBytes)), plainAll([read]));
    await again.close();
  }
});

t.test("a crash on a disk that lies: a block beside what is torn is whole", async (t) => {
  const segments = [1, 3].map((lo) => stored({ lo, count: 2 }));
  const { disk, timers, store } = await crashable();
  const commit = store.commit({ segments });
  await timers.goOff();
  await commit;
  void store.commit({ segments: [stored({ lo: 5 })], blocks: [blockOf(segments)] });
  disk.crash({ torn: "damaged" });
  const { store: again } = await crashable(disk);
  t.same(
    plainAll(await again.read(node1, 1, manyBytes)),
    plainAll([...segments, damaged(stored({ lo: 5 }))]),
  );
  t.equal((await again.shape(node1)).blocks, 1);
  await again.close();
});

t.test("a crash frees the lock and kills the store for good", async (t) => {
  const { disk, store } = await crashable();
  disk.crash();
  await t.rejects(store.commit({ segments: [] }), { code: "LOG_CLOSED" });
  await t.rejects(store.get("v"), { code: "LOG_CLOSED" });
  await t.rejects(store.open(), { code: "LOG_CLOSED" });
  const next = await crashable(disk);
  await store.close();
  await t.rejects(crashable(disk), { code: "LOG_LOCKED" }, "a dead store gives nobody's lock back");
  await next.store.close();
});

t.test("a full disk fails the commits, and the store takes no more until it is opened again", async (t) => {
  const { disk, store, timers, settled } = await halfWritten();
  disk.full = true;
  await timers.goOff();
  t.match(settled, ["first", /no room left/, /no room left/, /no room left/]);
  disk.full = false;
  await t.rejects(store.commit({ segments: [] }), { code: "DISK_FULL" });
  await store.close();
  t.same(await positionsOn(disk), [1]);
  await store.open();
  const commit = store.commit({ segments: [stored({ lo: 2 })] });
  await timers.goOff();
  await commit;
  await store.close();
  t.same(await positionsOn(disk), [1, 2]);
});

t.test("a restored copy is the disk as it was, and a clone goes its own way", async (t) => {
  const { disk, store, timers } = await crashable();
  const write = async (target: Crashable, lo: number): Promise<void> => {
    const commit = target.store.commit({ segments: [stored({ lo })] });
    await target.timers.goOff();
    await commit;
  };
  const original = { disk, store, timers };
  await write(original, 1);
  const backup = disk.snapshot();
  await write(original, 2);
  const clone = await crashable(new MemoryDisk(backup));
  await write(clone, 3);
  t.throws(() => disk.restore(backup), "not under a store that is open");
  disk.damage(node1, 1);
  await store.close();
  await clone.store.close();
  t.same(await positionsOn(disk), [1, 2]);
  t.same(await positionsOn(clone.disk), [1, 3]);
  disk.restore(backup);
  t.same(await positionsOn(disk), [1]);
  const { store: again } = await crashable(disk);
  t.same(
    plainAll(await again.read(node1, 1, 1)),
    plainAll([stored({ lo: 1 })]),
    "damage came after the backup",
  );
});

t.test("a forgotten record leaves a hole without a word", async (t) => {
  const { disk, store, timers } = await crashable();
  const commit = store.commit({ segments: [1, 2, 3].map((lo) => stored({ lo })) });
  await timers.goOff();
  await commit;
  disk.forget(node1, 2);
  const all = await store.readOrigin(node1, node, 1, manyBytes);
  t.same(
    all.map(({ lo }) => lo),
    [1, 3],
  );
  t.throws(() => disk.forget(node1, 2));
});
