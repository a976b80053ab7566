/** A recording of a real node, published again: to a foreign broker, and to the node. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import mqtt from "mqtt";
import t, { type Test } from "tap";
import { eventually, tidemark } from "./processes.ts";
import { Site, node, publishAll, topic } from "./site.ts";

const brokerPath = `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`;
const hasMosquitto = ["mosquitto", "mosquitto_sub"].every(
  (command) => spawnSync(command, ["-h"], { env: { PATH: brokerPath } }).error === undefined,
);
const skip = hasMosquitto ? false : "mosquitto is not installed";

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** A foreign broker, and what its own client hears on the device topics. */
async function broker(t: Test, site: Site): Promise<{ readonly url: string; readonly heard: string[] }> {
  const port = await freePort();
  const file = site.beside("mosquitto.conf");
  await writeFile(file, `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence false\n`);
  const children: ChildProcess[] = [];
  const start = (command: string, ...args: string[]): ChildProcess => {
    const child = spawn(command, args, { env: { PATH: brokerPath }, stdio: ["ignore", "pipe", "pipe"] });
    children.push(child);
    return child;
  };
  t.teardown(() => children.map((child) => child.kill("SIGKILL")));
  start("mosquitto", "-c", file);
  const url = `mqtt://127.0.0.1:${port}`;
  await eventually("the broker", async () => {
    const client = await mqtt.connectAsync(url, { reconnectPeriod: 0 }).catch(() => undefined);
    await client?.endAsync();
    return client;
  });
  const heard: string[] = [];
  const listener = start(
    "mosquitto_sub",
    "-h",
    "127.0.0.1",
    "-p",
    String(port),
    "-q",
    "1",
    "-v",
    "-t",
    "$hw/#",
  );
  createInterface({ input: listener.stdout as NonNullable<ChildProcess["stdout"]> }).on("line", (line) =>
    heard.push(line),
  );
  const probe = await mqtt.connectAsync(url);
  await eventually("the listener", async () => {
    await probe.publishAsync("$hw/probe", "", { qos: 1 });
    return heard.length > 0 || undefined;
  });
  await probe.endAsync();
  await eventually("quiet", async () => heard.splice(0).length === 0 || undefined);
  return { url, heard };
}

function valuesOf(lines: readonly string[]): string[] {
  return lines.map((line) => {
    const end = line.indexOf(" ");
    if (line.slice(0, end) !== `${topic}/update`) throw new Error(`what is ${line}?`);
    const message = JSON.parse(line.slice(end + 1)) as { twin: { temp: { actual: { value: string } } } };
    return message.twin.temp.actual.value;
  });
}

t.test("devices' messages are published again as they were, in order, none missing", { skip }, async (t) => {
  const site = new Site(t);
  await site.startAll();
  const values = Array.from({ length: 500 }, (_, index) => String(1000 + index));
  await publishAll(site, values);
  await site.arrived(500);
  const file = site.beside("node.tidemark");
  await site.ok("log", "export", "--node", node, "-o", file);
  await site.edge?.end("SIGTERM");
  await site.cloud?.end("SIGTERM");
  const { url, heard } = await broker(t, site);

  const played = await tidemark(
    site.dataDir,
    "replay",
    "--file",
    file,
    "--mqtt",
    url,
    "--speed",
    "max",
    "--json",
  );
  t.same([played.code, played.stderr], [0, ""]);
  t.same(JSON.parse(played.stdout), { messages: 500, events: 500, unacked: 0, interrupted: false });
  await eventually("all of them", async () => heard.length >= 500 || undefined);
  t.same(valuesOf(heard), values);

  await t.test("and a node takes them as from devices", async (t) => {
    await site.startEdge();
    const again = await tidemark(
      site.dataDir,
      "replay",
      "--file",
      file,
      "--mqtt",
      site.mqttUrl,
      "--speed",
      "max",
    );
    t.same([again.code, again.stdout], [0, "sent 500 messages of 500 events\n"]);
    const twin = await site.ok("device", "get", "default/thermo-1", "--side", "node", "--json");
    t.match(JSON.parse(twin), { properties: { temp: { reported: { value: "1499" } } } });
  });
});

t.test("an interrupted one ends at once, and says how many were sent", { skip }, async (t) => {
  const site = new Site(t);
  await site.startAll();
  await publishAll(site, ["1"]);
  await site.arrived(1);
  await site.edge?.end("SIGTERM");
  await site.startEdge();
  await publishAll(site, ["2"]);
  await site.arrived(2);
  const { url, heard } = await broker(t, site);
  // So slow that the second message is a long way off.
  const args = ["replay", "--node", node, "--mqtt", url, "--speed", "0.0001", "--data-dir", site.dataDir];
  const child = spawn(process.execPath, [new URL("../../cli/main.js", import.meta.url).pathname, ...args], {
    env: { PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  await eventually("the first message", async () => heard.length > 0 || undefined);
  child.kill("SIGINT");
  const [code] = (await once(child, "close")) as [number];
  t.same([code, out], [0, "sent 1 message of 1 event\n"]);
  t.same(valuesOf(heard), ["1"]);
});
