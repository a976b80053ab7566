import t from "tap";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { nodeEnvironment, stderrLogger } from "../../protocol/adapters/environment.ts";
import { recordingLogger } from "./adapters-fixtures.ts";

t.test("the environment is this machine's", async (t) => {
  const { clock, timers, random, digest } = nodeEnvironment(recordingLogger(), nodeDigest);
  t.ok(Math.abs(clock.now() - Date.now()) < 1000);
  const before = clock.monotonic();
  const ran: string[] = [];
  await new Promise<void>((resolve) => {
    const callOff = timers.after(1, () => ran.push("called off"));
    callOff();
    timers.soon(() => ran.push("soon"));
    timers.after(5, () => {
      ran.push("after");
      resolve();
    });
    ran.push("now");
  });
  t.same(ran, ["now", "soon", "after"]);
  t.ok(clock.monotonic() > before);
  t.equal(random.bytes(16).length, 16);
  t.equal(Buffer.isBuffer(random.bytes(1)), false, "pure code meets plain bytes only");
  t.not(Buffer.from(random.bytes(16)).toString("hex"), Buffer.from(random.bytes(16)).toString("hex"));
  const fraction = random.fraction();
  t.ok(fraction >= 0 && fraction < 1);
  t.equal(digest, nodeDigest);
});

function written(
  level: "debug" | "warn",
  options: { isTTY?: boolean; color?: boolean } = {},
): [string[], ReturnType<typeof stderrLogger>] {
  const lines: string[] = [];
  const { isTTY = false, ...rest } = options;
  const stream = { write: (line: string) => lines.push(line), isTTY };
  return [lines, stderrLogger({ level, stream, now: () => 0, ...rest })];
}

t.test("a record is one line of time, level, message and fields", async (t) => {
  const [lines, logger] = written("debug");
  logger.log("info", "segment committed", {
    node: "node-a",
    events: 3,
    absent: undefined,
    note: 'two "words"',
  });
  t.same(lines, [
    '1970-01-01T00:00:00.000Z INFO  segment committed node=node-a events=3 note="two \\"words\\""\n',
  ]);
});

t.test("records below the level are left out", async (t) => {
  const [lines, logger] = written("warn");
  logger.log("info", "not this");
  logger.log("warn", "this");
  logger.log("error", "and this", { cause: new Error("the reason") });
  t.equal(lines.length, 2);
  t.match(lines[1], /ERROR and this cause="the reason"\n$/);
});

t.test("nothing in a message or field can forge a second record or colour", async (t) => {
  const [lines, logger] = written("debug");
  logger.log("info", "one\ntwo", { topic: "a\nb\u001b[31m", list: ["x\u0085y"], count: 1n });
  t.equal(lines.length, 1);
  // oxlint-disable-next-line no-control-regex
  t.notMatch(lines[0]?.slice(0, -1) ?? "", /[\u0000-\u001f\u007f-\u009f]/);
});

t.test("colour is for terminals, unless NO_COLOR says no", async (t) => {
  const escape = "\u001b[";
  const before = process.env["NO_COLOR"];
  t.teardown(() => {
    if (before === undefined) delete process.env["NO_COLOR"];
    else process.env["NO_COLOR"] = before;
  });
  delete process.env["NO_COLOR"];
  const [onTerminal, coloured] = written("debug", { isTTY: true });
  const [inFile, plain] = written("debug");
  process.env["NO_COLOR"] = "1";
  const [asked, quiet] = written("debug", { isTTY: true });
  for (const logger of [coloured, plain, quiet]) logger.log("info", "hello");
  t.ok(onTerminal[0]?.includes(escape));
  t.notOk(inFile[0]?.includes(escape));
  t.notOk(asked[0]?.includes(escape));
});
