/** `tidemark up` as a person without a terminal has it: real processes, on ports of their own. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import mqtt from "mqtt";
import t, { type Test } from "tap";
import type { DeviceAnswer } from "../../protocol/devices/twin-view.ts";
import { run } from "./command-line.ts";

const main = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
const freePorts = ["--link-port=0", "--api-port=0", "--mqtt-port=0", "--edge-api-port=0"];
const waitMsMax = 20_000;

/** Without what tap gives its children in NODE_OPTIONS. */
const env = { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "" };

interface Up {
  readonly child: ChildProcess;
  readonly lines: readonly string[];
  /** The first line, past or to come, that matches. */
  line(pattern: RegExp): Promise<string>;
}

function startUp(t: Test, ...argv: readonly string[]): Up {
  const child = spawn(process.execPath, [main, "up", ...argv], { env, stdio: ["ignore", "pipe", "pipe"] });
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => lines.push(line));
  }
  const line = (pattern: RegExp): Promise<string> =>
    eventually(() => {
      const found = lines.find((text) => pattern.test(text));
      if (found === undefined) throw new Error(`no line like ${pattern}:\n${lines.slice(-30).join("\n")}`);
      return found;
    });
  return { child, lines, line };
}

/** Asks again until it does not throw. */
async function eventually<T>(ask: () => T | Promise<T>): Promise<T> {
  for (const deadline = Date.now() + waitMsMax; ;) {
    try {
      return await ask();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await delay(50);
    }
  }
}

async function pidOf(directory: string): Promise<number> {
  return (JSON.parse(await readFile(join(directory, "run.json"), "utf8")) as { pid: number }).pid;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

t.test(
  "one command: a cloud, a node and a device, until a signal ends them all",
  { timeout: 90_000 },
  async (t) => {
    const dataDir = t.testdir({});
    const here = ["--data-dir", dataDir];
    const up = startUp(t, ...freePorts, ...here);
    const ready = JSON.parse((await up.line(/^ready /)).slice("ready ".length)) as Record<string, string>;
    t.match(ready, {
      link: /^wss:\/\/127\.0\.0\.1:\d+$/,
      api: /^https:\/\/127\.0\.0\.1:\d+$/,
      mqtt: /^mqtt:\/\/127\.0\.0\.1:\d+$/,
      edgeApi: /^http:\/\/127\.0\.0\.1:\d+$/,
      kubeconfig: join(dataDir, "cloud", "admin.kubeconfig"),
    });
    const pids = {
      cloud: await pidOf(join(dataDir, "cloud")),
      node: await pidOf(join(dataDir, "edge", "edge-node-1")),
    };
    const get = async (...more: string[]): Promise<DeviceAnswer> =>
      JSON.parse(
        (await run(["device", "get", "this-machine", "--json", ...here, ...more])).out,
      ) as DeviceAnswer;
    const noteIs = async (value: string, ...more: string[]): Promise<void> => {
      const { properties } = await get(...more);
      if (properties["note"]?.reported?.value !== value) throw new Error(`note is not ${value}`);
    };

    await t.test("the machine's values arrive in the cloud", async (t) => {
      const device = await eventually(async () => {
        const found = await get();
        if (found.properties["uptime"]?.reported === null) throw new Error("nothing is reported yet");
        return found;
      });
      t.match(device, {
        node: "edge-node-1",
        model: "this-machine",
        properties: { load: { type: "FLOAT" } },
        complete: true,
      });
      await up.line(/ cloud +default\/this-machine uptime \d+$/);
    });

    await t.test("what is wanted of the device, it does", async () => {
      await run(["device", "set", "this-machine", "interval", "2", ...here]);
      await eventually(async () => {
        const { reported, inSync } = (await get()).properties["interval"] ?? {};
        if (reported?.value !== "2" || inSync !== true) throw new Error("the interval is not 2");
      });
    });

    await t.test("a killed cloud stays down, and is told of; the node goes on", async (t) => {
      process.kill(pids.cloud, "SIGKILL");
      t.match(
        await up.line(/ cloud +down/),
        /killed by SIGKILL; back with: npx tidemark cloud .*--link-port \d+/,
      );
      const client = await mqtt.connectAsync(ready["mqtt"] ?? "");
      const payload = JSON.stringify({ twin: { note: { actual: { value: "meanwhile" } } } });
      await client.publishAsync("$hw/events/device/default/this-machine/twin/update", payload, { qos: 1 });
      await client.endAsync();
      await eventually(() => noteIs("meanwhile", "--side", "node"));
      await up.line(/ edge-node-1 +default\/this-machine note meanwhile$/);
      t.equal((await run(["device", "set", "this-machine", "interval", "2", ...here])).code, 69);
    });

    await t.test("started by hand, it is noticed, and has what happened meanwhile", async () => {
      const [, command = ""] = (await up.line(/ cloud +down/)).split("npx tidemark ");
      const cloud = spawn(process.execPath, [main, ...command.split(" "), "--bind-address", "127.0.0.1"], {
        env,
        stdio: "ignore",
      });
      t.teardown(async () => {
        cloud.kill("SIGTERM");
        if (cloud.exitCode === null) await once(cloud, "exit");
      });
      await up.line(new RegExp(` cloud +running, pid ${cloud.pid}, started by hand$`));
      await eventually(() => noteIs("meanwhile", "--side", "cloud"));
    });

    await t.test("a signal ends what it started, within 5 seconds", async (t) => {
      const begun = Date.now();
      up.child.kill("SIGTERM");
      const [code] = (await once(up.child, "exit")) as [number | null];
      t.equal(code, 0);
      t.ok(Date.now() - begun < 5000);
      t.equal(isAlive(pids.node), false, "the node has ended");
      t.match(up.lines.at(-1), / up +stopped$/);
    });
  },
);

t.test("killed itself, it leaves nothing behind", { timeout: 60_000 }, async (t) => {
  const dataDir = t.testdir({});
  const up = startUp(t, ...freePorts, "--no-device", "--data-dir", dataDir);
  await up.line(/^ready /);
  const pids = await Promise.all([
    pidOf(join(dataDir, "cloud")),
    pidOf(join(dataDir, "edge", "edge-node-1")),
  ]);
  up.child.kill("SIGKILL");
  await eventually(() => {
    if (pids.some(isAlive)) throw new Error("something still runs");
  });
  t.pass();
});

t.test("a data directory in use is refused: exit code 75", { timeout: 60_000 }, async (t) => {
  const here = ["--data-dir", t.testdir({})];
  const up = startUp(t, ...freePorts, "--no-device", ...here);
  await up.line(/^ready /);
  const second = await run(["up", ...freePorts, ...here]);
  t.equal(second.code, 75);
  t.match(second.err, /^error: a cloud runs from .* already \(pid \d+\)/);
  const cloud = await run(["cloud", "--bind-address", "127.0.0.1", "--link-port=0", "--api-port=0", ...here]);
  t.equal(cloud.code, 75);
  up.child.kill("SIGINT");
  t.same(await once(up.child, "exit"), [0, null]);
});
