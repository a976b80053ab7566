/** Bits flipped in LevelDB's files of a stopped cloud or node: whatever it was, all of it comes back from the other side. */
import { cp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { nodeLog, sideOf } from "../../core/event.ts";
import { LevelStore } from "../../core/store/level.ts";
import { type Finished, type Process, eventually, tidemark } from "./processes.ts";
import { Site, node, publishAll } from "./site.ts";

interface Verified {
  readonly ok: boolean;
  readonly problems: readonly unknown[];
  readonly origins: Readonly<Record<string, { first: number; last: number; hash: string }>>;
}

async function verified(site: Site, ...args: string[]): Promise<Verified | undefined> {
  const { stdout }: Finished = await tidemark(
    site.dataDir,
    "log",
    "verify",
    "--node",
    node,
    "--json",
    ...args,
  );
  return stdout === "" ? undefined : (JSON.parse(stdout) as Verified);
}

/** The same choices in every run. */
function chooser(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Flips bytes in files whose name fits, as many as `count` in each. */
async function flip(
  directory: string,
  pattern: RegExp,
  count: number,
  choose: (below: number) => number,
): Promise<number> {
  let flipped = 0;
  for (const name of (await readdir(directory)).toSorted()) {
    if (!pattern.test(name)) continue;
    const bytes = await readFile(join(directory, name));
    if (bytes.length === 0) continue;
    for (let nth = 0; nth < count; nth += 1) {
      const at = choose(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << choose(8));
      flipped += 1;
    }
    await writeFile(join(directory, name), bytes);
  }
  return flipped;
}

/** A site whose log is in tables and in the write-ahead log, at both sides, stopped. */
async function stopped(site: Site): Promise<{ values: string[]; kept: string }> {
  await site.startAll();
  const values: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    const some = Array.from({ length: 150 }, (_, index) => String(1000 * (round + 1) + index));
    values.push(...some);
    await publishAll(site, some);
    await site.arrived(values.length);
    // A log that is opened again turns what was in the write-ahead log into a table.
    await site.edge?.end(round === 1 ? "SIGKILL" : "SIGTERM");
    await site.cloud?.end(round === 1 ? "SIGKILL" : "SIGTERM");
    if (round === 2) break;
    await site.startCloud();
    await site.startEdge();
  }
  const kept = site.beside("kept");
  await cp(site.dataDir, kept, { recursive: true });
  return { values, kept };
}

/** Whether a process is there: LevelDB ends one that has to compact what is damaged. */
function isUp(process_: Process | undefined): boolean {
  try {
    return process_ !== undefined && process.kill(process_.pid, 0);
  } catch {
    return false;
  }
}

/** Starts both, and starts again what ends, as a supervisor does: one bit in a thousand trips an assertion of LevelDB's. */
async function keepUp(site: Site): Promise<void> {
  if (!isUp(site.cloud)) await site.startCloud().catch(() => undefined);
  if (!isUp(site.edge)) await site.startEdge().catch(() => undefined);
}

const flips = [
  ["tables", /\.ldb$/, 1],
  ["tables, much", /\.ldb$/, 4],
  ["the write-ahead log", /^\d+\.log$/, 1],
  ["the manifest", /^MANIFEST/, 1],
  ["tables and the write-ahead log", /\.ldb$|^\d+\.log$/, 2],
] as const;

t.setTimeout(240_000);

for (const side of ["cloud", "node"] as const) {
  t.test(`whatever is damaged at the ${side} comes back`, async (t) => {
    const site = new Site(t);
    const { values, kept } = await stopped(site);
    let tried = 0;
    for (const [seed, [what, pattern, count]] of flips.entries()) {
      await rm(site.dataDir, { recursive: true });
      await cp(kept, site.dataDir, { recursive: true });
      const log = side === "cloud" ? join(site.dataDir, "cloud", "log") : join(site.nodeDir, "log");
      const choose = chooser(seed + 1);
      const flipped = await flip(log, pattern, count, choose);
      if (flipped === 0) continue;
      await eventually(
        `${what}: both are whole and the same`,
        async () => {
          await keepUp(site);
          // Each by its side: while one is down, the other would answer for it.
          const here = await verified(site, "--side", "cloud");
          const there = await verified(site, "--side", "node");
          const ends = (of: Verified | undefined): string =>
            Object.entries(of?.origins ?? {})
              .map(([origin, { last, hash }]) => `${origin} ${last} ${hash}`)
              .toSorted()
              .join();
          return (here?.ok === true && there?.ok === true && ends(here) === ends(there)) || undefined;
        },
        60_000,
      );
      tried += 1;
      await keepUp(site);
      const logged = await site.logged();
      t.same(
        [...new Set(logged)].toSorted(),
        values.toSorted(),
        `${what}, ${flipped} bits: all of it is there`,
      );
      await site.edge?.end("SIGTERM");
      await site.cloud?.end("SIGTERM");
      t.same(
        (await verified(site, "--side", "cloud"))?.problems,
        [],
        `${what}: clean in the files of the cloud`,
      );
      t.same(
        (await verified(site, "--side", "node"))?.problems,
        [],
        `${what}: clean in the files of the node`,
      );
    }
    t.ok(tried >= 3, `${tried} of them were tried`);
  });
}

/** Takes out the record of the node's own `nth` value, counted from the newest: of a stopped process. */
async function takeOut(log: string, nth: number): Promise<void> {
  const store = new LevelStore(log);
  await store.open();
  const records = await store.read(nodeLog(node), 1, 1e9);
  const own = records.filter(({ origin }) => origin !== undefined && sideOf(origin) === "node");
  const record = own.at(-nth);
  await store.commit({ segments: [], remove: record === undefined ? [] : [record] });
  await store.close();
}

t.test(
  "what is damaged behind a checkpoint, log repair finds, has fetched again, and waits for",
  async (t) => {
    const site = new Site(t);
    await site.startAll();
    for (const value of ["1", "2", "3"]) await publishAll(site, [value]);
    await site.arrived(3);
    await site.cloud?.end("SIGTERM");
    await takeOut(join(site.dataDir, "cloud", "log"), 2);
    await site.startCloud();
    await eventually(
      "the node is connected",
      async () => (await site.ok("node", "list")).includes(" Connected") || undefined,
    );
    const looked = await tidemark(site.dataDir, "log", "repair", "--node", node, "--dry-run");
    t.match(looked, { code: 1, stdout: /LOG_GAP.*\/\d+-\d+/ });
    t.match(await site.logged(), ["1", "3"], "it only looked");
    t.match(await site.ok("log", "repair", "--node", node), /asked back.*\nNothing is damaged/);
    t.same((await site.logged()).toSorted(), ["1", "2", "3"]);
    t.ok((await verified(site))?.ok);
  },
);

t.test("what nobody else has is given up by hand, and the rest goes on", async (t) => {
  const site = new Site(t);
  await site.startAll();
  await publishAll(site, ["1"]);
  await site.arrived(1);
  await site.cloud?.end("SIGTERM");
  for (const value of ["2", "3", "4"]) await publishAll(site, [value]);
  await site.edge?.end("SIGTERM");
  await takeOut(join(site.nodeDir, "log"), 2);

  const args = ["log", "repair", "--side", "node", "--node", node];
  const found = await tidemark(site.dataDir, ...args);
  t.match(found, { code: 1, stdout: /--give-up RANGE/ });
  const ranges = [...found.stdout.matchAll(/^\S+ {2}(\S+\/\d+-\d+)$/gm)].map(([, range = ""]) => range);
  t.not(ranges.length, 0);
  const other = await tidemark(site.dataDir, ...args, "--give-up", "positions/900-901");
  t.match(other, { code: 1, stderr: /no damaged range/ });
  t.match(await site.ok(...args, "--give-up", ...ranges), /Nothing is damaged/);
  t.match(await site.ok("log", "show", "--side", "node", "--node", node), /log\.dropped/);

  await site.startCloud();
  await site.startEdge();
  t.same((await site.arrived(3)).toSorted(), ["1", "2", "4"]);
  await eventually("the cloud is clean", async () => (await verified(site))?.ok || undefined);
});
