/** A damaged LevelDB is rebuilt from what can be read, before LevelDB itself falls over it. */
import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { hasCode } from "../../core/errors.ts";
import { LevelStore } from "../../core/store/level.ts";
import { noteDamage } from "../../core/store/level-rebuild.ts";
import { freshDirectory, raw } from "./store-raw.ts";
import { blockOf, bytes, manyBytes, node, node1, plain, plainAll, stored } from "./store-segments.ts";

const segments = Array.from({ length: 300 }, (_, index) => stored({ lo: index + 1, padding: 60 }));

/** A store with tables of several generations. */
async function filled(directory: string): Promise<void> {
  const store = new LevelStore(directory);
  for (let from = 0; from < segments.length; from += 100) {
    await store.open();
    for (const segment of segments.slice(from, from + 100)) {
      await store.commit({ segments: [segment], values: new Map([["value", bytes(`${segment.lo}`)]]) });
    }
    await store.close();
  }
}

/** Spoils the compressed bytes of a block of each table: LevelDB can't compact it any more. */
function spoil(directory: string): void {
  for (const name of readdirSync(directory).filter((file) => file.endsWith(".ldb"))) {
    const content = readFileSync(join(directory, name));
    const middle = content.length >> 1;
    content.fill(0xff, middle, middle + 60);
    writeFileSync(join(directory, name), content);
  }
}

t.test("what can be read is there, and LevelDB can compact it", async (t) => {
  const directory = freshDirectory(t);
  await filled(directory);
  spoil(directory);
  const store = new LevelStore(directory);
  await store.open();
  const readable = plainAll(
    (await store.read(node1, 1, manyBytes)).filter(({ segment }) => segment !== undefined),
  );
  await store.suspect("node/x n1/3-4");
  t.ok(store.isSuspect);
  await store.close();
  await store.open();
  const records = await store.read(node1, 1, manyBytes);
  t.same(plainAll(records.filter(({ segment }) => segment !== undefined)), readable, "all that was readable");
  t.ok(readable.length > 100 && readable.length < 300, `${readable.length} of 300`);
  t.same(
    readdirSync(join(directory, "..")).filter((name) => /rebuilding|damaged/.test(name)),
    [],
  );

  // An erasing compacts everything.
  await store.erase(node1);
  await store.commit({ segments: [stored({ lo: 1 })] });
  await store.close();
});

t.test("for a finding it is rebuilt once: what is missing then is no damage of the store", async (t) => {
  const directory = freshDirectory(t);
  await filled(directory);
  const store = new LevelStore(directory);
  await store.open();
  await store.suspect("a finding");
  await store.close();
  const again = new LevelStore(directory);
  await again.open();
  await again.suspect("a finding");
  t.notOk(again.isSuspect);
  t.notOk(existsSync(join(directory, "DAMAGED")));
  await again.suspect("another");
  t.ok(existsSync(join(directory, "DAMAGED")));
  t.same(plain(await again.last(node1)), plain(segments.at(-1)));
  await again.close();
});

t.test("a value that LevelDB can't read is none any more once the store is opened again", async (t) => {
  const directory = freshDirectory(t);
  const names = Array.from({ length: 200 }, (_, nth) => `value-${nth}`);
  const store = new LevelStore(directory);
  await store.open();
  await store.commit({ segments: [], values: new Map(names.map((name) => [name, bytes(name.repeat(20))])) });
  await store.close();
  // What is in the write-ahead log becomes a table.
  await store.open();
  await store.close();
  spoil(directory);
  await store.open();
  const unreadable: string[] = [];
  for (const name of names) {
    const isRefused = await store.get(name).then(
      () => false,
      (error: unknown) => hasCode(error, "SEGMENT_CORRUPT"),
    );
    if (isRefused) unreadable.push(name);
  }
  t.ok(unreadable.length > 0 && unreadable.length < names.length, `${unreadable.length} of ${names.length}`);
  t.ok(store.isSuspect);
  await store.close();
  await store.open();
  for (const name of unreadable) t.equal(await store.get(name), undefined);
  await store.commit({ segments: [stored({ lo: 1 })] });
  await store.close();
});

t.test(
  "what is looked up and is not as it was written is no answer: what was derived is derived again",
  async (t) => {
    const directory = freshDirectory(t);
    const store = new LevelStore(directory);
    await store.open();
    const values = ["h!1", "h!5", "h!9", "rules!node/edge-1"].map((name) => [name, bytes(name)] as const);
    await store.commit({ segments: [], values: new Map(values) });
    await store.close();
    await raw(directory, (database) => database.put("m!h!5", bytes("something else")));
    await store.open();
    t.equal((await store.floor("h!", "h!4"))?.name, "h!1");
    await t.rejects(store.floor("h!", "h!7"), { code: "SEGMENT_CORRUPT", message: /value h!5 / });
    t.ok(store.isSuspect);
    await store.close();
    await store.open();
    t.same(await store.names(""), ["h!1", "h!9", "rebuilt"], "and nothing says that all of it is there");
    t.equal((await store.floor("h!", "h!7"))?.name, "h!1");
    await store.close();
  },
);

t.test("an index by origin that is lost is made again of the one by position", async (t) => {
  const directory = freshDirectory(t);
  const store = new LevelStore(directory);
  await store.open();
  for (const segment of segments.slice(0, 40)) await store.commit({ segments: [segment] });
  const members = segments.slice(40, 60);
  await store.commit({ segments: [], blocks: [blockOf(members)] });
  await store.close();
  await raw(directory, async (database) => {
    for await (const key of database.keys({ gte: "o!", lt: 'o"' })) await database.del(key);
  });
  await store.open();
  t.same(await store.readOrigin(node1, node, 1, manyBytes), [], "nothing is had by sequence");
  await store.suspect("what a walk by position has found");
  await store.close();
  await store.open();
  t.same(
    plainAll(await store.readOrigin(node1, node, 1, manyBytes)),
    plainAll(await store.read(node1, 1, manyBytes)),
  );
  t.equal((await store.readOrigin(node1, node, 45, 1))[0]?.lo, 45);
  await store.close();
});

t.test("a crash while it is rebuilt loses nothing", async (t) => {
  const directory = freshDirectory(t);
  await filled(directory);
  await noteDamage(directory, "a finding");
  // Between the two renames; and what an earlier try has left lies about.
  renameSync(directory, `${directory}.damaged`);
  await raw(`${directory}.rebuilding`, (database) => database.put("half", bytes("done")));
  const store = new LevelStore(directory);
  await store.open();
  t.same(plainAll(await store.read(node1, 1, manyBytes)), plainAll(segments));
  t.same(await store.get("value"), bytes("300"));
  await store.close();
  t.notOk(existsSync(`${directory}.damaged`) || existsSync(`${directory}.rebuilding`));
});
