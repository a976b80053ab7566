import t from "tap";
import { contextOf } from "../../cli/context.ts";
import { type Running, type ServeOptions, serve } from "../../cli/serve.ts";
import { TidemarkError } from "../../core/errors.ts";
import { TestWorld } from "./command-line.ts";

/** Something to serve: each start takes the next of `lives`. */
function subject(lives: readonly (TidemarkError | "runs" | "fails later")[]): {
  options: ServeOptions;
  readonly told: string[];
} {
  const told: string[] = [];
  let starts = 0;
  const start = async (): Promise<Running> => {
    const life = lives[starts] ?? "runs";
    starts += 1;
    told.push("start");
    if (life instanceof TidemarkError) throw life;
    const failed =
      life === "fails later"
        ? Promise.resolve(new TidemarkError("LOG_COMMIT_FAILED", "the disk failed"))
        : new Promise<never>(() => {});
    return { addresses: { api: "x" }, failed, stop: async () => void told.push("stop") };
  };
  const logger = { log: (level: string, message: string) => void told.push(`${level}: ${message}`) };
  return { options: { logger, start, ports: { "--api-port": 6443 }, retryDelayMs: 1 }, told };
}

function worldStoppedAfter(readyLines: number): TestWorld {
  const stop = new AbortController();
  if (readyLines === 0) stop.abort();
  return new TestWorld({
    stop: stop.signal,
    onOutput: (text) => {
      if (text.split("\n").length > readyLines) stop.abort();
    },
  });
}

t.test("it says when it is ready, and a signal ends it with 0", async (t) => {
  const { options, told } = subject([]);
  const world = worldStoppedAfter(1);
  t.equal(await serve(contextOf(world, {}), options), 0);
  t.equal(world.out, 'ready {"api":"x"}\n');
  t.same(told, ["start", "stop"]);
});

t.test("what has failed is stopped, told of, and started again", async (t) => {
  const { options, told } = subject(["fails later", "fails later", "runs"]);
  t.equal(await serve(contextOf(worldStoppedAfter(3), {}), options), 0);
  const again = ["start", "stop", "error: the disk failed"];
  t.same(told, [...again, ...again, "start", "stop"]);
});

t.test("once it has run, nothing that is in the way ends it", async (t) => {
  const { options, told } = subject(["fails later", new TidemarkError("PORT_TAKEN", "taken"), "runs"]);
  t.equal(await serve(contextOf(worldStoppedAfter(2), {}), options), 0);
  t.same(told, ["start", "stop", "error: the disk failed", "start", "error: taken", "start", "stop"]);
});

t.test("but a store that can't be opened, nor put right: that ends it", async (t) => {
  const { options, told } = subject(["fails later", new TidemarkError("SEGMENT_CORRUPT", "damaged"), "runs"]);
  await t.rejects(serve(contextOf(worldStoppedAfter(3), {}), options), { code: "SEGMENT_CORRUPT" });
  t.same(told, ["start", "stop", "error: the disk failed", "start"]);
});

t.test("a full disk at the first start may be emptied: it tries again", async (t) => {
  const { options, told } = subject([new TidemarkError("DISK_FULL", "full"), "runs"]);
  t.equal(await serve(contextOf(worldStoppedAfter(1), {}), options), 0);
  t.same(told, ["start", "error: full", "start", "stop"]);
});

t.test("what time does not mend ends it at the first start, and names the flag of a port", async (t) => {
  for (const code of ["LOG_LOCKED", "CONFIGURATION", "FORMAT_NEWER"] as const) {
    const { options } = subject([new TidemarkError(code, "no")]);
    await t.rejects(serve(contextOf(new TestWorld(), {}), options), { code });
  }
  const { options } = subject([new TidemarkError("PORT_TAKEN", "taken", { data: { port: 6443 } })]);
  await t.rejects(serve(contextOf(new TestWorld(), {}), options), {
    code: "PORT_TAKEN",
    message: /6443 \(--api-port\)/,
  });
});

t.test("told to stop before it began, it doesn't", async (t) => {
  const { options, told } = subject([]);
  t.equal(await serve(contextOf(worldStoppedAfter(0), {}), options), 0);
  t.same(told, []);
});
