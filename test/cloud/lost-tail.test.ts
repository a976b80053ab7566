/** The end of the cluster log is lost without a word: it is found out by what the nodes' logs name, and nothing follows from it. */
import t from "tap";
import { deviceKind, deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { Cloud } from "../../cloud/cloud.ts";
import { findLost, renameAfter } from "../../cloud/lost-tail.ts";
import { Committer } from "../../core/committer.ts";
import { type Incarnation, clusterLog, nodeLog } from "../../core/event.ts";
import { Log } from "../../core/log.ts";
import { giveUp } from "../../core/log-repair.ts";
import { verifyLog } from "../../core/log-verify.ts";
import type { Environment, Timers } from "../../core/ports.ts";
import { currentLife } from "../../core/registers.ts";
import { MemoryDisk, MemoryStore } from "../../core/store/memory.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { countingRandom, device, environment, model } from "./fixtures.ts";

const node = "press-7";

/** What a cloud that has died still waits for keeps nobody waiting. */
const timers: Timers = {
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    if (delayMs > 1000) timer.unref();
    return () => clearTimeout(timer);
  },
  soon: (task) => void setImmediate(task),
};

/** A cloud that only ever crashes, as snapshots hide what is lost before them. */
class Machine {
  readonly disk = new MemoryDisk();
  readonly lines: string[] = [];
  readonly environment: Environment;
  #cloud: Cloud | undefined;

  constructor() {
    const log = (level: string, message: string, fields: { code?: unknown } = {}): void => {
      if (level === "error") this.lines.push(`${String(fields.code)} ${message}`);
    };
    this.environment = { ...environment(), timers, random: countingRandom(), logger: { log } };
  }

  get cloud(): Cloud {
    if (this.#cloud === undefined) throw new Error("it is down");
    return this.#cloud;
  }

  async start(): Promise<Cloud> {
    const store = new MemoryStore(this.disk, { timers, digest: nodeDigest });
    await store.open();
    const macKey = new Uint8Array(32);
    this.#cloud = await Cloud.open({ environment: this.environment, store, macKey, product: "test" });
    await this.#cloud.settled();
    return this.#cloud;
  }

  /** It dies, and the last `count` segments of the cluster log are gone with it. @returns what they held */
  async lose(count: number): Promise<{ origin: Incarnation; from: number; to: number }> {
    const { cluster } = this.cloud;
    const positions = (await this.cloud.cluster.read(1)).map(({ position }) => position).slice(-count);
    const origin = cluster.incarnation;
    const to = cluster.histories.get(origin)?.top ?? 0;
    this.disk.crash();
    for (const position of positions) this.disk.forget(clusterLog, position);
    return { origin, from: to - count + 1, to };
  }

  async declare(name: string, desired = "20"): Promise<void> {
    await this.cloud.resources.put(
      deviceKind,
      { namespace: "default", name },
      device({ name, node, desired: { temp: desired } }),
    );
    await this.cloud.settled();
  }

  /** What the cloud says in the node's log of what there is, and wants of it. */
  onNode(): string[] {
    const { registers } = this.cloud.nodes.get(node) as Log;
    return [...registers.objects.keys()].flatMap((key) => {
      const slots = currentLife(registers, key)?.slots;
      if (slots === undefined || !key.startsWith("devices/")) return [];
      const body = slots.get("desired/temp")?.cloud?.body;
      return [`${key.slice("devices/default/".length)} ${Array.isArray(body) ? String(body[0]) : ""}`];
    });
  }

  /** What the cause of the latest wish of a device is, as long as that is here. */
  async causeOf(name: string): Promise<unknown> {
    const { registers } = this.cloud.nodes.get(node) as Log;
    const slots = currentLife(registers, `devices/default/${name}`)?.slots;
    const [origin, seq] = (slots?.get("desired/temp")?.cloud?.cause ?? "/").split("/");
    const event = await this.cloud.cluster.eventAt(origin as Incarnation, Number(seq));
    return event?.key;
  }

  /** What a person does to a stopped cloud. */
  async giveUpAll(): Promise<void> {
    this.disk.crash();
    const store = new MemoryStore(this.disk, { timers, digest: nodeDigest });
    await store.open();
    const committer = new Committer(store, timers);
    const log = await Log.open({ id: clusterLog, side: "cloud", committer, environment: this.environment });
    await giveUp(log, log.problems);
    await log.close();
    await store.close();
  }
}

async function running(): Promise<Machine> {
  const machine = new Machine();
  await machine.start();
  await machine.cloud.resources.create(deviceModelKind, "default", model());
  await machine.declare("d1");
  return machine;
}

const code = "LOG_GAP";

t.test("where nothing is lost, nothing is said, and nothing gets another name", async (t) => {
  const machine = await running();
  const { incarnation } = machine.cloud.cluster;
  machine.disk.crash();
  await machine.start();
  t.equal(machine.cloud.cluster.incarnation, incarnation);
  t.same([machine.cloud.cluster.problems, machine.lines], [[], []]);
});

t.test("what a person names as the cause of a value loses nothing", async (t) => {
  const machine = await running();
  const { incarnation } = machine.cloud.cluster;
  const object = device({ name: "d1", node });
  const metadata = { conflict: `${incarnation}/999` };
  const spec = { ...object.spec, properties: [{ name: "temp", desired: { value: "25", metadata } }] };
  await machine.cloud.resources.put(deviceKind, { namespace: "default", name: "d1" }, { ...object, spec });
  await machine.cloud.settled();
  t.same(machine.onNode(), ["d1 25"]);
  machine.disk.crash();
  await machine.start();
  t.equal(machine.cloud.cluster.incarnation, incarnation);
  t.same([machine.cloud.cluster.problems, machine.lines], [[], []]);
});

t.test("a declaration that is lost is missed, and the device stays on its node", async (t) => {
  const machine = await running();
  await machine.declare("d2", "30");
  const { version } = machine.cloud.resources;
  const lost = await machine.lose(1);
  await machine.start();
  const { cluster, resources } = machine.cloud;
  t.same(cluster.problems, [{ code, ...lost }]);
  t.same((await verifyLog(cluster)).result.problems, [{ code, ...lost }]);
  t.match(machine.lines, [/^LOG_GAP .*lost its end/]);
  t.not(cluster.incarnation, lost.origin);
  t.same(machine.onNode(), ["d1 20", "d2 30"]);
  t.ok(resources.version > version, "no version is given out twice");

  // What comes after it takes no place that is named by what came of the lost one.
  await machine.declare("d3", "40");
  t.equal(await machine.causeOf("d2"), undefined);
  t.equal(await machine.causeOf("d3"), "devices/default/d3");
  t.equal(await machine.causeOf("d1"), "devices/default/d1");
  const { incarnation } = cluster;
  machine.disk.crash();
  await machine.start();
  t.equal(machine.cloud.cluster.incarnation, incarnation, "one loss, one name");
  t.same(machine.cloud.cluster.problems, [{ code, ...lost }]);
  t.same(machine.onNode(), ["d1 20", "d2 30", "d3 40"]);

  // Declared again, it is one object; the rest is as it was declared.
  await machine.declare("d2", "50");
  await machine.declare("d1", "60");
  t.same(machine.onNode().toSorted(), ["d1 60", "d2 50", "d3 40"]);
  machine.disk.crash();
  await machine.start();
  t.same(machine.onNode().toSorted(), ["d1 60", "d2 50", "d3 40"]);
});

t.test("given up, it is missed no more, and what nobody declares goes", async (t) => {
  const machine = await running();
  await machine.declare("d2");
  const lost = await machine.lose(1);
  await machine.start();
  await machine.giveUpAll();
  await machine.start();
  const { cluster } = machine.cloud;
  t.same([cluster.problems, (await verifyLog(cluster)).result.problems], [[], []]);
  t.same(machine.onNode(), ["d1 20"]);
  const [dropped] = (await cluster.read(1)).filter(({ type }) => type === "log.dropped");
  t.match(dropped?.body, { origin: lost.origin, from: lost.from, to: lost.to });
});

t.test("given up together with a hole in what came since", async (t) => {
  const machine = await running();
  await machine.declare("d2");
  await machine.lose(1);
  await machine.start();
  for (const name of ["d3", "d4"]) await machine.declare(name);
  const events = await machine.cloud.cluster.read(1);
  machine.disk.crash();
  machine.disk.forget(clusterLog, events.at(-2)?.position ?? 0);
  await machine.start();
  // The hole by its sequences and by its position, and the end before it.
  t.ok(machine.cloud.cluster.problems.length >= 2);
  t.same(machine.onNode().toSorted(), ["d1 20", "d2 20", "d3 20", "d4 20"]);
  await machine.giveUpAll();
  await machine.start();
  t.same(machine.cloud.cluster.problems, []);
  t.same(machine.onNode().toSorted(), ["d1 20", "d4 20"]);
  await machine.declare("d1", "90");
  machine.disk.crash();
  await machine.start();
  t.same(machine.cloud.cluster.problems, []);
  t.same(machine.onNode().toSorted(), ["d1 90", "d4 20"]);
});

t.test("given up together with a hole before it, under the older name", async (t) => {
  const machine = await running();
  for (const name of ["d2", "d3", "d4"]) await machine.declare(name);
  const hole = (await machine.cloud.cluster.read(1)).at(-3)?.position ?? 0;
  await machine.lose(1);
  machine.disk.forget(clusterLog, hole);
  await machine.start();
  t.same(machine.onNode().toSorted(), ["d1 20", "d2 20", "d3 20", "d4 20"]);
  await machine.giveUpAll();
  await machine.start();
  t.same(machine.cloud.cluster.problems, []);
  t.same((await verifyLog(machine.cloud.cluster)).result.problems, []);
  t.same(machine.onNode().toSorted(), ["d1 20", "d3 20"]);
});

t.test("a value that is lost: the node gets the one before it, and it is said why", async (t) => {
  const machine = await running();
  await machine.declare("d1", "30");
  const lost = await machine.lose(1);
  await machine.start();
  t.same(machine.cloud.cluster.problems, [{ code, ...lost }]);
  t.same(machine.onNode(), ["d1 20"]);
});

t.test("lost again, under the new name, and all of it", async (t) => {
  const machine = await running();
  await machine.declare("d2");
  const first = await machine.lose(1);
  await machine.start();
  await machine.declare("d3");
  await machine.declare("d1", "70");
  const second = await machine.lose(1);
  await machine.start();
  const both = [first, second].map((lost) => ({ code, ...lost }));
  t.same(machine.cloud.cluster.problems, both);
  t.same(machine.onNode().toSorted(), ["d1 20", "d2 20", "d3 20"]);
  await machine.declare("d1", "80");
  t.same(machine.onNode().toSorted(), ["d1 80", "d2 20", "d3 20"], "what was said last counts");
  machine.disk.crash();
  await machine.start();
  t.same(machine.onNode().toSorted(), ["d1 80", "d2 20", "d3 20"]);

  const young = await running();
  const { cluster } = young.cloud;
  const all = await young.lose(cluster.position);
  await young.start();
  t.same(young.cloud.cluster.problems, [{ code, ...all }]);
  t.same(young.onNode(), ["d1 20"]);
});

t.test("a crash after it got another name, and before that was said, changes nothing", async (t) => {
  const machine = await running();
  await machine.declare("d2");
  const lost = await machine.lose(1);
  const store = new MemoryStore(machine.disk, { timers, digest: nodeDigest });
  await store.open();
  const committer = new Committer(store, timers);
  const open = { side: "cloud", committer, environment: machine.environment } as const;
  const cluster = await Log.open({ ...open, id: clusterLog });
  const found = findLost(cluster, [await Log.open({ ...open, id: nodeLog(node) })]);
  t.same([...found], [[lost.origin, lost.to]]);
  await renameAfter(found, cluster);
  machine.disk.crash();
  await machine.start();
  t.same(machine.cloud.cluster.problems, [{ code, ...lost }]);
  t.same(machine.onNode().toSorted(), ["d1 20", "d2 20"]);
});
