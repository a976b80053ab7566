/** What is left in LevelDB's files of a log that was erased, and of an erasing that a crash cut short. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { LevelStore } from "../../core/store/level.ts";
import type { LogId } from "../../core/event.ts";
import { beginErasing } from "../../core/store/level-rows.ts";
import type { StoredSegment } from "../../core/store-port.ts";
import { freshDirectory, raw } from "./store-raw.ts";
import { blockOf, bytes, manyBytes, node1, node10, plainAll, stored } from "./store-segments.ts";

const marker = "marker-that-is-not-to-be-found";

/** The files of a directory in which the text is. */
function filesWith(directory: string, text: string): string[] {
  return readdirSync(directory).filter((name) => readFileSync(join(directory, name)).includes(text));
}

/** Segments of two logs whose bodies do not compress, and values; written over several tables and generations. */
async function filled(directory: string, generations: number): Promise<LevelStore> {
  const store = new LevelStore(directory);
  await store.open();
  for (let generation = 0; generation < generations; generation += 1) {
    const lo = generation + 1;
    const marked = { ...stored({ lo }), segment: bytes(`${marker}-${lo}`) };
    await store.commit({
      segments: [marked, stored({ log: node10, lo })],
      values: new Map([[`checkpoint!${node1}!${lo}`, bytes(marker)]]),
    });
    // What was in memory becomes a table.
    if (generation % 3 === 2) {
      await store.close();
      await store.open();
    }
  }
  return store;
}

t.test("no byte of an erased log is left in the files", async (t) => {
  for (const generations of [1, 3, 8]) {
    const directory = freshDirectory(t);
    const store = await filled(directory, generations);
    t.not(filesWith(directory, marker).length, 0, "they were there");
    await store.erase(node1);
    t.same(filesWith(directory, marker), [], `after ${generations} commits`);
    t.equal((await store.read(node10, 1, manyBytes)).length, generations, "the other log is whole");
    await store.close();
    t.same(filesWith(directory, marker), []);
  }
});

t.test("an erasing that a crash cut short is finished when the store is opened", async (t) => {
  const directory = freshDirectory(t);
  const store = await filled(directory, 4);
  const kept = plainAll(await store.read(node10, 1, manyBytes));
  await store.close();
  await raw(directory, async (database) => {
    await beginErasing(database, node1);
    // Its index is gone, and what it names is not.
    await database.clear({ gte: "p!node/edge-node-1!", lt: 'p!node/edge-node-1"' });
  });
  t.not(filesWith(directory, marker).length, 0, "cut short");
  await store.open();
  t.same(filesWith(directory, marker), []);
  t.same(await store.names(""), []);
  t.same(plainAll(await store.read(node10, 1, manyBytes)), kept, "the other log is whole");
  await store.close();
});

t.test("of a log that was merged, damaged ones too, no body is left; other logs keep theirs", async (t) => {
  const directory = freshDirectory(t);
  const store = new LevelStore(directory);
  await store.open();
  const members = (log: LogId, lo: number): StoredSegment[] => [
    stored({ log, lo }),
    stored({ log, lo: lo + 1 }),
  ];
  const kept = members(node10, 1);
  await store.commit({ segments: [stored({ lo: 5 })], blocks: [blockOf(members(node1, 1)), blockOf(kept)] });
  await store.commit({ segments: [], blocks: [blockOf(members(node1, 3))] });
  await store.close();
  const bodies = await raw(directory, (database) => database.keys({ gte: "s!", lt: 's"' }).all());
  t.equal(bodies.length, 4);
  // The newest block's.
  await raw(directory, (database) => database.put(bodies.at(-1) as string, bytes("damage")));
  await store.open();
  await store.erase(node1);
  t.same(plainAll(await store.read(node10, 1, manyBytes)), plainAll(kept));
  await store.close();
  const left = await raw(directory, (database) => database.keys().all());
  t.equal(left.filter((key) => key.startsWith("s!")).length, 1);
  t.notOk(left.some((key) => key.includes("edge-node-1!")));
});
