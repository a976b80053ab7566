/** LevelDB's files, read without LevelDB: of a sound store everything, of a damaged one what is sound. */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import * as fc from "fast-check";
import t from "tap";
import { LevelStore } from "../../core/store/level.ts";
import { damageNoted } from "../../core/store/level-rebuild.ts";
import { checksumOf } from "../../core/store/ldb-checksum.ts";
import { logEntries } from "../../core/store/ldb-log.ts";
import { type LdbEntry, tableEntries } from "../../core/store/ldb-table.ts";
import { salvage } from "../../core/store/salvage.ts";
import { freshDirectory, raw } from "./store-raw.ts";
import { bytes, manyBytes, node1, plainAll, stored } from "./store-segments.ts";

const tables = /\.ldb$/;
const logs = /^\d+\.log$/;
const manifest = /^MANIFEST/;

const segments = Array.from({ length: 90 }, (_, nth) => stored({ lo: nth + 1, padding: 60 }));

/** A store with two tables, and the rest in its write-ahead log. */
async function filled(directory: string): Promise<void> {
  const store = new LevelStore(directory);
  for (let from = 0; from < segments.length; from += 30) {
    await store.open();
    for (const segment of segments.slice(from, from + 30))
      await store.commit({ segments: [segment], values: new Map([["value", bytes(`${segment.lo}`)]]) });
    await store.close();
  }
}

function filesOf(directory: string, pattern: RegExp): string[] {
  const names = readdirSync(directory).filter((name) => pattern.test(name));
  return names.toSorted().map((name) => join(directory, name));
}

/** Changes a byte of each file of a kind; where, is a share of its length. */
function spoil(directory: string, pattern: RegExp, share: number): void {
  for (const file of filesOf(directory, pattern)) {
    const content = readFileSync(file);
    const at = Math.min(content.length - 1, Math.floor(content.length * share));
    content[at] = (content[at] ?? 0) ^ 0x10;
    writeFileSync(file, content);
  }
}

/** What lies beside a store, that is not to stay. */
function besides(directory: string): string[] {
  return readdirSync(dirname(directory)).filter((name) => name.startsWith(`${basename(directory)}.`));
}

async function readableIn(store: LevelStore): Promise<unknown[]> {
  const records = await store.read(node1, 1, manyBytes);
  return plainAll(records.filter(({ segment }) => segment !== undefined));
}

t.test("LevelDB's checksum of what is known", async (t) => {
  // The check value of CRC-32C, masked as LevelDB does.
  const crc = 0xe3069283;
  t.equal(checksumOf(bytes("123456789")), (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
});

const keys = fc.integer({ min: 0, max: 40 }).map((nth) => `k${nth}`);
const operation = fc.oneof(
  { arbitrary: fc.record({ put: keys, size: fc.constantFrom(0, 3, 500, 5000) }), weight: 8 },
  { arbitrary: fc.record({ put: keys, size: fc.constantFrom(40_000, 200_000) }), weight: 1 },
  { arbitrary: fc.record({ del: keys }), weight: 3 },
  { arbitrary: fc.constantFrom("reopen" as const, "compact" as const), weight: 1 },
);

t.test("what it makes of a sound store holds what LevelDB says that the store holds", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 60 }), fc.nat(), async (steps, seed) => {
      const directory = freshDirectory(t);
      const rows = new Map<string, Uint8Array>([["first", bytes("there is something")]]);
      await raw(directory, (database) => database.put("first", bytes("there is something")));
      const value = (size: number, nth: number): Uint8Array =>
        // Half of it is all the same: a copy that goes on into itself.
        Uint8Array.from({ length: size }, (_, at) => (at % 2000 < 1000 ? (at * at * (seed + nth)) >>> 3 : 7));
      let todo = [...steps.entries()];
      while (todo.length > 0) {
        const until = todo.findIndex(([, step]) => step === "reopen");
        const now = until === -1 ? todo : todo.slice(0, until);
        todo = until === -1 ? [] : todo.slice(until + 1);
        await raw(directory, async (database) => {
          for (const [nth, step] of now) {
            if (step === "compact") await (database as unknown as Compacting).compactRange("a", "z");
            else if (typeof step === "string") continue;
            else if ("del" in step) {
              rows.delete(step.del);
              await database.del(step.del);
            } else {
              rows.set(step.put, value(step.size, nth));
              await database.put(step.put, value(step.size, nth));
            }
          }
        });
      }
      await salvage(directory, "why not");
      const found = await raw(directory, (database) => database.iterator().all());
      const plain = (all: Iterable<[string, Uint8Array]>): string =>
        [...all]
          .map(([key, held]) => `${key} ${Buffer.from(held).toString("hex")}`)
          .sort()
          .join();
      return plain(found) === plain(rows) && (await damageNoted(directory)).join() === "why not";
    }),
    { numRuns: 25 },
  );
});

interface Compacting {
  compactRange(start: string, end: string): Promise<void>;
}

t.test("whatever byte is changed, what is read was written, and nothing stops it", async (t) => {
  const directory = freshDirectory(t);
  await filled(directory);
  const text = ({ key, seq, value }: LdbEntry): string =>
    `${key} ${seq} ${value === undefined ? "-" : Buffer.from(value).toString("hex")}`;
  for (const [pattern, read] of [
    [tables, tableEntries],
    [logs, logEntries],
  ] as const) {
    for (const file of filesOf(directory, pattern)) {
      const content = readFileSync(file);
      const written = new Set([...read(content)].map(text));
      t.ok(written.size > 50, `${written.size} in ${pattern.source}`);
      let most = 0;
      for (let at = 0; at < content.length; at += 37) {
        const spoilt = Uint8Array.from(content);
        spoilt[at] = (spoilt[at] ?? 0) ^ (1 << (at % 8));
        const found = [...read(spoilt)].map(text);
        most = Math.max(most, written.size - found.length);
        if (!found.every((each) => written.has(each))) t.fail(`byte ${at} of ${file}`);
      }
      t.ok(most < written.size, `at most ${most} of ${written.size} are lost`);
      for (const length of [0, 7, 40, content.length >> 1]) {
        const cut = [...read(content.subarray(0, length))].map(text);
        t.ok(
          cut.every((each) => written.has(each)),
          `cut to ${length}`,
        );
      }
    }
  }
});

t.test("a store whose manifest is damaged is made anew of all that it held", async (t) => {
  for (const share of [0, 0.3, 0.8]) {
    const directory = freshDirectory(t);
    await filled(directory);
    spoil(directory, manifest, share);
    const store = new LevelStore(directory);
    await store.open();
    t.match(store.salvagedFor, /Corruption/);
    t.same(await readableIn(store), plainAll(segments));
    t.same(await store.get("value"), bytes("90"), "the latest");
    await store.commit({ segments: [stored({ lo: 91 })] });
    await store.close();
    t.same(besides(directory), []);
    await store.open();
    t.equal((await readableIn(store)).length, 91);
    await store.close();
  }
});

t.test("and of what is sound, where more is damaged", async (t) => {
  const directory = freshDirectory(t);
  await filled(directory);
  spoil(directory, manifest, 0.5);
  spoil(directory, tables, 0.4);
  const store = new LevelStore(directory);
  await store.open();
  const { length } = await readableIn(store);
  t.ok(length >= 20 && length < 90, `${length} of 90`);
  t.same(await store.get("value"), bytes("90"));
  // It compacts everything: nothing is left that LevelDB could fall over.
  await store.reclaim();
  await store.close();
});

t.test("where nothing can be read it is refused, and left as it is", async (t) => {
  const directory = freshDirectory(t);
  await filled(directory);
  for (const file of filesOf(directory, /MANIFEST|ldb$|log$/)) writeFileSync(file, "nothing of the kind");
  const before = readdirSync(directory).length;
  const what = { code: "SEGMENT_CORRUPT", message: /nothing in its files can be read.*restore a copy/ };
  await t.rejects(new LevelStore(directory).open(), what);
  t.same(besides(directory), []);
  t.equal(readdirSync(directory).length, before);
});
