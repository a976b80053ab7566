/** The whole way of a value with real processes: MQTT, the node's log, the link, the cloud's log; and every crash on it. */
import t from "tap";
import { eventually } from "./processes.ts";
import { Site, node, publishAll, topic } from "./site.ts";

t.test("a value goes from MQTT to the cloud, and survives kill -9 of both sides", async (t) => {
  const site = new Site(t);
  await site.startAll();

  await publishAll(site, ["23"]);
  await eventually(
    "the value in the cloud",
    async () => (await site.property()).reported?.value === "23" || undefined,
  );

  await site.cloud?.end("SIGKILL");
  const values = Array.from({ length: 1000 }, (_, index) => String(1000 + index));
  await publishAll(site, values);
  await site.edge?.end("SIGKILL");

  await site.startCloud();
  await site.startEdge();
  await eventually("all values in the cloud", async () => (await site.logged()).length >= 1001 || undefined);
  t.same(await site.logged(), ["23", ...values], "all of them, in order, once");
  const verified = JSON.parse(await site.ok("log", "verify", "--node", node, "--json")) as { ok: boolean };
  t.ok(verified.ok, "the cloud's replica is clean");
  const { edgeApi = "" } = (await site.edge?.ready()) ?? {};
  const there = JSON.parse(await site.ok("log", "verify", "--node", node, "--json", "--server", edgeApi)) as {
    ok: boolean;
  };
  t.ok(there.ok, "the node's replica is clean");
  t.equal(await site.edge?.end("SIGTERM"), 0, "the edge drains and exits");
  t.equal(await site.cloud?.end("SIGTERM"), 0, "the cloud drains and exits");
});

t.test("what is wanted while a node is down arrives as a delta when it is back", async (t) => {
  const site = new Site(t);
  await site.startAll();
  await site.edge?.end("SIGKILL");
  await site.ok("device", "set", "default/thermo-1", "temp", "55");
  await site.startEdge();
  const client = await site.connect();
  const deltas: string[] = [];
  client.on("message", (_topic, payload) => deltas.push(payload.toString()));
  await client.subscribeAsync(`${topic}/update/delta`, { qos: 1 });
  const delta = await eventually("the delta", async () => deltas.find((text) => text.includes('"55"')));
  t.match(JSON.parse(delta), { delta: { temp: "55" } });
  await client.endAsync();
});

t.test("an edge that never had a cloud answers, and says what it lacks", async (t) => {
  const site = new Site(t);
  await site.startEdge();
  const client = await site.connect();
  const answers: unknown[] = [];
  client.on("message", (_topic, payload) => answers.push(JSON.parse(payload.toString())));
  await client.subscribeAsync(`${topic}/get/result`, { qos: 1 });
  await client.publishAsync(`${topic}/get`, JSON.stringify({ event_id: "e1", timestamp: 1 }), { qos: 1 });
  const answer = await eventually("the answer", async () => answers[0]);
  t.match(answer, { event_id: "e1", code: 404 }, "no cloud has declared a device here");
  await client.endAsync();
  const status = JSON.parse(await site.ok("status", "--json")) as {
    problems: { code: string; message: string }[];
  };
  t.match(status.problems, [
    { code: "CERTIFICATE_MISSING", message: /tidemark cert issue --node edge-node-1/ },
  ]);
});
