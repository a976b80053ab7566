/** What disks and people do to real processes: each told clearly, and nothing else harmed. */
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { Process, eventually, tidemark } from "./processes.ts";
import { Site, node, publishAll } from "./site.ts";

interface Status {
  readonly nodes: readonly { name: string; state: string; reason: string | null }[];
  readonly problems: readonly { code: string; message: string }[];
}

t.test("a second process on a data directory is told who has it, and leaves", async (t) => {
  const site = new Site(t);
  await site.startCloud();
  const second = await tidemark(site.dataDir, "cloud", "--link-port", "0", "--api-port", "0");
  t.equal(second.code, 75);
  t.match(second.stderr, /another process|in use|locked/i);
  await site.startEdge();
  const edge = await tidemark(
    site.dataDir,
    "edge",
    "--node",
    node,
    "--mqtt-port",
    "0",
    "--edge-api-port",
    "0",
  );
  t.equal(edge.code, 75);
  t.match(JSON.parse(await site.ok("status", "--json")), { role: "cloud" }, "the first one goes on");
});

t.test("a port that is taken is named, with the flag that changes it", async (t) => {
  const site = new Site(t);
  await site.startEdge();
  const other = site.beside("other");
  const ports = ["--mqtt-port", site.mqttPort, "--edge-api-port", "0"];
  const { code, stderr } = await tidemark(other, "edge", "--node", node, ...ports);
  t.equal(code, 78);
  t.match(stderr, new RegExp(`${site.mqttPort}[^]*--mqtt-port|--mqtt-port[^]*${site.mqttPort}`));
});

t.test("a node with another node's certificate works offline, and says what is wrong", async (t) => {
  const site = new Site(t);
  await site.startCloud();
  await site.ok("cert", "issue", "--node", "another");
  await cp(join(site.dataDir, "edge", "another", "pki"), join(site.nodeDir, "pki"), { recursive: true });
  await site.startEdge();
  const { edgeApi = "" } = (await site.edge?.ready()) ?? {};
  const status = await eventually("the reason", async () => {
    const answer = JSON.parse(await site.ok("status", "--json", "--server", edgeApi)) as Status;
    return answer.problems.length > 0 ? answer : undefined;
  });
  t.match(status.problems, [{ code: "NODE_MISMATCH", message: /another/ }]);
});

t.test(
  "a restored backup of a node: what the cloud had stands, what came since is appended again",
  async (t) => {
    const site = new Site(t);
    await site.startAll();
    await publishAll(site, ["1", "2"]);
    await site.arrived(2);
    await site.edge?.end("SIGTERM");
    const backup = site.beside("backup");
    await cp(site.nodeDir, backup, { recursive: true });
    await site.startEdge();
    await publishAll(site, ["3", "4"]);
    await site.arrived(4);
    await site.edge?.end("SIGKILL");
    await site.cloud?.end("SIGTERM");
    await rm(site.nodeDir, { recursive: true });
    await cp(backup, site.nodeDir, { recursive: true });
    // While there is no cloud to tell it, the node writes on where its backup ended.
    await site.startEdge();
    await publishAll(site, ["5", "6"]);
    await site.startCloud();
    t.same(await site.arrived(6), ["1", "2", "3", "4", "5", "6"]);
    const { edgeApi = "" } = (await site.edge?.ready()) ?? {};
    for (const server of [[], ["--server", edgeApi]]) {
      const verified = JSON.parse(await site.ok("log", "verify", "--node", node, "--json", ...server)) as {
        ok: boolean;
      };
      t.ok(verified.ok);
    }
    await publishAll(site, ["7"]);
    t.equal((await site.arrived(7)).at(-1), "7");
  },
);

t.test("a cloned disk: two living holders of one log are both stopped, and a person is told", async (t) => {
  const site = new Site(t);
  await site.startAll();
  await site.edge?.end("SIGTERM");
  const cloneDir = site.beside("clone");
  await cp(join(site.dataDir, "edge"), join(cloneDir, "edge"), { recursive: true });
  await site.startEdge();
  const ports = ["--mqtt-port", "0", "--edge-api-port", "0"];
  const cloud = ["--cloud", `wss://127.0.0.1:${site.linkPort}`];
  const clone = new Process(["edge", "--node", node, ...cloud, ...ports, "--data-dir", cloneDir]);
  t.teardown(() => clone.end("SIGKILL"));
  await clone.ready();
  const seen = await eventually("one of the two standing aside", async () => {
    const outputs = [site.edge?.output ?? "", clone.output];
    return outputs.some((output) => output.includes("SESSION_SUPERSEDED")) ? outputs : undefined;
  });
  t.ok(seen, "the one that was first is told that a newer session has taken over");
});
