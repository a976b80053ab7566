/** The past, asked of real processes: of both, of the node alone, and of what both leave when they have stopped. */
import t from "tap";
import { eventually, tidemark } from "./processes.ts";
import { Site, publishAll } from "./site.ts";

interface Answer {
  readonly complete: boolean;
  readonly gaps: readonly unknown[];
  readonly items: readonly { readonly time: string; readonly type: string; readonly value: string | null }[];
  readonly properties: Record<string, { readonly reported?: { readonly value: string } }>;
}

t.test("what was so can be asked of cloud and node, together, apart and stopped", async (t) => {
  const site = new Site(t);
  await site.startAll();
  const ask = async (...argv: string[]): Promise<{ code: number | null; answer: Answer }> => {
    const { code, stdout, stderr } = await tidemark(site.dataDir, ...argv, "--json");
    if (stdout === "") throw new Error(`${argv.join(" ")}: ${stderr}`);
    return { code, answer: JSON.parse(stdout) as Answer };
  };
  const reported = async (...argv: string[]): Promise<(string | null)[]> => {
    const { answer } = await ask("device", "history", "thermo-1", "--property", "temp", ...argv);
    return answer.items.filter(({ type }) => type === "twin.reported").map(({ value }) => value);
  };
  const edgeApi = async (): Promise<string[]> => ["--server", (await site.edge?.ready())?.["edgeApi"] ?? ""];

  await publishAll(site, ["23", "24"]);
  await site.arrived(2);
  const { answer: history } = await ask("device", "history", "thermo-1", "--property", "temp");
  t.ok(history.complete, "while they are connected");
  const first = history.items.find(({ value }) => value === "23")?.time ?? "";
  const at = async (...argv: string[]): Promise<[number | null, string | undefined]> => {
    const { code, answer } = await ask("device", "get", "thermo-1", "--at", first, ...argv);
    return [code, answer.properties["temp"]?.reported?.value];
  };
  const then = await at();
  t.ok(["23", "24"].includes(then[1] ?? ""), "both may bear the same millisecond");
  t.same(await at(...(await edgeApi())), then, "the node says the same");

  await site.cloud?.end("SIGKILL");
  await publishAll(site, ["25"]);
  t.same(await reported(...(await edgeApi())), ["23", "24", "25"], "the node goes on, and remembers");
  const alone = await ask("device", "get", "thermo-1", "--at", "now", ...(await edgeApi()));
  t.equal(alone.code, 4, "what the cloud wants by now it can't know");
  t.match(alone.answer, { complete: false, gaps: [{ reason: /cloud/ }] });
  t.equal(alone.answer.properties["temp"]?.reported?.value, "25");

  await site.edge?.end("SIGKILL");
  await site.startCloud();
  const cut = await ask("device", "get", "thermo-1", "--at", "now");
  t.equal(cut.code, 4, "nor the cloud what the node did");
  t.match(cut.answer, {
    gaps: [{ reason: /edge-node-1/ }],
    properties: { temp: { reported: { value: "24" } } },
  });
  t.equal((await at())[0], 0, "of before the cut all is known");

  await site.startEdge();
  await site.arrived(3);
  await eventually("a complete answer", async () => {
    const { code } = await ask("device", "get", "thermo-1", "--at", "now");
    return code === 0 || undefined;
  });
  t.same(await reported(), ["23", "24", "25"], "what happened while they were apart is there in its place");

  await Promise.all([site.cloud?.end("SIGTERM"), site.edge?.end("SIGTERM")]);
  for (const side of ["cloud", "node"]) {
    t.same(await reported("--side", side), ["23", "24", "25"], `the stopped ${side}`);
    t.equal((await at("--side", side))[1], then[1], `the stopped ${side}`);
  }
  t.equal((await at("--side", "cloud"))[0], 0, "the node was heard of since");
  t.equal((await at("--side", "node"))[0], 4, "the cloud has said nothing since, which may be all or not");
});
