/** Asking for the past from the command line: of a cloud that runs in this process, and of what it leaves. */
import t, { type Test } from "tap";
import { type RunningCloud, startCloud } from "../../cloud/cloud-process.ts";
import { type Ran, run } from "./command-line.ts";

const yaml = `apiVersion: devices.kubeedge.io/v1beta1
kind: DeviceModel
metadata: {name: thermo}
spec:
  protocol: modbus
  properties: [{name: temp, type: INT, accessMode: ReadWrite}]
---
apiVersion: devices.kubeedge.io/v1beta1
kind: Device
metadata: {name: thermo-1}
spec:
  deviceModelRef: {name: thermo}
  nodeName: edge-1
  properties: [{name: temp}]
`;

const dataDir = t.testdir({});
const start = (): Promise<RunningCloud> =>
  startCloud({
    dataDir,
    host: "127.0.0.1",
    linkPort: 0,
    apiPort: 0,
    advertiseAddresses: [],
    logger: { log: () => {} },
  });
let cloud: RunningCloud;

async function tidemark(...argv: string[]): Promise<Ran> {
  return run([...argv, "--data-dir", dataDir], { stdin: yaml });
}

interface Item {
  readonly time: string;
  readonly event: string;
  readonly value: string | null;
}

async function items(...argv: string[]): Promise<Item[]> {
  const { out } = await tidemark("device", "history", "thermo-1", ...argv, "--json");
  return (JSON.parse(out) as { items: Item[] }).items;
}

t.before(async () => {
  cloud = await start();
  await tidemark("apply", "-f", "-");
  for (const value of ["20", "21", "22"]) await tidemark("device", "set", "thermo-1", "temp", value);
  // What is wanted reaches the node's log a moment after it is declared.
  while ((await items("--property", "temp")).length < 3);
});
t.teardown(() => cloud.stop());

async function ask(t: Test): Promise<void> {
  const changes = await items("--property", "temp");
  t.same(
    changes.map(({ value }) => value),
    ["20", "21", "22"],
  );
  const [, second] = changes;
  const { event = "", time = "" } = second ?? {};
  const short = `${event.slice(0, 5)}/${event.split("/")[1]}`;

  t.same(await items("--from", short, "--property", "temp"), changes.slice(1), "an origin may be shortened");
  const got = await tidemark("device", "get", "thermo-1", "--at", short);
  t.match(got.out, /^default\/thermo-1\n {2}node +edge-1\n/);
  t.match(got.out, /^temp +INT +- +21 +no/m);
  t.equal(got.code, 0, "what an event had seen is all there");

  // No node has ever spoken to this cloud: what it did is not known at any time.
  const atTime = await tidemark("device", "get", "thermo-1", "--at", time, "--json");
  t.equal(atTime.code, 4);
  t.match(JSON.parse(atTime.out), {
    properties: { temp: { desired: { value: "21" } } },
    complete: false,
    gaps: [{ from: null, to: null, reason: /edge-1/ }],
  });
  const differs = await tidemark("device", "diff", "thermo-1", "--from", short, "--to", "now");
  t.match(differs.out, /^temp +desired +21 +22$/m);
  t.match(differs.err, /warning: not complete: .*edge-1/);
  t.equal(differs.code, 4);

  const blamed = await tidemark("blame", "thermo-1", "temp");
  t.match(blamed.out, /^temp +desired +22 +cloud +\S+Z +c\S+\/\d+ +c\S+\/\d+ .*declared \(cluster\)$/m);
  const { out } = await tidemark("why", "thermo-1", "temp");
  t.match(out, /temp wanted 22 +by the cloud/);
  t.match(out, /because of +devices\/default\/thermo-1 declared +by the cloud .*\(cluster\)$/m);
  t.match(await tidemark("why", short), { code: 0, out: /temp wanted 21/ });
  t.match(await tidemark("why", short, "--node", "edge-1"), { code: 0, out: /temp wanted 21/ });

  const table = await tidemark("device", "history", "thermo-1", "--limit", "1", "--node", "edge-1");
  t.match(table.out, /^TIME +EVENT +CHANGE\n\S+Z +c\S+\/\d+ +declared\nmore: .*--cursor (c\S+\/\d+@\d+)\n$/);
  const cursor = /--cursor (\S+)/.exec(table.out)?.[1] ?? "";
  const rest = await items("--cursor", cursor);
  t.same(rest, (await items()).slice(1));
}

t.test("of a running cloud", ask);

t.test("what was not, and what can't be asked, by exit code", async (t) => {
  const wanted: [string[], number, RegExp][] = [
    [["device", "get", "thermo-1", "--at", "-1h"], 3, /did not exist yet .* it did from /],
    [["device", "get", "nope", "--at", "-1h"], 3, /nothing is known here of a device default\/nope/],
    [["device", "get", "thermo-1", "--at", "soon"], 2, /at=soon/],
    [["device", "get", "thermo-1", "--at", "n0000/1"], 3, /no origin n0000/],
    [["device", "diff", "thermo-1", "--from", "now", "--to", "-1h"], 2, /reversed/],
    [["device", "diff", "thermo-1"], 2, /--from/],
    [["device", "history", "thermo-1", "--limit", "x"], 2, /limit=x/],
    [["blame", "thermo-1", "humidity"], 3, /humidity/],
    [["why", "thermo-1"], 2, /a device and a property/],
    [["why", "thermo-1", "humidity"], 3, /humidity/],
    [["why", "thermo-1", "temp", "--node", "edge-9"], 3, /edge-9/],
  ];
  for (const [argv, code, message] of wanted) {
    const { code: got, err } = await tidemark(...argv);
    t.equal(got, code, argv.join(" "));
    t.match(err, message);
  }
  const asJson = await tidemark("device", "get", "thermo-1", "--at", "-1h", "--json");
  t.match(JSON.parse(asJson.err), { error: { code: "NOT_YET" } });
});

t.test("of one that has stopped", async (t) => {
  await cloud.stop();
  await ask(t);
});
