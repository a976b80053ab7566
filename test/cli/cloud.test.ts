/** Commands against a cloud that runs in this process, and against what it leaves when it has stopped. */
import { cp, mkdir, readFile, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { type RunningCloud, startCloud } from "../../cloud/cloud-process.ts";
import { rfc3339 } from "../../core/time.ts";
import type { Incarnation } from "../../core/event.ts";
import { raw } from "../core/store-raw.ts";
import { type Given, type Ran, run } from "./command-line.ts";

const model = `apiVersion: devices.kubeedge.io/v1beta1
kind: DeviceModel
metadata: {name: thermo}
spec:
  protocol: modbus
  properties:
  - {name: temp, type: INT, accessMode: ReadWrite, minimum: "1", maximum: "100"}
  - {name: humidity, type: FLOAT, accessMode: ReadOnly}
`;

const device = `apiVersion: devices.kubeedge.io/v1beta1
kind: Device
metadata: {name: thermo-1}
spec:
  deviceModelRef: {name: thermo}
  nodeName: edge-1
  properties: [{name: temp}, {name: humidity}]
`;

const dataDir = t.testdir({});
const nowMs = Date.now();
let cloud: RunningCloud;

async function start(): Promise<void> {
  cloud = await startCloud({
    dataDir,
    host: "127.0.0.1",
    linkPort: 0,
    apiPort: 0,
    advertiseAddresses: [],
    logger: { log: () => {} },
  });
}

function tidemark(argv: readonly string[], given: Given = {}): Promise<Ran> {
  return run([...argv, "--data-dir", dataDir], { nowMs, ...given });
}

async function json(argv: readonly string[]): Promise<Record<string, unknown>> {
  const { out, err } = await tidemark([...argv, "--json"]);
  t.equal(err, "");
  return JSON.parse(out) as Record<string, unknown>;
}

t.before(start);
t.teardown(() => cloud.stop());

t.test("what is applied is created, then unchanged, then configured", async (t) => {
  const both = `${model}---\n${device}`;
  const apply = async (stdin: string): Promise<string> =>
    (await tidemark(["apply", "-f", "-"], { stdin })).out;
  t.equal(
    await apply(both),
    "devicemodel.devices.kubeedge.io/thermo created\ndevice.devices.kubeedge.io/thermo-1 created\n",
  );
  t.equal(
    await apply(both),
    "devicemodel.devices.kubeedge.io/thermo unchanged\ndevice.devices.kubeedge.io/thermo-1 unchanged\n",
  );
  t.equal(await apply(model.replace('"100"', '"90"')), "devicemodel.devices.kubeedge.io/thermo configured\n");
});

t.test("one bad object among several: the others are applied, and the exit code says so", async (t) => {
  const stdin = `${device.replace("kind: Device", "kind: Gadget")}---\n${device.replace("thermo-1", "thermo-2")}---\n${device.replace("nodeName", "nodName").replace("thermo-1", "x")}`;
  const { code, out, err } = await tidemark(["apply", "-f", "-"], { stdin });
  t.equal(code, 3, "the first failure's");
  t.equal(out, "device.devices.kubeedge.io/thermo-2 created\n");
  t.match(err, /^error: standard input:1: .*no kind Gadget.*\nerror: .*unknown field "spec.nodName".*\n$/);
  const asJson = await tidemark(["apply", "-f", "-", "--json"], { stdin: device });
  t.match(JSON.parse(asJson.out), { items: [{ kind: "Device", name: "thermo-1", result: "unchanged" }] });
});

t.test("a device without a node is read from its declaration", async (t) => {
  t.match(await json(["device", "get", "thermo-1"]), {
    namespace: "default",
    name: "thermo-1",
    node: "edge-1",
    model: "thermo",
    properties: { temp: { type: "INT", reported: null, desired: null, inSync: true } },
    complete: true,
    silent: { side: "node", since: null },
  });
  const { out } = await tidemark(["device", "get", "default/thermo-1"]);
  t.match(out, /^default\/thermo-1\n {2}node {7}edge-1\n/);
  t.match(out, /^ {2}not heard {2}from the node at all yet/m);
  t.match(
    out,
    /^PROPERTY {2}TYPE {3}REPORTED {2}DESIRED {2}IN-SYNC {2}AGE\ntemp {6}INT {4}- {9}- {8}- {8}-$/m,
  );
});

t.test("what is set is wanted, and what can't be is refused", async (t) => {
  const { code, out } = await tidemark(["device", "set", "thermo-1", "temp", "21"]);
  t.same([code, out], [0, "default/thermo-1: temp wanted 21\n"]);
  t.match(await json(["device", "get", "thermo-1"]), {
    properties: { temp: { desired: { value: "21" }, inSync: false } },
  });
  t.match((await tidemark(["device", "get", "thermo-1"])).out, /^temp {6}INT {4}- {9}21 {7}no /m);
  const refused: [string[], number, RegExp][] = [
    [["temp", "-5"], 1, /below the minimum/],
    [["temp", "warm"], 1, /not a 64-bit integer/],
    [["humidity", "50"], 1, /read-only/],
    [["colour", "red"], 1, /colour/],
  ];
  for (const [words, wanted, message] of refused) {
    const { code, err } = await tidemark(["device", "set", "thermo-1", ...words]);
    t.equal(code, wanted, words.join(" "));
    t.match(err, message);
  }
  t.equal((await tidemark(["device", "set", "nope", "temp", "5"])).code, 3);
});

t.test("a list has a line for each device", async (t) => {
  const { out } = await tidemark(["device", "list"]);
  t.match(out, /^DEVICE {12}NODE {4}MODEL {3}STATE {2}PROPERTIES {2}IN-SYNC {2}REPORTED\n/);
  t.match(out, /^default\/thermo-1 {2}edge-1 {2}thermo {2}- {15}2 {2}no \(1\) {3}-$/m);
  t.match(await json(["device", "list"]), {
    items: [{ name: "thermo-1" }, { name: "thermo-2" }],
    complete: true,
  });
  t.same((await json(["device", "list", "-n", "plant"]))["items"], []);
  t.match((await tidemark(["device", "list", "-n", "plant"])).out, /apply -f/);
});

t.test("a device that is not there: exit code 3", async (t) => {
  const { code, err } = await tidemark(["device", "get", "plant/nope"]);
  t.equal(code, 3);
  t.match(err, /plant\/nope/);
});

t.test("a watch gives a line for each change, until it is interrupted", async (t) => {
  const stop = new AbortController();
  const first = tidemark(["device", "watch", "thermo-1", "--json"], {
    stop: stop.signal,
    onOutput: (text) => {
      if (text.includes('"33"')) stop.abort();
    },
  });
  // The watch is in force a moment after the command began: what it tells is said until it is told.
  for (let value = 30; !stop.signal.aborted; value = value === 33 ? 30 : 33) {
    await tidemark(["device", "set", "thermo-1", "temp", String(value)]);
  }
  const { code, out } = await first;
  t.equal(code, 0);
  t.match(JSON.parse(out.split("\n").find((line) => line.includes('"33"')) ?? ""), {
    type: "twin.desired",
    node: "edge-1",
    name: "thermo-1",
    property: "temp",
    value: "33",
  });
});

t.test("logs: the only node's unless the cluster's is asked for", async (t) => {
  const { out } = await tidemark(["log", "tail", "--last", "2"]);
  const [header, ...rows] = out.trimEnd().split("\n");
  t.match(header, /^TIME +POS {2}ORIGIN\/SEQ +TYPE +KEY +BODY$/);
  t.equal(rows.length, 2);
  t.match(
    rows[1],
    /^\d{4}-\S+Z +\d+ {2}c[0-9a-z]{4}\/\d+ +twin\.desired +devices\/default\/thermo-1 desired\/temp +\["\d+",\d+\]$/,
  );
  const cluster = (await tidemark(["log", "show", "--cluster", "--json"])).out.trimEnd().split("\n");
  t.match(JSON.parse(cluster[0] ?? ""), {
    log: "cluster",
    position: 1,
    seq: 1,
    type: "resource.applied",
    key: "devicemodels/default/thermo",
  });
  t.equal((await tidemark(["log", "tail", "--node", "nope"])).code, 3);
});

t.test("a range of a log, by position, by time and by event", async (t) => {
  const show = async (...argv: string[]): Promise<number[]> =>
    (await tidemark(["log", "show", "--cluster", "--json", ...argv])).out
      .split("\n")
      .flatMap((line) => (line === "" ? [] : (JSON.parse(line) as { position: number }).position));
  const all = await show();
  t.ok(all.length > 3);
  t.same(await show("--from", "2", "--to", "3"), [2, 3]);
  t.same(await show("--from", "-1h"), all);
  t.same(await show("--to", "-1h"), []);
  t.same(await show("--to", rfc3339(nowMs + 3_600_000)), all);
  const { time } = JSON.parse(
    (await tidemark(["log", "show", "--cluster", "--json", "--from", "2", "--to", "2"])).out,
  ) as { time: string };
  const then = await show("--from", time, "--to", time);
  t.ok(then.includes(2), "both ends count in");
  t.ok(then.length < all.length);
  t.match(await tidemark(["log", "show", "--cluster", "--from", "now", "--to", "-1h"]), {
    code: 2,
    err: /reversed/,
  });
  const { vector } = await json(["log", "stats", "--cluster"]);
  const [origin = ""] = Object.keys(vector as Record<Incarnation, number>);
  t.same(await show("--from", `${origin.slice(0, 6)}/3`, "--to", "3"), [3]);
  t.match(await json(["log", "show", "--cluster", `${origin.slice(0, 4)}/1`]), { origin, seq: 1 });
  t.match(
    (await tidemark(["log", "show", "--cluster", `${origin}/1`])).out,
    /^c\S+\/1\n {2}log {7}cluster\n/,
  );
  t.equal((await tidemark(["log", "show", "--cluster", `${origin}/999`])).code, 3);
  t.equal((await tidemark(["log", "show", "--cluster", `${origin}/1`, "--to", "3"])).code, 2);
});

t.test("a log that is followed goes on with what comes", async (t) => {
  const stop = new AbortController();
  const following = tidemark(["log", "tail", "--cluster", "-f", "--last", "0"], {
    stop: stop.signal,
    onOutput: (text) => {
      if (text.includes("thermo-3")) stop.abort();
    },
  });
  const stdin = device.replace("thermo-1", "thermo-3");
  while (!stop.signal.aborted) {
    await tidemark(["apply", "-f", "-"], { stdin });
    await tidemark(["delete", "device", "thermo-3"]);
  }
  t.equal((await following).code, 0);
});

t.test("verify and stats", async (t) => {
  const { code, out } = await tidemark(["log", "verify"]);
  t.equal(code, 0);
  t.match(out, /^ok {2}the log of edge-1: \d+ events in \d+ segments?\n/);
  t.match(await json(["log", "verify"]), { ok: true, problems: [] });
  const { events, stored, ...row } = await json(["log", "stats"]);
  t.match(row, { log: "edge-1", side: "cloud" });
  t.match(stored, { mergedEvents: 0, blocks: 0, unmergedEvents: events });
  const cluster = (await tidemark(["log", "stats", "--cluster"])).out;
  t.match(cluster, /^cluster\n {2}side +cloud\n/);
  t.match(cluster, /^ {2}not yet merged +\d+ in \d+ segments?, [\d,]+ bytes$/m);
});

t.test("status", async (t) => {
  t.match(await json(["status"]), {
    role: "cloud",
    dataDir,
    addresses: { api: cloud.addresses.api },
    nodes: [{ name: "edge-1", state: "Disconnected", lag: { toCloud: 0 } }],
  });
  t.match((await tidemark(["status"])).out, /^cloud {2}running\n {2}version/);
});

t.test("whoever names the server need not be near the data directory", async (t) => {
  const elsewhere = ["--data-dir", t.testdir({})];
  const { api, kubeconfig } = cloud.addresses;
  const named = ["--server", api, "--kubeconfig", kubeconfig];
  t.equal((await run(["device", "get", "thermo-1", ...elsewhere, ...named])).code, 0);
  t.equal(
    (await run(["device", "get", "thermo-1", ...elsewhere, ...named.slice(2)])).code,
    0,
    "the kubeconfig says where",
  );
});

t.test("delete, by name and by file", async (t) => {
  t.equal(
    (await tidemark(["delete", "devices", "thermo-2"])).out,
    "device.devices.kubeedge.io/thermo-2 deleted\n",
  );
  const again = await tidemark(["delete", "device", "thermo-2"]);
  t.equal(again.code, 3);
  t.equal((await tidemark(["delete", "device", "thermo-2", "--ignore-not-found"])).code, 0);
  t.equal((await tidemark(["delete", "gadget", "x"])).code, 2);
  const stdin = device.replace("thermo-1", "thermo-2");
  await tidemark(["apply", "-f", "-"], { stdin });
  t.equal((await tidemark(["delete", "-f", "-"], { stdin })).code, 0);
});

/** What a directory holds, so that a change shows. */
async function contents(directory: string): Promise<Record<string, string>> {
  const names = await readdir(directory);
  const files = names.map(
    async (name) => [name, (await readFile(join(directory, name))).toString("hex")] as const,
  );
  return Object.fromEntries(await Promise.all(files));
}

t.test("of a stopped cloud its log is read, and left as it is", async (t) => {
  await cloud.stop();
  // A place of its own: other programs leave what they like in the common one.
  const { TMPDIR } = process.env;
  process.env["TMPDIR"] = t.testdir({});
  t.teardown(() => {
    if (TMPDIR === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = TMPDIR;
  });
  const log = join(dataDir, "cloud", "log");
  const before = await contents(log);
  t.match(await json(["device", "get", "thermo-1"]), {
    node: "edge-1",
    properties: { temp: { type: "INT" } },
  });
  t.match(await json(["device", "list"]), { items: [{ name: "thermo-1" }] });
  t.match(await json(["log", "verify"]), { ok: true });
  t.match(await json(["status"]), {
    role: "cloud",
    nodes: [{ state: "Disconnected" }],
    logs: [{ log: "cluster" }, {}],
  });
  t.match((await tidemark(["status"])).out, /^cloud {2}stopped\n/);
  t.equal((await tidemark(["log", "show", "--cluster"])).code, 0);
  t.same(await contents(log), before);
  const left = (await readdir(tmpdir())).filter((name) => name.includes("tidemark-read-"));
  t.same(left, [], "no copy is left");
});

t.test("what needs a running process says so", async (t) => {
  for (const argv of [
    ["device", "watch"],
    ["log", "tail", "-f"],
    ["device", "set", "a", "b", "c"],
    ["delete", "device", "a"],
  ]) {
    const { code, err } = await tidemark(argv);
    t.equal(code, 69, argv.join(" "));
    t.match(err, /start/);
  }
});

t.test("a damaged log: verify fails, and answers say that they are not complete", async (t) => {
  const damaged = t.testdir({});
  const log = join(damaged, "cloud", "log");
  await mkdir(log, { recursive: true });
  await cp(join(dataDir, "cloud", "log"), log, { recursive: true });
  await raw(log, async (database) => {
    const [second] = await database
      .keys({ gte: "s!", lt: 's"', limit: 2 })
      .all()
      .then((keys) => keys.slice(1));
    const body = (await database.get(second ?? "")) ?? new Uint8Array();
    await database.put(
      second ?? "",
      body.map((byte, index) => (index === body.length - 1 ? byte ^ 1 : byte)),
    );
    // Without a snapshot the whole log is read as it is opened.
    for (const key of await database.keys({ gte: "m!", lt: 'm"' }).all()) {
      if (key.includes("checkpoint")) await database.del(key);
    }
  });
  const verify = await run(["log", "verify", "--cluster", "--json", "--data-dir", damaged]);
  t.equal(verify.code, 1);
  t.match(JSON.parse(verify.out), { ok: false, asked: /cloud/ });
  const repair = await run(["log", "repair", "--cluster", "--data-dir", damaged]);
  t.match(repair, { code: 1, out: /SEGMENT_CORRUPT[^]*\nNobody else has a copy of the cluster log/ });
  const [range = ""] = /\S+\/\d+-\d+/.exec(repair.out) ?? [];
  t.match(
    (await run(["log", "verify", "--cluster", "--data-dir", damaged])).out,
    /^damaged .*\n(.*\n)*PROBLEM /,
  );
  const list = await run(["device", "list", "--json", "--data-dir", damaged]);
  t.equal(list.code, 4);
  t.match(JSON.parse(list.out), { complete: false });
  const givenUp = await run(["log", "repair", "--cluster", "--give-up", range, "--data-dir", damaged]);
  t.match(givenUp, { code: 0, out: /Nothing is damaged/ });
  t.match((await run(["log", "show", "--cluster", "--data-dir", damaged])).out, /log\.dropped/);
});

t.test("a node's certificate: issued where `edge` finds it", async (t) => {
  const fresh = t.testdir({});
  const { code, out } = await run(["cert", "issue", "--node", "edge-2", "--data-dir", fresh, "--json"]);
  t.equal(code, 0);
  const answer = JSON.parse(out) as { files: string[]; notAfter: string };
  t.match(answer, { node: "edge-2", directory: join(fresh, "edge", "edge-2", "pki") });
  for (const file of answer.files) t.match(await readFile(file, "utf8"), /^-----BEGIN /);
  t.ok(Date.parse(answer.notAfter) > Date.now());
  const text = await run(["cert", "issue", "--node", "edge-2", "--data-dir", fresh]);
  t.match(text.out, /npx tidemark edge --node edge-2/);
  t.equal((await run(["cert", "issue", "--node", "Edge_2", "--data-dir", fresh])).code, 1);
});
