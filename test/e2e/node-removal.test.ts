/** A node is removed with real processes: its bytes are gone, its certificate is refused, and a new one lets it come back. */
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { eventually, tidemark } from "./processes.ts";
import { Site, node, publishAll, topic } from "./site.ts";

async function filesWith(directory: string, text: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(directory)) {
    if ((await readFile(join(directory, name))).includes(text)) found.push(name);
  }
  return found;
}

t.test("a node that is removed is forgotten, told so, and may be admitted again", async (t) => {
  const site = new Site(t);
  await site.startAll();
  const marker = "marker-7f3a9c2e";
  const note = JSON.stringify({ event_id: "", timestamp: 1, twin: { note: { actual: { value: marker } } } });
  const client = await site.connect();
  await client.publishAsync(`${topic}/update`, note, { qos: 1 });
  await client.endAsync();
  await publishAll(site, ["23"]);
  await site.arrived(2);
  const log = join(site.dataDir, "cloud", "log");
  t.not((await filesWith(log, marker)).length, 0, "the cloud has the marker");
  const listed = async (): Promise<{ name: string; state: string; by: string | null; devices: number }[]> =>
    (JSON.parse(await site.ok("node", "list", "--json")) as { items: [] }).items;
  t.match(await listed(), [{ name: node, state: "Connected", by: null, devices: 1 }]);

  const asked = await tidemark(site.dataDir, "node", "remove", node);
  t.match(asked, { code: 2, stderr: /nothing was done; add --yes/ });
  t.match(await tidemark(site.dataDir, "node", "remove", "press-9", "--yes"), { code: 3 });
  t.match(await site.ok("node", "remove", node, "--yes"), /removed/);

  t.same(await filesWith(log, marker), [], "not a byte of it is left on the cloud's disk");
  t.match(await listed(), [{ name: node, state: "Removed", by: "admin", devices: 1 }]);
  t.match(await site.ok("log", "show", "--cluster"), /node\.removed/);
  const refusal = await eventually("the node says that it is refused", async () => {
    const { stdout } = await tidemark(site.dataDir, "status", "--side", "node", "--json");
    const { problems } = JSON.parse(stdout) as { problems: { code: string; message: string }[] };
    return problems.find(
      ({ code, message }) => code === "CERTIFICATE_REFUSED" && message.includes("cert issue"),
    );
  });
  t.match(
    refusal.message,
    /was removed.*admission 1, and 2 is wanted.*tidemark cert issue --node edge-node-1/,
  );
  await publishAll(site, ["24"]);

  await site.cloud?.end("SIGKILL");
  await site.startCloud();
  t.match(await listed(), [{ state: "Removed" }], "also after a restart");
  t.same(await filesWith(log, marker), []);

  await site.ok("cert", "issue", "--node", node);
  await eventually("it is connected", async () => (await listed())[0]?.state === "Connected" || undefined);
  t.ok((await site.arrived(3)).includes("24"), "what the node holds comes, what it took meanwhile too");
  await eventually(
    "its device is placed again",
    async () => (await site.property()).desired?.value === "30" || undefined,
  );
});
