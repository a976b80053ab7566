import { appendFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { DirectorySize } from "../../core/store/directory-size.ts";
import { LevelStore } from "../../core/store/level.ts";
import { freshDirectory } from "./store-raw.ts";
import { stored } from "./store-segments.ts";

t.test("all files count, as they are now", async (t) => {
  const directory = t.testdir({ "000001.ldb": "x".repeat(100), "000002.log": "", LOCK: "" });
  const file = (name: string): string => join(directory, name);
  const size = new DirectorySize(directory);
  t.equal(await size.measure(), 100);
  appendFileSync(file("000002.log"), "x".repeat(10));
  t.equal(await size.measure(), 110, "a write-ahead log that grows");
  appendFileSync(file("000002.log"), "x".repeat(10));
  t.equal(await size.measure(), 120);
  writeFileSync(file("000003.ldb"), "x".repeat(7));
  t.equal(await size.measure(), 127);
  appendFileSync(file("000003.ldb"), "x".repeat(3));
  t.equal(await size.measure(), 130, "a table that is still being written");
  t.equal(await size.measure(), 130);
  t.equal(await size.measure(), 130);
  rmSync(file("000001.ldb"));
  t.equal(await size.measure(), 30, "a table that was taken away");
});

t.test("what is committed counts at once, before LevelDB has made a table of it", async (t) => {
  const store = new LevelStore(freshDirectory(t));
  await store.open();
  const before = await store.sizeBytes();
  await store.commit({ segments: [stored({ lo: 1, padding: 100_000 })] });
  const grown = (await store.sizeBytes()) - before;
  t.ok(grown >= 100_000 && grown < 101_000, `${grown} bytes`);
  await store.close();
});
