import { spawnSync } from "node:child_process";
import { createServer } from "node:net";
import t from "tap";
import { type Place, type Places, choosePlace, findPlaces, usualSide } from "../../cli/places.ts";

function place(node: string | undefined, has: { runs?: boolean; log?: boolean }): Place {
  const run = has.runs === true ? { pid: 1, version: "", addresses: {} } : undefined;
  return { node, directory: "", run, hasLog: has.log ?? false };
}

function places(cloud: { runs?: boolean; log?: boolean }, ...nodes: Place[]): Places {
  return { dataDir: "/data", cloud: place(undefined, cloud), nodes };
}

t.test("the running cloud, else the running node, else the cloud's log, else the node's", async (t) => {
  const both = { runs: true, log: true };
  const left = { log: true };
  const chosen = (from: Places, wanted = {}): string => {
    const { node, run } = choosePlace(from, wanted);
    return `${run === undefined ? "log of" : "running"} ${node ?? "cloud"}`;
  };
  t.equal(chosen(places(both, place("n1", both))), "running cloud");
  t.equal(chosen(places(left, place("n1", both))), "running n1");
  t.equal(chosen(places(left, place("n1", left))), "log of cloud");
  t.equal(chosen(places({}, place("n1", left))), "log of n1");
  t.equal(chosen(places(both, place("n1", both)), { node: "n1" }), "running cloud", "which knows the node");
  t.equal(chosen(places(left, place("n1", both), place("n2", both)), { node: "n2" }), "running n2");
  t.equal(chosen(places(both, place("n1", both)), { side: "node" }), "running n1");
  t.equal(chosen(places(both, place("n1", left)), { side: "node" }), "log of n1");
  t.equal(chosen(places(left, place("n1", both)), { side: "cloud" }), "log of cloud");
});

t.test("a copy of a log is the cloud's, running or not, where the data directory has a cloud", async (t) => {
  t.equal(usualSide(places({ runs: true }, place("n1", { runs: true }))), "cloud");
  t.equal(usualSide(places({ log: true }, place("n1", { runs: true }))), "cloud", "while it starts again");
  t.equal(usualSide(places({}, place("n1", { log: true }))), undefined);
});

t.test("where several would do, which one must be said", async (t) => {
  const runs = { runs: true };
  const several = places({}, place("n1", runs), place("n2", runs));
  t.throws(() => choosePlace(several, {}), { code: "USAGE", message: /n1, n2.*--node/ });
  t.throws(() => choosePlace(places({}, place("n1", { log: true }), place("n2", { log: true })), {}), {
    code: "USAGE",
  });
});

t.test("where there is nothing, it says what to do", async (t) => {
  t.throws(() => choosePlace(places({}), {}), { code: "NOT_REACHABLE", message: /tidemark up/ });
  t.throws(() => choosePlace(places({ runs: true }), { side: "node", node: "n1" }), {
    code: "NOT_REACHABLE",
    message: /the node n1/,
  });
});

t.test("what is in a data directory: logs, and processes that answer", async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve());
  });
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const url = `http://127.0.0.1:${port}`;
  const ended = spawnSync(process.execPath, ["-e", ""]).pid;
  const run = (pid: number, addresses: Record<string, string>): string =>
    JSON.stringify({ pid, version: "0.1.0", addresses });
  const dataDir = t.testdir({
    cloud: { log: { CURRENT: "" }, "run.json": run(ended, { api: url }) },
    edge: {
      n1: { log: { CURRENT: "" }, "run.json": run(process.pid, { edgeApi: url }) },
      n2: { log: {}, "run.json": run(process.pid, { edgeApi: "http://127.0.0.1:9" }) },
      n3: { "run.json": "half of" },
    },
  });
  const { cloud, nodes } = await findPlaces(dataDir);
  t.match(cloud, { run: undefined, hasLog: true }, "its process is gone");
  t.same(
    nodes.map(({ node, run, hasLog }) => ({ node, runs: run !== undefined, hasLog })),
    [
      { node: "n1", runs: true, hasLog: true },
      { node: "n2", runs: false, hasLog: false },
      { node: "n3", runs: false, hasLog: false },
    ],
    "a process of that number that listens elsewhere is another one",
  );
  t.match(await findPlaces(`${dataDir}/missing`), { nodes: [], cloud: { hasLog: false } });
});
