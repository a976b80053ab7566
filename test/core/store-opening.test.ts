/** A store that ends every process that opens it is not opened for ever. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { LevelStore } from "../../core/store/level.ts";
import { checksumOf } from "../../core/store/ldb-checksum.ts";
import { openStore, openedSoundly } from "../../core/store/opened-soundly.ts";
import { freshDirectory } from "./store-raw.ts";
import { manyBytes, node1, stored } from "./store-segments.ts";

const store = new URL("../../core/store/level.js", import.meta.url).href;

async function filled(t: Test): Promise<string> {
  const directory = freshDirectory(t);
  const made = new LevelStore(directory);
  for (let round = 0; round < 2; round += 1) {
    await made.open();
    for (let nth = 1; nth <= 40; nth += 1) {
      const lo = round * 40 + nth;
      await made.commit({ segments: [stored({ lo, padding: 60 })] });
    }
    await made.close();
  }
  return directory;
}

/** Makes the first block of each table say a key that LevelDB holds to be impossible. It looks at no checksum of it. */
function makeDeadly(directory: string): void {
  for (const name of readdirSync(directory).filter((each) => each.endsWith(".ldb"))) {
    const table = readFileSync(join(directory, name));
    let end = 0;
    while (table.readUInt32LE(end + 1) !== checksumOf(table.subarray(0, end + 1))) end += 1;
    // One row with a key of three bytes, one restart; not compressed.
    const block = Buffer.alloc(end);
    block.set([0, 3, end - 3 - 3 - 8 > 0x7f ? 0x7f : 0, 97, 98, 99]);
    block.writeUInt32LE(1, end - 4);
    table.set(block);
    table[end] = 0;
    writeFileSync(join(directory, name), table);
  }
}

interface Child {
  readonly child: ChildProcess;
  readonly said: Promise<{ signal: string | null; code: number | null; output: string }>;
}

/** Another process that opens the store, and does `then`. */
function start(directory: string, then: string): Child {
  const script = `
    import { LevelStore } from ${JSON.stringify(store)};
    const store = new LevelStore(${JSON.stringify(directory)});
    try {
      await store.open();
      ${then}
    } catch (error) {
      console.log(error.code, error.message);
      process.exitCode = 1;
    }`;
  const args = ["--input-type=module", "--eval", script];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const said = once(child, "close").then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
    output,
  }));
  return { child, said };
}

const dies = `process.kill(process.pid, "SIGKILL"); await new Promise(() => setInterval(() => {}, 1000));`;
const reads = `
  for (const log of await store.logs()) await store.read(log, 1, 1e9);
  await store.reclaim();
  await store.close();
  console.log("well");`;

async function dieOften(directory: string, times: number): Promise<void> {
  for (let nth = 0; nth < times; nth += 1) await start(directory, dies).said;
}

function noteOf(directory: string): string {
  return `${directory}.opening`;
}

async function isSalvaged(t: Test, directory: string): Promise<boolean> {
  const opened = new LevelStore(directory);
  await opened.open();
  const { salvagedFor } = opened;
  const { length } = await opened.read(node1, 1, manyBytes);
  await opened.close();
  t.ok(length > 0);
  return salvagedFor !== undefined;
}

t.test("one that trips LevelDB is rebuilt at the fourth start, of all that is sound", async (t) => {
  const directory = await filled(t);
  makeDeadly(directory);
  const ends = [];
  for (let nth = 0; nth < 4; nth += 1) ends.push(await start(directory, reads).said);
  if (ends[0]?.signal === null) {
    t.pass("this build of LevelDB has no assertions", { skip: true });
    return;
  }
  t.match(ends, [
    { signal: "SIGABRT", output: /Assertion/ },
    { signal: "SIGABRT" },
    { signal: "SIGABRT" },
    { signal: null, code: 0, output: /well/ },
  ]);
  t.notOk(existsSync(noteOf(directory)));
  t.notOk(await isSalvaged(t, directory), "and that was that");
});

t.test("two starts that were killed cost nothing, nor do those that could end by themselves", async (t) => {
  const directory = await filled(t);
  await dieOften(directory, 2);
  t.ok(existsSync(noteOf(directory)));
  t.notOk(await isSalvaged(t, directory));
  for (const end of [
    "process.exit(3);",
    `setTimeout(() => { throw new Error("a fault"); }, 1);`,
    "process.exit(3);",
  ])
    await start(directory, end).said;
  t.notOk(existsSync(noteOf(directory)));
  await dieOften(directory, 3);
  t.ok(await isSalvaged(t, directory));
});

t.test("where the machine was booted since, it had lost its power", async (t) => {
  const directory = await filled(t);
  await dieOften(directory, 3);
  const note = JSON.parse(readFileSync(noteOf(directory), "utf8")) as Record<string, unknown>;
  if (note["boot"] === "") return;
  writeFileSync(noteOf(directory), JSON.stringify({ ...note, ends: 9, boot: "an earlier one" }));
  t.notOk(await isSalvaged(t, directory));
});

t.test("a note that says nothing is as good as none", async (t) => {
  const directory = await filled(t);
  for (const text of ["", "null", "{", '{"pid":1}', "[]"]) {
    writeFileSync(noteOf(directory), text);
    t.notOk(await isSalvaged(t, directory));
  }
});

t.test("where rebuilding it does not help, it says what to do, and is not tried again", async (t) => {
  const directory = await filled(t);
  await dieOften(directory, 3);
  // The fourth is rebuilt, and killed, and so are those that follow.
  await dieOften(directory, 3);
  const { code, output } = await start(directory, reads).said;
  t.equal(code, 1);
  t.match(output, /^SEGMENT_CORRUPT .*ends the process.*restore a copy.*\.opening/);
  t.match((await start(directory, reads).said).output, /^SEGMENT_CORRUPT/, "nor the next time");
  t.match(output, noteOf(directory));
  writeFileSync(noteOf(directory), "");
  t.notOk(await isSalvaged(t, directory), "until a person says so");
});

t.test("where it can't be rebuilt, it is not opened as it is", async (t) => {
  const directory = await filled(t);
  makeDeadly(directory);
  await dieOften(directory, 3);
  const tables = readdirSync(directory).filter((name) => /ldb$|\d\.log$/.test(name));
  for (const name of tables) writeFileSync(join(directory, name), "nothing of the kind");
  for (let nth = 0; nth < 3; nth += 1) {
    const { output } = await start(directory, reads).said;
    t.match(output, /^SEGMENT_CORRUPT .*nothing in its files can be read.*restore a copy/);
  }
});

t.test("who finds it in use counts for nothing, and takes nothing away from who uses it", async (t) => {
  const directory = await filled(t);
  const holds = `console.log("open"); process.stdin.resume(); process.stdin.on("end", () => process.exit());`;
  const { child, said } = start(directory, holds);
  await once(child.stdout as NonNullable<typeof child.stdout>, "data");
  const note = readFileSync(noteOf(directory), "utf8");
  for (let nth = 0; nth < 4; nth += 1)
    await t.rejects(new LevelStore(directory).open(), { code: "LOG_LOCKED" });
  t.equal(readFileSync(noteOf(directory), "utf8"), note);
  // As if it ran where its process id can't be seen.
  writeFileSync(
    noteOf(directory),
    JSON.stringify({ ...(JSON.parse(note) as object), pid: 2 ** 22 + 1, ends: 5 }),
  );
  await t.rejects(
    new LevelStore(directory).open(),
    { code: "LOG_LOCKED" },
    "it is not rebuilt under its hands",
  );
  child.stdin?.end();
  await said;
});

t.test("some seconds after what uses it has started, all is well", async (t) => {
  const directory = await filled(t);
  const steps: (() => Promise<unknown>)[] = [];
  const closers = {
    add: (step: () => Promise<unknown>): void => void steps.push(step),
    close: async (): Promise<void> => {
      for (const step of steps.reverse()) await step();
    },
  };
  const lines: string[] = [];
  const logger = { log: (level: string, message: string): void => void lines.push(`${level} ${message}`) };
  await dieOften(directory, 3);
  await openedSoundly(directory, closers, () => openStore(directory, closers, logger), 50);
  t.match(lines, [/^error .*made anew/]);
  t.ok(existsSync(noteOf(directory)));
  for (let nth = 0; nth < 100 && existsSync(noteOf(directory)); nth += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.notOk(existsSync(noteOf(directory)));
  await closers.close();
});
