import t from "tap";
import { deviceKind, deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { Resources } from "../../cloud/api/resources.ts";
import { createDeviceController } from "../../cloud/device-controller.ts";
import { Committer } from "../../core/committer.ts";
import { checkpointPrefix } from "../../core/checkpoint.ts";
import { type LogId, clusterLog, nodeLog } from "../../core/event.ts";
import { Log } from "../../core/log.ts";
import { giveUp } from "../../core/log-repair.ts";
import { MemoryDisk, MemoryStore } from "../../core/store/memory.ts";
import { deviceView } from "../../protocol/devices/twin-view.ts";
import { device, environment, model } from "./fixtures.ts";

const at = { namespace: "default", name: "thermo-1" };

/** A cloud's logs and its controller, while `act` runs and until all is told. */
type Run = (act: (resources: Resources, node: Log, cluster: Log) => Promise<void>) => Promise<void>;

function runsOn(disk: MemoryDisk): Run {
  const world = environment();
  return async (act) => {
    const store = new MemoryStore(disk, world);
    await store.open();
    const committer = new Committer(store, world.timers);
    const open = (id: LogId): Promise<Log> => Log.open({ id, side: "cloud", committer, environment: world });
    const [cluster, node] = await Promise.all([open(clusterLog), open(nodeLog("edge-1"))]);
    const resources = new Resources({ log: cluster, clock: world.clock, random: world.random });
    const controller = createDeviceController({
      cluster,
      isWhole: () => cluster.problems.length === 0,
      nodes: () => ["edge-1"],
      nodeReplica: (name) => (name === "edge-1" ? node : undefined),
      environment: world,
    });
    await act(resources, node, cluster);
    await controller.idle();
    await controller.close();
    await Promise.all([cluster.close(), node.close()]);
    await store.close();
  };
}

t.test(
  "over real logs: declared in the cluster log, told in the node's, and still so after a restart",
  async (t) => {
    const run = runsOn(new MemoryDisk());
    await run(async (resources) => {
      await resources.put(deviceModelKind, { ...at, name: "thermo-model" }, model());
      await resources.put(deviceKind, at, device({ node: "edge-1", desired: { temp: "30" } }));
    });
    let position = 0;
    await run(async (resources, node) => {
      position = node.position;
      t.match(resources.get(deviceKind, at), { metadata: { generation: 1, resourceVersion: /^\d+$/ } });
      t.match(deviceView(node.registers, "default", "thermo-1", "edge-1"), {
        model: "thermo-model",
        properties: { temp: { type: "INT", desired: { value: "30" }, inSync: false } },
      });
    });
    await run(async (resources, node) => {
      t.equal(node.position, position, "the restart before had nothing to add");
      await resources.delete(deviceKind, at);
    });
    await run(async (_resources, node) => {
      t.equal(deviceView(node.registers, "default", "thermo-1", "edge-1"), undefined);
    });
  },
);

const other = { ...at, name: "thermo-2" };

/** Two devices are on their node, and of one the cluster log has lost that it was declared. */
async function lostDeclaration(): Promise<Run> {
  const disk = new MemoryDisk();
  const run = runsOn(disk);
  await run(async (resources) => {
    await resources.put(deviceModelKind, { ...at, name: "thermo-model" }, model());
    await resources.put(deviceKind, at, device({ node: "edge-1" }));
    await resources.put(deviceKind, other, device({ name: other.name, node: "edge-1" }));
  });
  const world = environment();
  const store = new MemoryStore(disk, world);
  await store.open();
  // Else it hides the damage.
  const checkpoints = await store.names(checkpointPrefix(clusterLog));
  await store.commit({ segments: [], values: new Map(checkpoints.map((name) => [name, undefined])) });
  await store.close();
  disk.lose(clusterLog, 2);
  return run;
}

function onNode(node: Log, name: string): unknown {
  return deviceView(node.registers, "default", name, "edge-1")?.name;
}

t.test("what the disk lost of the cluster log stays on its node until it is given up", async (t) => {
  const run = await lostDeclaration();
  await run(async (resources, _node, cluster) => {
    t.match(cluster.problems, [{ from: 2, to: 2 }, {}]);
    t.equal(resources.get(deviceKind, at), undefined);
    await resources.delete(deviceKind, other);
  });
  await run(async (_resources, node, cluster) => {
    t.equal(onNode(node, at.name), at.name);
    t.equal(onNode(node, other.name), undefined, "what was deleted goes");
    await giveUp(cluster, cluster.problems);
  });
  await run(async () => {});
  await run(async (_resources, node) => {
    t.equal(onNode(node, at.name), undefined);
  });
});

t.test(
  "what the disk lost of the cluster log goes from its node once it is declared on another",
  async () => {
    const run = await lostDeclaration();
    await run(async (resources, node) => {
      await resources.put(deviceKind, at, device({ node: "edge-2" }));
      while (onNode(node, at.name) !== undefined) await new Promise((resolve) => setImmediate(resolve));
    });
  },
);
