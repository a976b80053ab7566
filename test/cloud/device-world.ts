/** A cluster log, nodes' logs and a DeviceController between them, all in memory; restarted and crashed at will. */
import { deviceKind, deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { Resources } from "../../cloud/api/resources.ts";
import { type DeviceController, createDeviceController } from "../../cloud/device-controller.ts";
import type { Event } from "../../core/event.ts";
import { currentLife } from "../../core/registers.ts";
import type { KubeObject } from "../../protocol/rest/objects.ts";
import { FakeReplica } from "./fake-replica.ts";
import { clock, environment } from "./fixtures.ts";

export class DeviceWorld {
  readonly #environment = environment();
  readonly nodes: Map<string, FakeReplica> = new Map();
  cluster: FakeReplica = new FakeReplica("cluster");
  resources: Resources;
  controller: DeviceController | undefined;

  constructor(...nodes: readonly string[]) {
    this.resources = this.#openResources();
    for (const node of nodes) this.nodes.set(node, new FakeReplica(`node/${node}`));
  }

  #openResources(): Resources {
    return new Resources({ log: this.cluster, clock, random: this.#environment.random });
  }

  start(): void {
    this.controller = createDeviceController({
      cluster: this.cluster,
      isWhole: () => true,
      nodes: () => this.nodes.keys(),
      nodeReplica: (node) => this.nodes.get(node),
      environment: this.#environment,
    });
  }

  /** The process dies: of each log `kept` of the events that wait are on the disk. */
  async crash(kept: number): Promise<void> {
    await this.controller?.close();
    const reopened = (log: FakeReplica): FakeReplica => {
      const { automatic } = log;
      log.automatic = false;
      log.commit(kept);
      log.refuse(undefined);
      log.fail();
      return new FakeReplica(log.id, { durable: log.events, automatic });
    };
    this.cluster = reopened(this.cluster);
    for (const [node, log] of this.nodes) this.nodes.set(node, reopened(log));
    this.resources = this.#openResources();
    this.start();
  }

  /** Everything found has been appended, and what was appended is durable. */
  async settle(): Promise<void> {
    await this.controller?.idle();
    for (const log of [this.cluster, ...this.nodes.values()]) log.commit();
    await this.controller?.idle();
  }

  putDevice(object: KubeObject): Promise<unknown> {
    return this.resources.put(deviceKind, refOf(object), object);
  }

  putModel(object: KubeObject): Promise<unknown> {
    return this.resources.put(deviceModelKind, refOf(object), object);
  }

  deleteDevice(name: string): Promise<unknown> {
    return this.resources.delete(deviceKind, { namespace: "default", name });
  }

  deleteModel(name: string): Promise<unknown> {
    return this.resources.delete(deviceModelKind, { namespace: "default", name });
  }

  /** What the cloud says in a node's log, by object: its uid, and what is wanted of each property. */
  told(node: string): Record<string, Record<string, unknown>> {
    const registers = this.nodes.get(node)?.registers;
    const objects: Record<string, Record<string, unknown>> = {};
    for (const key of registers?.objects.keys() ?? []) {
      const life = registers && currentLife(registers, key);
      if (life === undefined) continue;
      const body = life.slots.get("spec")?.cloud?.body as unknown as KubeObject;
      const told: Record<string, unknown> = { uid: body.metadata.uid, spec: body.spec };
      for (const [slot, { cloud }] of life.slots) {
        if (slot.startsWith("desired/") && cloud !== undefined && cloud.body !== null)
          told[slot] = cloud.body;
      }
      objects[key] = told;
    }
    return objects;
  }

  /** The events of a node's log from a position on, in short. */
  events(node: string, after: number = 0): readonly string[] {
    return (this.nodes.get(node)?.events ?? []).slice(after).map(inShort);
  }

  position(node: string): number {
    return this.nodes.get(node)?.position ?? 0;
  }
}

function refOf({ metadata }: KubeObject): { namespace: string; name: string } {
  return { namespace: "default", name: metadata.name };
}

function inShort({ type, key, slot, body }: Event): string {
  const [, , name] = key.split("/");
  if (type !== "twin.desired") return `${type} ${name}`;
  return `${type} ${name} ${slot?.slice("desired/".length)}=${Array.isArray(body) ? String(body[0]) : JSON.stringify(body)}`;
}
