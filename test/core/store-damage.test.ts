/** Bits flipped in the files of LevelDB itself. */
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import t, { type Test } from "tap";
import { LevelStore } from "../../core/store/level.ts";
import type { StoredSegment } from "../../core/store-port.ts";
import type { Look } from "./store-look.ts";
import { freshDirectory, raw } from "./store-raw.ts";
import { blockOf, bytes, cloud, manyBytes, node, node1, node10, plain, stored } from "./store-segments.ts";

/** What each of the stores holds; undefined for one that LevelDB died of. */
function lookAt(directories: readonly string[]): (Look | undefined)[] {
  const looks: (Look | undefined)[] = [];
  while (looks.length < directories.length) {
    const script = fileURLToPath(new URL("store-look.js", import.meta.url));
    const rest = directories.slice(looks.length);
    const { stdout, signal } = spawnSync(process.execPath, [script, ...rest], {
      encoding: "utf8",
      maxBuffer: manyBytes,
    });
    for (const line of stdout.split("\n")) if (line !== "") looks.push(JSON.parse(line) as Look);
    if (looks.length < directories.length) {
      if (signal !== "SIGABRT") throw new Error("looking at a store failed, and LevelDB is not why");
      looks.push(undefined);
    }
  }
  return looks;
}

/** Copies of a store, each with another bit flipped in `file`, and what they then hold. */
function withFlips(directory: string, file: string, flips: number): (Look | undefined)[] {
  const size = statSync(join(directory, file)).size;
  const copies = Array.from({ length: flips }, (_, flip) => {
    const copy = `${directory}-${flip}`;
    cpSync(directory, copy, { recursive: true });
    const content = readFileSync(join(copy, file));
    const at = Math.floor(((flip + 0.5) * size) / flips);
    content[at] = (content[at] ?? 0) ^ (1 << (flip % 8));
    writeFileSync(join(copy, file), content);
    return copy;
  });
  return lookAt(copies);
}

/** Checks that nothing wrong was read, and that the damage was there to be met. */
function nothingWrong(
  t: Test,
  looks: readonly (Look | undefined)[],
  originals: readonly StoredSegment[],
): void {
  const whole = new Map(originals.map((segment) => [`${segment.log} ${segment.position}`, plain(segment)]));
  const seen = looks.filter((look) => look !== undefined);
  const codes = new Set(seen.map(({ error }) => error));
  codes.delete(undefined);
  codes.delete("SEGMENT_CORRUPT");
  t.same([...codes], [], "no error but ours");
  const isTrue = (record: unknown): boolean => {
    const { log, position } = record as StoredSegment;
    return isDeepStrictEqual(record, whole.get(`${log} ${position}`));
  };
  const read = seen.flatMap(({ records }) => records);
  t.same(
    read.filter((record) => !isTrue(record)),
    [],
    `all of ${read.length} records are true`,
  );
  const values = seen.flatMap((look) => Object.values(look.values));
  t.same(
    values.filter((value) => !/^(value [0-9]+|SEGMENT_CORRUPT)$/.test(value)),
    [],
    `all of ${values.length} values are true, or refused`,
  );
  // Each by position and by origin, and the last one of each of the two logs.
  const harmed = seen.filter(({ records }) => records.length < originals.length * 2 + 2).length;
  t.ok(harmed > looks.length / 2, `${harmed} of ${looks.length} flips took something away`);
  t.ok(read.length > harmed * originals.length, "and left most of the rest");
}

/** Some dozens of commits to two logs; the newest of them in LevelDB's write-ahead log, and nowhere else. */
async function severalCommits(directory: string, count: number, padding: number): Promise<StoredSegment[]> {
  const segments: StoredSegment[] = [];
  for (let lo = 1; lo <= count; lo += 1) {
    segments.push(
      stored({ log: lo % 3 === 0 ? node10 : node1, origin: lo % 2 === 0 ? cloud : node, lo, padding }),
    );
  }
  const store = new LevelStore(directory, { unsafeNoSync: true });
  await store.open();
  for (const [index, segment] of segments.entries()) {
    const values = new Map([[`cursor/${index % 5}`, bytes(`value ${index}`)]]);
    await store.commit({ segments: [segment], values });
  }
  await store.close();
  return segments;
}

t.test("a byte flipped in LevelDB's write-ahead log: a hole or a report, never a wrong record", async (t) => {
  const directory = freshDirectory(t);
  const segments = await severalCommits(directory, 60, 1500);
  const log = fileIn(directory, ".log");
  t.ok(statSync(join(directory, log)).size > 60 * 1500, "all of it is in the write-ahead log");
  const looks = withFlips(directory, log, 60);
  t.notOk(looks.includes(undefined), "LevelDB survives them all");
  nothingWrong(t, looks, segments);
});

t.test("a byte flipped in one of LevelDB's tables: a hole or a report, never a wrong record", async (t) => {
  const directory = freshDirectory(t);
  const segments = await severalCommits(directory, 400, 10);
  const looks = withFlips(directory, await onlyTable(directory), 60);
  const deaths = looks.filter((look) => look === undefined).length;
  t.ok(deaths <= 2, `LevelDB itself died of ${deaths}: about one bit in a thousand trips its assertions`);
  nothingWrong(t, looks, segments);
});

t.test("a block of the index that LevelDB can't read: what is before it and after it is had", async (t) => {
  const directory = freshDirectory(t);
  await severalCommits(directory, 2000, 10);
  const file = join(directory, await onlyTable(directory));
  const content = readFileSync(file);
  // Keys stand in clear where a block begins; the last third of them is the index by position.
  const starts: number[] = [];
  for (let at = content.indexOf("p!node"); at >= 0; at = content.indexOf("p!node", at + 1)) starts.push(at);
  const middle = starts[Math.floor(starts.length / 3)] ?? 0;
  content.fill(0xff, middle - 3, middle + 40);
  writeFileSync(file, content);
  const [look] = lookAt([directory]);
  const positions = look?.positions ?? [];
  t.equal(look?.error, undefined);
  t.equal(positions[0], 1);
  t.equal(positions.at(-1), 2000);
  t.ok(positions.length > 500 && positions.length < 1334, `${positions.length} of 1334`);
});

const many = Array.from({ length: 800 }, (_, nth) => stored({ lo: nth + 1 }));
const moved = Array.from({ length: 800 }, (_, nth) => stored({ lo: nth + 1, position: 801 + nth }));

for (const { what, batch, after } of [
  { what: "merge", batch: { segments: [], blocks: [blockOf(many)] }, after: many },
  {
    what: "move",
    batch: { segments: moved, remove: many.map(({ log, position }) => ({ log, position })) },
    after: moved,
  },
]) {
  t.test(
    `a ${what} of which LevelDB's write-ahead log holds a part: what it takes out is there`,
    async (t) => {
      const directory = freshDirectory(t);
      const store = new LevelStore(directory);
      await store.open();
      await store.commit({ segments: many });
      const log = join(directory, fileIn(directory, ".log"));
      const before = statSync(log).size;
      await store.commit(batch);
      const content = readFileSync(log);
      t.ok(content.length - before > 2 * 32 * 1024, "LevelDB writes it in several pieces");
      const torn: Buffer[] = [];
      for (let nth = 0; nth < 12; nth += 1) {
        const at = before + Math.floor(((nth + 0.5) * (content.length - before)) / 12);
        const flipped = Buffer.from(content);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << (nth % 8));
        torn.push(content.subarray(0, at), flipped);
      }
      // As a crash leaves it: nothing was closed.
      for (const [nth, left] of [content, content.subarray(0, -1), ...torn].entries()) {
        const copy = `${directory}-${nth}`;
        cpSync(directory, copy, { recursive: true });
        writeFileSync(join(copy, basename(log)), left);
        const again = new LevelStore(copy);
        await again.open();
        const [there, blocks] = left === content ? [after, batch.blocks?.length ?? 0] : [many, 0];
        t.same((await again.read(node1, 1, manyBytes)).map(plain), there.map(plain));
        t.equal((await again.shape(node1)).blocks, blocks);
        await again.close();
      }
      await store.close();
    },
  );
}

function fileIn(directory: string, ending: string): string {
  const [name, ...more] = readdirSync(directory).filter((name) => name.endsWith(ending));
  if (name === undefined || more.length > 0) throw new Error(`not one ${ending} in ${directory}`);
  return name;
}

/** Opening moves the write-ahead log into a table. */
async function onlyTable(directory: string): Promise<string> {
  await raw(directory, async () => undefined);
  return fileIn(directory, ".ldb");
}
