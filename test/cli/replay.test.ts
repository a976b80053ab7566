/** `replay`, `log export` and `log import` against a cloud that runs in this process, and what it leaves. */
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { type RunningCloud, startCloud } from "../../cloud/cloud-process.ts";
import { type Given, type Ran, run } from "./command-line.ts";

const yaml = `apiVersion: devices.kubeedge.io/v1beta1
kind: DeviceModel
metadata: {name: thermo}
spec:
  protocol: modbus
  properties:
  - {name: temp, type: INT, accessMode: ReadWrite, minimum: "1", maximum: "100"}
---
apiVersion: devices.kubeedge.io/v1beta1
kind: Device
metadata: {name: thermo-1}
spec:
  deviceModelRef: {name: thermo}
  nodeName: edge-1
  properties: [{name: temp}]
`;

const root = t.testdir({ data: {}, files: {} });
const dataDir = join(root, "data");
const directory = join(root, "files");
const logger = { log: () => {} };
let cloud: RunningCloud | undefined;

async function start(): Promise<void> {
  cloud = await startCloud({
    dataDir,
    host: "127.0.0.1",
    linkPort: 0,
    apiPort: 0,
    advertiseAddresses: [],
    logger,
  });
}

async function stop(): Promise<void> {
  await cloud?.stop();
  cloud = undefined;
}

function tidemark(argv: readonly string[], given: Given = {}): Promise<Ran> {
  const there = argv.includes("--data-dir") ? [] : ["--data-dir", dataDir];
  return run([...argv, ...there], { directory, ...given });
}

async function ok(...argv: readonly string[]): Promise<string> {
  const { code, out, err } = await tidemark(argv);
  t.equal(code, 0, `${argv.join(" ")}: ${err}`);
  return out;
}

interface Row {
  readonly position: number;
  readonly events: number;
  readonly stateHash: string;
}

async function rows(...argv: readonly string[]): Promise<Row[]> {
  const out = await ok("replay", "--json", ...argv);
  return out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);
}

t.before(async () => {
  await start();
  await tidemark(["apply", "-f", "-"], { stdin: yaml });
  for (const value of ["21", "22", "23", "24"]) await ok("device", "set", "thermo-1", "temp", value);
});
t.teardown(stop);

t.test("a running process, the log that it left and an export replay to the same", async (t) => {
  for (const which of [["--node", "edge-1"], ["--cluster"]]) {
    if (cloud === undefined) await start();
    await ok("log", "export", ...which, "-o", "log.tidemark");
    const running = await rows(...which, "--checkpoint-every", "1");
    t.ok(running.length > 2);
    await stop();
    t.same(await rows(...which, "--checkpoint-every", "1"), running);
    t.same(await rows("--file", "log.tidemark", "--checkpoint-every", "1"), running);
    t.same(await rows(...which, "--redact", "--until", "2"), running.slice(1, 2));
  }
  await start();
  t.same(
    (await readdir(directory)).filter((name) => name !== "log.tidemark"),
    [],
    "nothing is left beside it",
  );
});

t.test("a slice is what was asked for, with the state before it", async (t) => {
  await ok("log", "export", "--node", "edge-1", "-o", "whole");
  const whole = await rows("--file", "whole", "--checkpoint-every", "1");
  const said = JSON.parse(
    await ok("log", "export", "--node", "edge-1", "--from", "3", "--to", "4", "-o", "slice", "--json"),
  ) as Record<string, unknown>;
  t.match(said, { file: "slice", log: "edge-1", side: "cloud", from: 3, to: 4, events: 2, problems: [] });
  t.same(
    (await rows("--file", "slice", "--checkpoint-every", "1")).map(({ stateHash }) => stateHash),
    whole.slice(2, 4).map(({ stateHash }) => stateHash),
  );
  const since = await tidemark(["log", "export", "--node", "edge-1", "--from", "-1h", "-o", "hour"]);
  t.match(since.err, /^hour: the log of edge-1 as the cloud has it, positions 1 to /);
  const never = await tidemark(["log", "export", "--node", "edge-1", "--to", "2001-01-01", "-o", "none"]);
  t.same([never.code, (await readdir(directory)).includes("none")], [3, false]);
  t.match(await tidemark(["log", "export"]), { code: 2, err: /say where to write it: -o FILE/ });
});

t.test("an imported copy is read as any log, and nothing runs from it", async (t) => {
  await ok("log", "export", "--node", "edge-1", "--from", "3", "-o", "slice");
  const there = ["--data-dir", join(root, "copy")];
  t.match(
    await ok("log", "import", "slice", ...there),
    /^slice: the log of edge-1 .*\n\nRead it with\n {2}npx/,
  );
  t.same(await rows(...there), await rows("--file", "slice"));
  const shown = (await ok("log", "show", "--json", ...there)).trim().split("\n");
  t.equal((JSON.parse(shown[0] ?? "") as Row).position, 3);
  t.match(JSON.parse(await ok("device", "get", "thermo-1", "--json", ...there)), {
    properties: { temp: { desired: { value: "24" } } },
  });
  const verified = async (...argv: string[]): Promise<{ origins: object }> =>
    JSON.parse(await ok("log", "verify", "--json", ...argv)) as { origins: object };
  t.same(
    (await verified(...there)).origins,
    (await verified("--node", "edge-1")).origins,
    "the chain goes on",
  );
  const again = await tidemark(["log", "import", "slice", ...there]);
  t.match(again, { code: 1, err: /holds a copy of this log already, positions 3 to / });
  const edge = await tidemark(["edge", "--node", "edge-1", ...there]);
  t.match(edge, { code: 78, err: /holds an imported log, which is only to be read/ });
  // Out of the copy, and again into another one.
  await ok("log", "export", "-o", "second", ...there);
  t.same(await rows("--file", "second"), await rows("--file", "slice"));
  await ok("log", "export", "--cluster", "-o", "cluster");
  await ok("log", "import", "cluster", ...there);
  t.same(await rows("--cluster", ...there), await rows("--cluster"));
});

t.test("an import that can't be is refused, says why, and changes nothing", async (t) => {
  await ok("log", "export", "--node", "edge-1", "-o", "whole");
  const bytes = await readFile(join(directory, "whole"));
  const flipped = Buffer.from(bytes);
  flipped[200] = (flipped[200] ?? 0) ^ 4;
  await writeFile(join(directory, "half"), bytes.subarray(0, bytes.length - 9));
  await writeFile(join(directory, "flipped"), flipped);
  await writeFile(join(directory, "text"), "kind: Device\n");
  const there = join(root, "refused");
  const refused: [file: string, argv: string[], code: number, message: RegExp][] = [
    ["half", [], 1, /only a part of an export.*: take it again, or copy the whole of it/],
    ["flipped", [], 1, /the export is damaged .*: copy it again/],
    ["text", [], 1, /not an export of a log: `tidemark log export -o FILE` makes one/],
    ["nothing", [], 3, /nothing can't be read/],
    ["whole", ["--node", "edge-2"], 1, /of the log of edge-1, and not of edge-2/],
  ];
  for (const [file, argv, code, message] of refused) {
    t.match(await tidemark(["log", "import", file, ...argv, "--data-dir", there]), { code, err: message });
    const left = await readdir(join(there, "edge", "edge-1")).catch(() => []);
    t.same(left, [], file);
  }
  await mkdir(join(there, "edge", "edge-1", "log"), { recursive: true });
  await writeFile(join(there, "edge", "edge-1", "log", "CURRENT"), "MANIFEST-000001\n");
  const own = await tidemark(["log", "import", "whole", "--data-dir", there]);
  t.match(own, { code: 78, err: /holds a log of its own, which is not touched/ });
  await writeFile(
    join(there, "edge", "edge-1", "imported.json"),
    JSON.stringify({ log: "node/edge-1", from: 1, to: 2, origins: ["c0000000000001"] }),
  );
  const other = await tidemark(["log", "import", "whole", "--data-dir", there]);
  t.match(other, { code: 1, err: /a copy of another log by the same name/ });
  t.match(await tidemark(["replay", "--file", "half"]), { code: 1, err: /only a part of an export/ });
});

t.test(
  "a comparison ends with 0 for the same, 1 for a difference that it names, 2 for what it can't compare",
  async (t) => {
    await ok("log", "export", "--node", "edge-1", "-o", "whole");
    const theirs = await ok("replay", "--file", "whole", "--json", "--state", "--checkpoint-every", "1");
    await writeFile(join(directory, "same"), theirs);
    const compare = (file: string, ...argv: string[]): Promise<Ran> =>
      tidemark(["replay", "--file", "whole", "--compare", file, ...argv]);
    t.match(await compare("same"), { code: 0, out: /^same {2}at [0-9]+ checkpoints\n$/ });
    const lines = theirs.trim().split("\n");
    const wrong = lines.map((line, index) =>
      index < 3
        ? line
        : line.replaceAll(/"stateHash":".."/g, '"stateHash":"00').replace(/("stateHash":")../, "$1zz"),
    );
    await writeFile(join(directory, "wrong"), wrong.join("\n"));
    const differs = await compare("wrong");
    t.equal(differs.code, 1);
    t.match(
      differs.out,
      /they part at position 4\n {2}event +c.*\/4\n {2}type +twin.desired\n {2}key +devices\/default\/thermo-1/,
    );
    t.match(JSON.parse((await compare("wrong", "--json")).out), {
      isSame: false,
      parted: { position: 4, since: 3 },
    });
    await writeFile(join(directory, "sparse"), [wrong[0], wrong[4]].join("\n"));
    t.match(
      (await compare("sparse")).out,
      /between positions 2 and 5[^]*npx tidemark replay --json --from 2 --until 5/,
    );
    t.match(await compare("same", "--projection", "devices"), { code: 2, err: /add --projection registers/ });
    t.match(await compare("whole"), { code: 2, err: /not the output of/ });
    t.match(await compare("nothing"), { code: 2, err: /there is no file nothing/ });
    t.match(await compare("same", "--step"), { code: 2, err: /two ways to replay/ });
  },
);

t.test("step by step: the next event, what it changed, the state, on to a place, the end", async (t) => {
  await ok("log", "export", "--node", "edge-1", "-o", "whole");
  const stdin = "n 2\nc 4\nd\ns\nc 1000\nq\nn\n";
  const { code, out } = await tidemark(["replay", "--file", "whole", "--projection", "devices", "--step"], {
    stdin,
  });
  t.equal(code, 0);
  const [last] = await rows("--file", "whole", "--projection", "devices");
  t.match(out, /POS[^]* 1 {2}c[^]* 2 {2}c[^]* 4 {2}c[^]*properties › temp › desired › value +"21" → "22"/);
  t.match(out, /devices\/default\/thermo-1\n\{\n {2}"namespace": "default"/);
  t.ok(
    out.endsWith(`the end, at position ${last?.position}: ${last?.stateHash}\n`),
    "and after q comes nothing",
  );
  const asJson = await tidemark(["replay", "--file", "whole", "--step", "--json"], { stdin: "\nd\ns *\n" });
  const [event, diff, state] = asJson.out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as object);
  t.match(event, { position: 1 });
  t.match(diff, { differences: [{ before: null }] });
  t.match(state, { key: "*", state: { objects: {} } });
  t.match(await tidemark(["replay", "--file", "whole", "--step"], { stdin: "fly\n" }), {
    code: 2,
    err: /no command/,
  });
});

t.test("what can't be replayed so is said", async (t) => {
  const refused: [string[], RegExp][] = [
    [["--projection", "pods"], /no projection pods: there is registers, devices/],
    [["--checkpoint-every", "0"], /not a whole number/],
    [["--until", "soon"], /no place in a log/],
    [["--file", "whole", "--node", "edge-1"], /leave --node and --cluster out/],
    [["--file", "whole", "--redact"], /leave --redact out/],
    [["--node", "edge-1", "--mqtt", "localhost"], /write mqtt:\/\/HOST:PORT/],
    [
      ["--node", "edge-1", "--mqtt", "mqtt://127.0.0.1:1", "--speed", "0"],
      /neither a number above 0 nor max/,
    ],
  ];
  for (const [argv, message] of refused)
    t.match(await tidemark(["replay", ...argv]), { code: 2, err: message });
  const nobody = await tidemark(["replay", "--node", "edge-1", "--mqtt", "mqtt://127.0.0.1:1"]);
  t.match(nobody, { code: 69, err: /no broker answers at/ });
});
