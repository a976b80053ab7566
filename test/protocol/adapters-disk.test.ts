import { readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { ReserveFile, diskOf, giveUpReserve } from "../../protocol/adapters/disk.ts";
import { mountDisk } from "../crash/disk.ts";

const mebi = 1024 * 1024;

t.test("the space of a disk", async (t) => {
  const { freeBytes, totalBytes } = await diskOf(t.testdir({})).space();
  t.ok(freeBytes > 0 && freeBytes < totalBytes);
  await t.rejects(diskOf(join(t.testdir({}), "nowhere")).space(), { code: "ENOENT" });
});

t.test("a reserve takes the room that it says, and gives all of it back", async (t) => {
  const directory = t.testdir({});
  const reserve = new ReserveFile(directory, 3 * mebi + 1);
  t.notOk(await reserve.isKept());
  await reserve.keep();
  t.ok(await reserve.isKept());
  const { size, blocks, mode } = statSync(reserve.path);
  t.equal(size, 3 * mebi + 1);
  t.ok(blocks * 512 >= size, "no holes");
  t.equal(mode & 0o077, 0);
  t.not(readFileSync(reserve.path).indexOf(0xff), -1, "nothing that compresses to nothing");
  t.ok(await new ReserveFile(directory, 3 * mebi + 1).isKept(), "also for the next process");
  t.ok(await reserve.giveUp());
  t.notOk(await reserve.isKept());
  t.notOk(await reserve.giveUp());
});

t.test("a reserve that a crash left half written is none, and is written again", async (t) => {
  const reserve = new ReserveFile(t.testdir({}), 2 * mebi);
  writeFileSync(reserve.path, Buffer.alloc(mebi));
  t.notOk(await reserve.isKept());
  await reserve.keep();
  t.ok(await reserve.isKept());
});

t.test("one that is being written is no reserve yet, and can be stopped and given up", async (t) => {
  const reserve = new ReserveFile(t.testdir({}), 8 * mebi);
  const keeping = reserve.keep();
  t.notOk(await reserve.isKept());
  const stopped = t.rejects(keeping, { message: /stopped/ });
  await reserve.stop();
  await stopped;
  t.throws(() => statSync(reserve.path), { code: "ENOENT" });
  const again = t.rejects(reserve.keep());
  await reserve.giveUp();
  await again;
  t.throws(() => statSync(reserve.path), { code: "ENOENT" });
  await reserve.keep();
  t.ok(await reserve.isKept());
});

t.test("a process that can't begin gives it up, and says so", async (t) => {
  const directory = t.testdir({});
  const lines: string[] = [];
  const logger = { log: (_level: string, message: string) => void lines.push(message) };
  await giveUpReserve(directory, logger);
  t.same(lines, []);
  await new ReserveFile(directory, 10).keep();
  await giveUpReserve(directory, logger);
  t.same(lines, ["the reserve was given up, so that the log can be opened"]);
});

const skip = process.getuid?.() === 0 ? false : "mounting a small file system needs root";

t.test("where there is no room for it nothing of it is left", { skip }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "tidemark-disk-"));
  const disk = mountDisk(directory, 4 * mebi);
  if (typeof disk === "string") throw new Error(disk);
  t.teardown(async () => {
    disk.release();
    await rm(directory, { recursive: true });
  });
  const reserve = new ReserveFile(directory, 8 * mebi);
  await t.rejects(reserve.keep(), { code: "ENOSPC" });
  t.throws(() => statSync(reserve.path), { code: "ENOENT" });
  const { freeBytes, totalBytes } = await diskOf(directory).space();
  t.equal(totalBytes, 4 * mebi);
  t.ok(freeBytes > 3.9 * mebi);
});
