import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, renameSync, rmdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import t, { type Test } from "tap";
import type { LogId } from "../../core/event.ts";
import { LevelStore, storeVersion } from "../../core/store/level.ts";
import { bodyPrefix, numbered, positionPrefix, versionKey } from "../../core/store/level-keys.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { decodeEntry, seal } from "../../core/store/record.ts";
import type { StoredSegment } from "../../core/store-port.ts";
import { storeContract } from "./store-contract.ts";
import type { Medium } from "./store-medium.ts";
import { type Raw, freshDirectory, raw } from "./store-raw.ts";
import {
  blockOf,
  bytes,
  damaged,
  manyBytes,
  node,
  node1,
  node10,
  plain,
  plainAll,
  stored,
} from "./store-segments.ts";

async function bodyKeyOf(database: Raw, log: LogId, position: number): Promise<string> {
  const key = numbered(positionPrefix(log), position);
  const entry = decodeEntry(key, await database.get(key), nodeDigest);
  return numbered(bodyPrefix, entry?.arrival ?? 0);
}

async function flipBit(database: Raw, key: string): Promise<void> {
  const value = (await database.get(key)).slice();
  const middle = Math.floor(value.length / 2);
  value[middle] = (value[middle] ?? 0) ^ 4;
  await database.put(key, value);
}

function levelMedium(directory: string): Medium {
  return {
    store: () => new LevelStore(directory),
    damage: (log, position) =>
      raw(directory, async (database) => flipBit(database, await bodyKeyOf(database, log, position))),
    lose: (log, position) =>
      raw(directory, async (database) => database.del(await bodyKeyOf(database, log, position))),
  };
}

storeContract(t, "level", (t) => levelMedium(freshDirectory(t)));

async function filled(directory: string, segments: readonly StoredSegment[]): Promise<void> {
  const store = new LevelStore(directory);
  await store.open();
  for (const segment of segments) await store.commit({ segments: [segment] });
  await store.close();
}

t.test("the directory is made for its user only", async (t) => {
  const directory = join(freshDirectory(t), "deep", "down");
  await filled(directory, []);
  t.equal(statSync(directory).mode & 0o777, 0o700);
});

t.test("a directory in use is named, with what to do", async (t) => {
  const directory = freshDirectory(t);
  const store = new LevelStore(directory);
  await store.open();
  const error: unknown = await new LevelStore(directory).open().catch((error: unknown) => error);
  t.match(error, { code: "LOG_LOCKED", data: { directory } });
  t.ok(String(error).includes(directory));
  t.match(String(error), /stop it/);
  await store.close();
});

t.test("a place that can't be a directory is refused with its name", async (t) => {
  const directory = join(t.testdir({ file: "text" }), "file");
  await t.rejects(new LevelStore(directory).open(), { code: "CONFIGURATION", message: directory });
});

t.test("a newer store format is refused, and a damaged version is not taken for one", async (t) => {
  const directory = freshDirectory(t);
  await filled(directory, [stored({ lo: 1 })]);
  await raw(directory, (db) =>
    db.put(versionKey, seal(versionKey, Uint8Array.of(storeVersion + 1), nodeDigest)),
  );
  await t.rejects(new LevelStore(directory).open(), { code: "FORMAT_NEWER", message: /newer Tidemark/ });
  await t.rejects(new LevelStore(directory).open(), { code: "FORMAT_NEWER" }, "and the lock was given back");
  await raw(directory, (db) => db.put(versionKey, Uint8Array.of(99, 1, 2, 3, 4)));
  const store = new LevelStore(directory);
  await store.open();
  t.equal((await store.read(node1, 1, 1)).length, 1);
  await store.close();
});

t.test("an older version stops at a store that holds blocks, and at no other", async (t) => {
  const directory = freshDirectory(t);
  const versionOf = (): Promise<number | undefined> =>
    raw(directory, async (database) => (await database.get(versionKey))[0]);
  const segments = [stored({ lo: 1 }), stored({ lo: 2 })];
  await filled(directory, segments);
  t.equal(await versionOf(), 1);
  const store = new LevelStore(directory);
  await store.open();
  await store.commit({ segments: [], blocks: [blockOf(segments)] });
  await store.close();
  t.equal(await versionOf(), storeVersion);
});

t.test("nothing is left in LevelDB of what a block took the place of", async (t) => {
  const directory = freshDirectory(t);
  const segments = [1, 2, 3, 4].map((lo) => stored({ lo }));
  await filled(directory, segments);
  const store = new LevelStore(directory);
  await store.open();
  await store.commit({ segments: [], blocks: [blockOf(segments.slice(0, 2))] });
  await store.commit({ segments: [], blocks: [blockOf(segments)] });
  await store.close();
  const keys = await raw(directory, (database) => database.keys().all());
  t.same(
    keys.map((key) => key.slice(0, 2)).sort(),
    ["f!", "o!", "p!", "s!"],
    "one record, and one entry in each index",
  );
});

t.test("a block whose entry by position is damaged is named by origin, and read by it", async (t) => {
  const directory = freshDirectory(t);
  const segments = [1, 4, 7].map((lo) => stored({ lo, count: 3 }));
  await filled(directory, segments);
  const store = new LevelStore(directory);
  await store.open();
  await store.commit({ segments: [], blocks: [blockOf(segments)] });
  await store.close();
  const bodyKey = await raw(directory, (database) => bodyKeyOf(database, node1, 1));
  await raw(directory, (database) => flipBit(database, numbered(positionPrefix(node1), 1)));
  await store.open();
  t.match(await store.read(node1, 1, manyBytes), [{ position: 1, origin: undefined, segment: undefined }]);
  t.same(plainAll(await store.readOrigin(node1, node, 1, manyBytes)), plainAll(segments));
  await store.close();
  await raw(directory, (database) => flipBit(database, bodyKey));
  await store.open();
  const lost = { log: node1, origin: node, lo: 1, count: 9, position: 0, segment: undefined };
  t.strictSame(await store.readOrigin(node1, node, 1, manyBytes), [lost]);
  await store.close();
});

t.test("a store without CURRENT is refused before LevelDB empties it", async (t) => {
  const directory = freshDirectory(t);
  await filled(directory, [stored({ lo: 1 })]);
  renameSync(join(directory, "CURRENT"), join(directory, "kept"));
  await t.rejects(new LevelStore(directory).open(), { code: "SEGMENT_CORRUPT", message: /CURRENT/ });
  renameSync(join(directory, "kept"), join(directory, "CURRENT"));
  const store = new LevelStore(directory);
  await store.open();
  t.equal((await store.read(node1, 1, 1)).length, 1);
  await store.close();
});

t.test("a damaged index entry gives a record without particulars, and hides no other", async (t) => {
  const directory = freshDirectory(t);
  const segments = [1, 4, 7].map((lo) => stored({ lo, count: 3 }));
  const [first, second, third] = segments as [StoredSegment, StoredSegment, StoredSegment];
  await filled(directory, segments);
  await raw(directory, (database) => flipBit(database, numbered(positionPrefix(node1), 4)));
  const store = new LevelStore(directory);
  await store.open();
  const lost = {
    log: node1,
    origin: undefined,
    lo: undefined,
    count: undefined,
    position: 4,
    segment: undefined,
  };
  t.strictSame(plainAll(await store.read(node1, 1, manyBytes)), [plain(first), lost, plain(third)]);
  t.same(plainAll(await store.read(node1, 5, 1)), plainAll([third]), "a reader that goes on gets on");
  t.same(
    plainAll(await store.readOrigin(node1, node, 4, 1)),
    plainAll([second]),
    "it can still be had by origin",
  );
  await store.close();
});

t.test("a body that turns up under another number is not taken for the one that was there", async (t) => {
  const directory = freshDirectory(t);
  const [first, second] = [stored({ lo: 1 }), stored({ lo: 2 })];
  await filled(directory, [first, second]);
  await raw(directory, async (database) => {
    const body = await database.get(await bodyKeyOf(database, node1, 1));
    await database.put(await bodyKeyOf(database, node1, 2), body);
  });
  const store = new LevelStore(directory);
  await store.open();
  t.same(plainAll(await store.read(node1, 1, manyBytes)), plainAll([first, damaged(second)]));
  await store.close();
});

t.test("a number that is given again after damage names no other's record", async (t) => {
  const directory = freshDirectory(t);
  const [first, second] = [stored({ lo: 1 }), stored({ lo: 2 })];
  await filled(directory, [first, second]);
  await levelMedium(directory).lose(node1, 2);
  const lastNumber = numbered(bodyPrefix, Number.MAX_SAFE_INTEGER);
  await raw(directory, (database) => database.put(lastNumber, bytes("no record")));
  const store = new LevelStore(directory);
  await store.open();
  const other = stored({ log: node10, lo: 1 });
  await store.commit({ segments: [other] });
  t.same(plainAll(await store.read(node1, 1, manyBytes)), plainAll([first, damaged(second)]));
  await store.commit({ segments: [], remove: [{ log: node1, position: 2 }] });
  t.same(plainAll(await store.read(node10, 1, manyBytes)), plainAll([other]), "nor does taking it out");
  await store.close();
});

t.test("a damaged named value is refused, never returned", async (t) => {
  const directory = freshDirectory(t);
  const store = new LevelStore(directory);
  await store.open();
  await store.commit({ segments: [], values: new Map([["cursor", bytes("12345")]]) });
  await store.close();
  await raw(directory, async (database) => {
    await database.put("m!other", await database.get("m!cursor"));
    await flipBit(database, "m!cursor");
  });
  await store.open();
  await t.rejects(store.get("cursor"), { code: "SEGMENT_CORRUPT", message: /cursor/ });
  await t.rejects(
    store.get("other"),
    { code: "SEGMENT_CORRUPT" },
    "true bytes under another name are wrong too",
  );
  await store.close();
});

t.test("a name that can't be part of a key is refused, and the store goes on", async (t) => {
  const store = new LevelStore(freshDirectory(t));
  await store.open();
  await t.rejects(store.commit({ segments: [stored({ log: "node/a!b" as LogId, lo: 1 })] }));
  await store.commit({ segments: [stored({ lo: 1 })] });
  await store.close();
});

t.test("more than the queue holds is refused with LOG_OVERLOADED, and nothing else is", async (t) => {
  const store = new LevelStore(freshDirectory(t), { unsafeNoSync: true });
  await store.open();
  const large = { ...stored({ lo: 1 }), segment: new Uint8Array(40 * 1024 * 1024) };
  const first = store.commit({ segments: [large] });
  await t.rejects(store.commit({ segments: [{ ...large, position: 2 }] }), { code: "LOG_OVERLOADED" });
  await first;
  await store.commit({ segments: [stored({ lo: 3 })] });
  t.same(
    (await store.read(node1, 1, manyBytes)).map(({ position }) => position),
    [1, 3],
  );
  await store.close();
});

/** A file system of its own, small enough to fill; undefined, and said loudly, where this user may not mount one. */
function smallDisk(t: Test): string | undefined {
  const mountpoint = mkdtempSync(join(tmpdir(), "tidemark-small-disk-"));
  const isRoot = process.getuid?.() === 0;
  try {
    if (!isRoot) throw new Error("mounting takes root");
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=12m", "tmpfs", mountpoint], { stdio: "pipe" });
  } catch (error) {
    const why = `SKIPPED: the full disk was not tried, because no small file system could be mounted (${String(error)})`;
    rmdirSync(mountpoint);
    if (isRoot && process.env["CI"] !== undefined) t.fail(why);
    else t.pass("a full disk", { skip: why });
    return undefined;
  }
  t.teardown(() => {
    execFileSync("umount", [mountpoint]);
    rmdirSync(mountpoint);
  });
  return mountpoint;
}

t.test(
  "a full disk: DISK_FULL, then nothing more; with room again, all that was acknowledged is there",
  async (t) => {
    const mountpoint = smallDisk(t);
    if (mountpoint === undefined) return;
    const directory = join(mountpoint, "log");
    const store = new LevelStore(directory);
    await store.open();
    const acknowledged: StoredSegment[] = [];
    const failure = await (async (): Promise<unknown> => {
      for (let lo = 1; lo < 1000; lo += 1) {
        // Half of it random: LevelDB compresses its tables.
        const segment = stored({ lo, padding: 40_000 });
        segment.segment.set(randomBytes(20_000), 100);
        try {
          await store.commit({ segments: [segment] });
        } catch (error) {
          return error;
        }
        acknowledged.push(segment);
      }
      return undefined;
    })();
    t.match(failure, { code: "DISK_FULL", data: { directory } });
    t.ok(acknowledged.length > 20);
    const next = { segments: [stored({ lo: 2000 })] };
    await t.rejects(store.commit(next), { code: "DISK_FULL" });
    await store.close();
    await new LevelStore(directory).open().then(
      () => t.fail("a full disk has no room for opening"),
      (error: unknown) => t.match(error, { code: "DISK_FULL" }),
    );
    execFileSync("mount", ["-o", "remount,size=64m", mountpoint]);
    await store.open();
    const found = await store.read(node1, 1, manyBytes);
    const first = found.slice(0, acknowledged.length);
    t.ok(isDeepStrictEqual(plainAll(first), plainAll(acknowledged)), "all that was acknowledged, as it was");
    await store.commit(next);
    await store.close();
  },
);
