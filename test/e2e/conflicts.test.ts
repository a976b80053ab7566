/** A value that both sides set while apart, with real processes: who wins, what is kept, and how a person chooses otherwise. */
import t from "tap";
import type { ConflictList, ConflictRow } from "../../protocol/rest/conflicts.ts";
import { eventually, tidemark } from "./processes.ts";
import { Site, topic } from "./site.ts";

interface Property {
  readonly desired: { readonly value: string; readonly event: string };
  readonly conflict?: { readonly winner: string; readonly policy: string; readonly lost: { value: string } };
}

async function temp(site: Site, side: "cloud" | "node"): Promise<Property> {
  const answer = await site.ok("device", "get", "default/thermo-1", "--side", side, "--json");
  return (JSON.parse(answer) as { properties: { temp: Property } }).properties.temp;
}

async function list(site: Site, ...more: readonly string[]): Promise<readonly ConflictRow[]> {
  return (JSON.parse(await site.ok("conflicts", "list", "--json", ...more)) as ConflictList).items;
}

t.test("both sides set a value while apart; people see it, and choose otherwise", async (t) => {
  const site = new Site(t);
  await site.startAll();

  // Each side runs alone in turn, and says what it wants.
  await site.edge?.end("SIGTERM");
  await site.ok("device", "set", "default/thermo-1", "temp", "41");
  await site.cloud?.end("SIGKILL");
  await site.startEdge();
  const set = await site.ok("device", "set", "default/thermo-1", "temp", "43", "--side", "node");
  t.equal(set, "default/thermo-1: temp wanted 43\n");
  t.equal((await temp(site, "node")).desired.value, "43", "with no cloud");
  const refused = await tidemark(site.dataDir, "device", "set", "thermo-1", "temp", "warm", "--side", "node");
  t.match(refused, { code: 1, stderr: /not a 64-bit integer/ });

  const client = await site.connect();
  const deltas: { delta: { temp?: string } }[] = [];
  client.on("message", (_topic, payload) =>
    deltas.push(JSON.parse(payload.toString()) as (typeof deltas)[0]),
  );
  await client.subscribeAsync(`${topic}/update/delta`, { qos: 1 });
  await site.startCloud();

  const [row] = await eventually("the conflict in the cloud", async () => {
    const rows = await list(site);
    return rows.length > 0 ? rows : undefined;
  });
  t.match(row, {
    node: "edge-node-1",
    namespace: "default",
    name: "thermo-1",
    property: "temp",
    cloud: { value: "41" },
    edge: { value: "43" },
    winner: "edge",
    policy: "latest",
    outcome: { state: "standing", winner: "edge" },
  });
  const id = row?.id ?? "";
  await eventually("the record at the node", async () => (await list(site, "--side", "node"))[0]);
  for (const side of ["cloud", "node"] as const) {
    const { desired, conflict } = await temp(site, side);
    t.equal(desired.value, "43", `the later one wins at the ${side}`);
    t.match(conflict, { winner: "edge", policy: "latest", lost: { value: "41" } });
  }
  t.match(await site.ok("device", "get", "thermo-1"), /conflict: the cloud wanted 41 \(policy latest\)/);
  t.match(
    await site.ok("conflicts", "list"),
    /thermo-1 +temp +41 +43 +edge +policy latest +stands\n$/,
    "for people",
  );
  t.match(await site.ok("conflicts", "show", id), /winner +edge, by policy latest\n.*now +stands/s);
  t.same(await list(site, "--to", "-1h"), []);
  t.same((await list(site, "--device", "thermo-1", "--node", "edge-node-1", "--from", id)).length, 1);

  const usage = await tidemark(site.dataDir, "conflicts", "override", id);
  t.match(usage, { code: 2, stderr: /say --winner cloud, --winner edge, or --value VALUE/ });
  const said = await site.ok("conflicts", "override", id, "--winner", "cloud");
  t.match(said, `default/thermo-1: temp wanted 41; the conflict ${id} is overridden\n`);
  const chosen = await temp(site, "cloud");
  t.equal(chosen.desired.value, "41");
  t.notOk(chosen.conflict);
  const event = JSON.parse(await site.ok("log", "show", chosen.desired.event, "--json")) as { cause: string };
  t.equal(event.cause, id, "the new event names the conflict");
  await eventually(
    "the value at the node",
    async () => (await temp(site, "node")).desired.value === "41" || undefined,
  );
  await eventually("the delta", async () => deltas.find(({ delta }) => delta.temp === "41"));
  const again = await tidemark(site.dataDir, "conflicts", "override", id, "--value", "44");
  t.match(again, { code: 1, stderr: /is superseded by an override, .*: 41 is wanted of temp now/ });
  await client.endAsync();

  await site.edge?.end("SIGTERM");
  await site.cloud?.end("SIGTERM");
  for (const side of ["cloud", "node"]) {
    const [kept] = await list(site, "--side", side);
    t.match(kept, { id, outcome: { state: "overridden", value: "41" } }, `in the stopped log of the ${side}`);
  }
});

t.test("the policy that the device declares decides, and a bad one is refused", async (t) => {
  const site = new Site(t);
  await site.startAll();
  const annotated = (policy: string): Promise<{ code: number | null; stderr: string }> =>
    site.apply((device) =>
      device.replace(
        "name: thermo-1,",
        `name: thermo-1, annotations: {tidemark.io/conflict-policy: "${policy}"},`,
      ),
    );
  t.match(await annotated("newest"), {
    code: 1,
    stderr: /conflict-policy\].*"newest\\?" is no policy: write latest/,
  });
  t.match(await annotated("latest temp=cloud"), { code: 0 });
  await site.edge?.end("SIGKILL");
  await site.ok("device", "set", "default/thermo-1", "temp", "41");
  await site.cloud?.end("SIGTERM");
  await site.startEdge();
  const client = await site.connect();
  const wish = { event_id: "", timestamp: 1, twin: { temp: { expected: { value: "43" } } } };
  await client.publishAsync(`${topic}/update`, JSON.stringify(wish), { qos: 1 });
  const deltas: string[] = [];
  client.on("message", (_topic, payload) => deltas.push(payload.toString()));
  await client.subscribeAsync(`${topic}/update/delta`, { qos: 1 });
  await site.startCloud();
  const rows = await eventually("the conflict", async () => {
    const found = await list(site, "--side", "node");
    return found.length > 0 ? found : undefined;
  });
  t.match(rows, [{ winner: "cloud", policy: "cloud", edge: { value: "43" }, cloud: { value: "41" } }]);
  t.equal((await temp(site, "node")).desired.value, "41", "though the node's was later");
  await eventually("the winner's delta", async () =>
    deltas.find((text) => text.includes('"delta":{"temp":"41"}')),
  );
  const id = rows[0]?.id ?? "";
  await site.ok("conflicts", "override", id, "--value", "50", "--side", "node");
  await eventually(
    "it in the cloud",
    async () => (await temp(site, "cloud")).desired.value === "50" || undefined,
  );
  await client.endAsync();
});
