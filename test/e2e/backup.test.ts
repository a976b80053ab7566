/** Backups of running and of stopped processes, restored: what the other side holds comes back, and nothing is lost. */
import { readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { eventually, tidemark } from "./processes.ts";
import { Site, node, publishAll } from "./site.ts";

function values(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(from + index));
}

/** Waits until both replicas hold the same of each origin, and checks that both are clean. */
async function agree(site: Site): Promise<void> {
  const { edgeApi = "" } = (await site.edge?.ready()) ?? {};
  const origins = async (...server: string[]): Promise<{ ok: boolean; origins: object }> => {
    const { stdout } = await tidemark(site.dataDir, "log", "verify", "--node", node, "--json", ...server);
    return JSON.parse(stdout) as { ok: boolean; origins: object };
  };
  await eventually("both sides hold the same, and are clean", async () => {
    const [cloud, edge] = [await origins(), await origins("--server", edgeApi)];
    const isSame = JSON.stringify(sorted(cloud.origins)) === JSON.stringify(sorted(edge.origins));
    return (cloud.ok && edge.ok && isSame) || undefined;
  });
}

function sorted(object: object): object {
  return Object.fromEntries(Object.entries(object).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

t.test("a cloud that is restored from a backup made under load has all back from its node", async (t) => {
  const site = new Site(t);
  await site.startAll();
  await publishAll(site, values(1000, 200));
  await site.arrived(200);

  const file = site.beside("cloud.backup");
  const [made] = await Promise.all([
    site.ok("backup", "-o", file, "--json"),
    publishAll(site, values(2000, 500)),
  ]);
  t.match(JSON.parse(made), { file, side: "cloud", node: null });
  t.equal((await stat(file)).mode & 0o777, 0o600, "only its owner may read it");
  await site.ok("device", "set", "default/thermo-1", "temp", "55");
  await publishAll(site, values(3000, 300));
  await site.arrived(1000);
  const versionBefore = await resourceVersion(site);

  await site.cloud?.end("SIGKILL");
  await rm(join(site.dataDir, "cloud"), { recursive: true });
  await publishAll(site, values(4000, 100));
  const restored = await site.ok("restore", file);
  t.match(restored, /The cloud as it was at .* is in .*cloud/);
  for (const name of await readdir(join(site.dataDir, "cloud", "pki"))) {
    const { mode } = await stat(join(site.dataDir, "cloud", "pki", name));
    t.equal(mode & 0o777, 0o600, `${name} is its owner's`);
  }

  await site.startCloud();
  const all = [...values(1000, 200), ...values(2000, 500), ...values(3000, 300), ...values(4000, 100)];
  t.same(await site.arrived(all.length), all, "all of it, in order, once");
  await agree(site);
  t.ok((await resourceVersion(site)) > versionBefore, "no version is given out twice");
  await publishAll(site, ["5000"]);
  t.equal((await site.arrived(all.length + 1)).at(-1), "5000", "and it goes on");
});

async function resourceVersion(site: Site): Promise<number> {
  const { api = "", kubeconfig = "" } = (await site.cloud?.ready()) ?? {};
  const { readKubeconfig } = await import("../../protocol/adapters/admin-access.ts");
  const { requestJson } = await import("../../protocol/adapters/http-client.ts");
  const { credentials } = await readKubeconfig(kubeconfig);
  const path = "/apis/devices.kubeedge.io/v1beta1/devices";
  const list = (await requestJson({ server: api, path, credentials })) as {
    metadata: { resourceVersion: string };
  };
  return Number(list.metadata.resourceVersion);
}

t.test("a node that is restored from a backup has all back from the cloud", async (t) => {
  const site = new Site(t);
  await site.startAll();
  await publishAll(site, values(1000, 100));
  await site.arrived(100);
  const file = site.beside("node.backup");
  t.match(JSON.parse(await site.ok("backup", "--node", node, "-o", file, "--json")), { side: "node", node });
  await publishAll(site, values(2000, 100));
  await site.arrived(200);

  await site.edge?.end("SIGKILL");
  await rm(site.nodeDir, { recursive: true });
  await site.ok("restore", file);
  // What it says before it hears of the cloud again is not lost either.
  const link = site.linkPort;
  site.linkPort = "1";
  await site.startEdge();
  await publishAll(site, values(3000, 50));
  await site.edge?.end("SIGKILL");
  site.linkPort = link;
  await site.startEdge();
  const all = [...values(1000, 100), ...values(2000, 100), ...values(3000, 50)];
  t.same((await site.arrived(all.length)).toSorted(), all, "all of it, once");
  await agree(site);
});

t.test("a stopped process is backed up from its files, and is the same when restored", async (t) => {
  const site = new Site(t);
  await site.startAll();
  await publishAll(site, values(1000, 20));
  await site.arrived(20);
  await site.edge?.end("SIGTERM");
  await site.cloud?.end("SIGKILL");
  const shown = (dir: string, ...side: string[]): Promise<string> =>
    tidemark(dir, "log", "show", "--node", node, "--json", ...side).then(({ stdout }) => stdout);
  const elsewhere = site.beside("elsewhere");
  for (const [side, file] of [
    ["cloud", site.beside("c.backup")],
    ["node", site.beside("n.backup")],
  ] as const) {
    const before = await shown(site.dataDir, "--side", side);
    await site.ok("backup", "--side", side, "--node", node, "-o", file);
    t.equal((await tidemark(elsewhere, "restore", file)).code, 0);
    t.equal(await shown(elsewhere, "--side", side), before, `${side}: event for event`);
    t.not(before, "");
  }
});

t.test("what can't be restored is refused, and says why", async (t) => {
  const site = new Site(t);
  await site.startCloud();
  await site.ok("cert", "issue", "--node", node);
  await site.startEdge();
  const file = site.beside("cloud.backup");
  const nodeFile = site.beside("node.backup");
  await site.ok("backup", "-o", file);
  await site.ok("backup", "--node", node, "-o", nodeFile);
  const bytes = await readFile(file);
  const cases = [
    ["half", bytes.subarray(0, bytes.length >> 1), 1, /cut short/],
    ["flipped", flipped(bytes, bytes.length >> 1), 1, /damaged at byte/],
    ["newer", flipped(bytes, 16, 2), 1, /format 3.*knows 1/],
    ["other", Buffer.from("kind: Device\n"), 1, /no backup of Tidemark/],
  ] as const;
  const empty = site.beside("empty");
  for (const [name, content, code, message] of cases) {
    const path = site.beside(name);
    await writeFile(path, content);
    const refused = await tidemark(empty, "restore", path);
    t.match(refused, { code, stderr: message }, name);
    t.same(await readdir(empty).catch(() => []), [], "nothing is left behind");
  }
  t.match(await tidemark(empty, "restore", site.beside("none")), { code: 3, stderr: /there is no/ });
  const mismatch = await tidemark(empty, "restore", nodeFile, "--node", "press-7");
  t.match(mismatch, { code: 1, stderr: /backup of the node edge-node-1, not of the node press-7/ });
  t.match(await tidemark(empty, "backup"), { code: 2, stderr: /-o FILE/ });
  t.equal((await tidemark(empty, "backup", "-o", "x")).code, 69, "nothing is there");

  t.match(await tidemark(site.dataDir, "restore", file, "--force"), { code: 75, stderr: /another process/ });
  await site.cloud?.end("SIGKILL");
  t.match(await tidemark(site.dataDir, "restore", file), { code: 1, stderr: /not empty.*--force/ });
  t.match(await tidemark(site.dataDir, "restore", file, "--force"), { code: 0, stdout: /before-restore/ });
  await site.startCloud();
  t.match(await site.ok("status", "--side", "cloud"), /edge-node-1/);
});

function flipped(bytes: Buffer, at: number, mask = 1): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ mask;
  return copy;
}
