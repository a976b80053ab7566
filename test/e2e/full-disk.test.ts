/** What becomes of a node and a cloud whose disks others fill: they stop before it is too late, and go on by themselves. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { MqttClient } from "mqtt";
import t, { type Test } from "tap";
import type { StatusRow } from "../../protocol/rest/status-api.ts";
import { type Disk, mountDisk } from "../crash/disk.ts";
import { eventually, tidemark } from "./processes.ts";
import { Site, node, topic } from "./site.ts";

const mebi = 1024 * 1024;
const skip = process.getuid?.() === 0 ? false : "mounting a small file system needs root";

/** A site of which the cloud's, or the node's, directory is a small disk of its own. */
async function siteOn(t: Test, of: "cloud" | "node"): Promise<{ site: Site; disk: Disk }> {
  const dataDir = await mkdtemp(join(tmpdir(), "tidemark-disk-"));
  const disk = mountDisk(join(dataDir, of === "cloud" ? "cloud" : `edge/${node}`), 256 * mebi);
  if (typeof disk === "string") throw new Error(disk);
  t.teardown(async () => {
    disk.release();
    await rm(dataDir, { recursive: true });
  });
  const site = new Site(t, dataDir);
  await site.startAll();
  return { site, disk };
}

async function statusOf(site: Site, of: "cloud" | "node"): Promise<StatusRow> {
  const { edgeApi = "" } = (await site.edge?.ready()) ?? {};
  const server = of === "cloud" ? [] : ["--server", edgeApi];
  return JSON.parse(await site.ok("status", "--json", ...server)) as StatusRow;
}

function until(
  site: Site,
  of: "cloud" | "node",
  what: string,
  is: (status: StatusRow) => boolean,
): Promise<StatusRow> {
  const ask = async (): Promise<StatusRow | undefined> => {
    try {
      const status = await statusOf(site, of);
      return is(status) ? status : undefined;
    } catch {
      return undefined;
    }
  };
  return eventually(`${of}: ${what}`, ask, 60_000).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${(of === "cloud" ? site.cloud : site.edge)?.output}`);
  });
}

const hasAmpleRoom = ({ retention }: StatusRow): boolean =>
  retention.reserve === true && retention.pressure === 0;

/** A device that reports 1, 2, 3, … and goes on to the next when one is acknowledged, on this connection or another. */
class Publisher {
  readonly acknowledged: string[] = [];
  readonly #site: Site;
  readonly #bytes: number;
  readonly #stopping = new AbortController();
  readonly #done: Promise<void>;

  /** @param bytes of noise that it reports besides */
  constructor(site: Site, bytes = 0) {
    this.#site = site;
    this.#bytes = bytes;
    this.#done = this.#run();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const client = await this.#site.connect();
        client.on("error", () => undefined);
        const gone = new Promise<never>((_resolve, reject) => {
          client.once("close", () => reject(new Error("the connection is gone")));
        });
        gone.catch(() => undefined);
        // What is not acknowledged yet does not count.
        signal.addEventListener("abort", () => client.end(true));
        await this.#publish(client, gone);
      } catch {
        await delay(100);
      }
    }
  }

  async #publish(client: MqttClient, gone: Promise<never>): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const value = String(this.acknowledged.length + 1);
      await Promise.race([client.publishAsync(`${topic}/update`, this.#payload(value), { qos: 1 }), gone]);
      this.acknowledged.push(value);
      await delay(10);
    }
  }

  /** Of a property of its own: what is replaced by a later one may be forgotten, where room is short. */
  #payload(value: string): string {
    const noise = randomBytes((this.#bytes * 3) / 4).toString("base64");
    return JSON.stringify({ twin: { [`p${value}`]: { actual: { value: `${value} ${noise}` } } } });
  }

  /** Resolves when so many more are acknowledged. */
  more(count: number): Promise<true> {
    const wanted = this.acknowledged.length + count;
    return eventually(
      `${wanted} reports`,
      async () => this.acknowledged.length >= wanted || undefined,
      60_000,
    );
  }

  async stop(): Promise<readonly string[]> {
    this.#stopping.abort();
    await this.#done;
    return this.acknowledged;
  }
}

/** What was sent twice, because its acknowledgement was lost, is there twice; the last may not be acknowledged. */
async function arrivedOnce(site: Site, values: readonly string[]): Promise<string[]> {
  return eventually("all that was acknowledged", async () => {
    const arrived = [...new Set((await site.logged()).map((value) => value.split(" ")[0] ?? ""))];
    return values.every((value) => arrived.includes(value)) ? arrived.slice(0, values.length) : undefined;
  });
}

/** More than a session has granted. */
function largeDevices(count: number): string {
  const note = "x".repeat(60_000);
  const metadata = (index: number): string =>
    `metadata: {name: large-${index}, namespace: default, annotations: {note: ${note}}}`;
  const spec = `spec: {deviceModelRef: {name: thermo-model}, nodeName: ${node}}`;
  return Array.from({ length: count }, (_, index) =>
    ["apiVersion: devices.kubeedge.io/v1beta1", "kind: Device", metadata(index), spec].join("\n"),
  ).join("\n---\n");
}

t.test(
  "a node stops before its disk is full, says why, and goes on when there is room",
  { skip },
  async (t) => {
    const { site, disk } = await siteOn(t, "node");
    await until(site, "node", "a reserve", hasAmpleRoom);
    const publisher = new Publisher(site);
    t.teardown(() => publisher.stop());
    await publisher.more(20);
    disk.fill(6 * mebi);
    const full = await until(site, "node", "no room", ({ retention }) => retention.pressure === 3);
    t.match(full.problems, [{ code: "LOG_FULL", message: /its disk has .* left; make room there/ }]);
    await until(site, "node", "the report that waits", ({ queues }) => queues["waiting"] === 1);
    const stoppedAt = publisher.acknowledged.length;
    const { edgeApi = "" } = (await site.edge?.ready()) ?? {};
    const refused = await tidemark(
      site.dataDir,
      "device",
      "set",
      "thermo-1",
      "temp",
      "40",
      "--server",
      edgeApi,
    );
    t.match(refused, { code: 1, stderr: /the log takes no more: its disk has/ });
    t.match(await site.apply(() => largeDevices(30)), { code: 0 });
    await until(site, "cloud", "what waits for the node", ({ nodes }) => (nodes[0]?.lag.toNode ?? 0) > 0);
    t.match(await statusOf(site, "node"), { nodes: [{ state: "Connected" }], retention: { reserve: true } });
    t.equal(publisher.acknowledged.length, stoppedAt, "nothing is acknowledged meanwhile");
    t.not(
      (await statusOf(site, "cloud")).nodes[0]?.lag.toNode,
      0,
      "what is more than had been granted waits",
    );
    disk.free();
    await publisher.more(20);
    await until(site, "cloud", "nothing to wait for", ({ nodes }) => nodes[0]?.lag.toNode === 0);
    const { objects } = (await statusOf(site, "node")).logs[0] ?? {};
    t.equal(objects, 32, "what was declared meanwhile is there");
    const values = await publisher.stop();
    t.same(await arrivedOnce(site, values), values, "all is there, in order");
    t.notMatch(site.edge?.output, /DISK_FULL/);
    t.equal(site.edge?.output.match(/^ready /gm)?.length, 1, "it never had to start again");
  },
);

t.test("a cloud stops before its disk is full, and its nodes wait", { skip }, async (t) => {
  const { site, disk } = await siteOn(t, "cloud");
  await until(site, "cloud", "a reserve", hasAmpleRoom);
  disk.fill(12 * mebi);
  const full = await until(site, "cloud", "no room", ({ retention }) => retention.pressure === 3);
  t.match(full.problems, [{ code: "LOG_FULL" }]);
  const refused = await site.apply((yaml) => yaml.replaceAll("thermo-1", "thermo-2"));
  t.match(refused, { code: 1, stderr: /the log takes no more: its disk has .* left; make room there/ });
  const publisher = new Publisher(site, 60_000);
  t.teardown(() => publisher.stop());
  await publisher.more(40);
  const values = await publisher.stop();
  const [atNode] = (await statusOf(site, "node")).nodes;
  t.match(atNode, { state: "Connected" });
  t.ok((atNode?.lag.toCloud ?? 0) > 0, "what is more than had been granted waits");
  disk.free();
  t.same(await arrivedOnce(site, values), values);
  const taken = await eventually("the device", async () => {
    const finished = await site.apply((yaml) => yaml.replaceAll("thermo-1", "thermo-2"));
    return finished.code === 0 || undefined;
  });
  t.ok(taken);
  t.notMatch(site.cloud?.output, /DISK_FULL/);
});

t.test(
  "a disk that is full to the last byte: the reserve is given up, and is there again",
  { skip },
  async (t) => {
    const { site, disk } = await siteOn(t, "node");
    // Again, on the port that it has now: when it starts again by itself it is to be found there.
    await site.edge?.end("SIGTERM");
    await site.startEdge();
    const publisher = new Publisher(site, 50_000);
    t.teardown(() => publisher.stop());
    // Where it was just then looking at its room, it has stopped in time.
    await eventually(
      "a full disk",
      async () => {
        disk.free();
        await until(site, "node", "a reserve", hasAmpleRoom);
        await publisher.more(1);
        disk.fill(0);
        await delay(2000);
        return site.edge?.output.includes("DISK_FULL") || undefined;
      },
      100_000,
    );
    t.match(site.edge?.output, /the reserve was given up/);
    const back = await until(site, "node", "back", ({ retention }) => retention.reserve === false);
    t.ok((back.retention.freeBytes ?? 0) > 8 * mebi, "in the room of the reserve");
    await publisher.more(5);
    disk.free();
    await until(site, "node", "the reserve", hasAmpleRoom);
    await publisher.more(5);
    const values = await publisher.stop();
    t.same(await arrivedOnce(site, values), values);
    const verified = JSON.parse(await site.ok("log", "verify", "--node", node, "--json")) as { ok: boolean };
    t.ok(verified.ok);
  },
);
