import t from "tap";
import { deviceKind, deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { Resources } from "../../cloud/api/resources.ts";
import { createDeviceController } from "../../cloud/device-controller.ts";
import { Committer } from "../../core/committer.ts";
import { type LogId, clusterLog, nodeLog } from "../../core/event.ts";
import { Log } from "../../core/log.ts";
import { MemoryDisk, MemoryStore } from "../../core/store/memory.ts";
import { deviceView } from "../../protocol/devices/twin-view.ts";
import { device, environment, model } from "./fixtures.ts";

t.test(
  "over real logs: declared in the cluster log, told in the node's, and still so after a restart",
  async (t) => {
    const disk = new MemoryDisk();
    const at = { namespace: "default", name: "thermo-1" };
    const world = environment();

    const run = async (act: (resources: Resources, node: Log) => Promise<void>): Promise<void> => {
      const store = new MemoryStore(disk, world);
      await store.open();
      const committer = new Committer(store, world.timers);
      const open = (id: LogId): Promise<Log> =>
        Log.open({ id, side: "cloud", committer, environment: world });
      const [cluster, node] = await Promise.all([open(clusterLog), open(nodeLog("edge-1"))]);
      const resources = new Resources({ log: cluster, clock: world.clock, random: world.random });
      const controller = createDeviceController({
        cluster,
        nodes: () => ["edge-1"],
        nodeReplica: () => node,
        environment: world,
      });
      await act(resources, node);
      await controller.idle();
      await controller.close();
      await Promise.all([cluster.close(), node.close()]);
      await store.close();
    };

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
