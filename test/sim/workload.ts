/** What people and devices do while the simulation runs. */
import { deviceKind, deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { setDesired } from "../../cloud/api/set-desired.ts";
import type { Cloud } from "../../cloud/cloud.ts";
import { TidemarkError } from "../../core/errors.ts";
import type { Edge } from "../../edge/edge.ts";
import { conflictPolicyAnnotation } from "../../protocol/devices/conflict-policy.ts";
import { type DeviceCommand, parseTopic } from "../../protocol/devices/topics.ts";
import type { JsonObject, KubeObject, ObjectRef } from "../../protocol/rest/objects.ts";
import { isFailure } from "../../protocol/rest/status.ts";
import { type Cluster, modelNames } from "./cluster.ts";
import type { NodeHost } from "./hosts.ts";
import { type Published, markerField, policyField } from "./ledger.ts";
import type { RunOptions } from "./options.ts";
import type { Seeded } from "./random.ts";

/** Properties that the models may declare. */
const texts: readonly string[] = ["temp", "mode"];
const numbers: readonly string[] = ["level"];
const writable: readonly string[] = [...texts, ...numbers];
const fields: readonly string[] = [markerField, policyField, ...writable];
/** What may be said of conflicts. */
const policies: readonly (string | undefined)[] = [
  undefined,
  "cloud",
  "edge",
  "latest",
  "temp=cloud",
  "edge temp=latest",
  "latest mode=edge level=cloud",
];

export class Workload {
  readonly #cluster: Cluster;
  readonly #random: Seeded;
  readonly #large: number;
  readonly #contention: number;
  #isOver = false;

  constructor(cluster: Cluster, { large, contention }: Pick<RunOptions, "large" | "contention">) {
    this.#cluster = cluster;
    this.#large = large;
    this.#contention = contention;
    this.#random = cluster.world.random.fork();
  }

  /** Declares what most runs begin with, then acts again and again. */
  start(everyMs: number): void {
    const { world, devices } = this.#cluster;
    const again = (): void => {
      if (this.#isOver) return;
      this.#act();
      world.after(this.#random.wait(everyMs), again);
    };
    // The cloud is up a moment after the beginning.
    world.after(500, () => {
      for (const name of modelNames) this.#putModel(name);
      for (const name of devices) this.#putDevice(name);
    });
    world.after(1000, again);
  }

  stop(): void {
    this.#isOver = true;
  }

  /** One report and one wish for every device there is, to show that nothing is stuck. */
  touchAll(): void {
    const { cloud, nodes, devices } = this.#cluster;
    for (const host of nodes)
      for (const device of devices) if (host.product) this.report(host, device, "temp");
    if (cloud.product === undefined) return;
    for (const device of devices) this.desire(device, "temp");
  }

  #act(): void {
    const random = this.#random;
    const device = random.pick(this.#cluster.devices);
    if (random.chance(this.#contention)) {
      this.#contend(device, random.pick(writable));
      return;
    }
    const dice = random.fraction();
    if (dice < 0.02) this.#putModel(random.pick(modelNames));
    else if (dice < 0.025) this.#delete(deviceModelKind, random.pick(modelNames));
    else if (dice < 0.06) this.#putDevice(device);
    else if (dice < 0.08) this.#delete(deviceKind, device);
    else if (dice < 0.18) this.desire(device, random.pick(writable));
    else this.#deviceActs(device);
  }

  /** Both sides want something of one property, at about the same time. */
  #contend(device: string, property: string): void {
    const { world } = this.#cluster;
    const random = this.#random;
    for (const host of this.#machines) {
      world.after(random.between(0, 50), () => {
        if (!this.#isOver && host.product !== undefined) this.wish(host, device, property);
      });
    }
    world.after(random.between(0, 50), () => {
      if (!this.#isOver) this.desire(device, property);
    });
  }

  /** All that have a device's broker: only those where the device is declared take what it says. */
  get #machines(): readonly NodeHost[] {
    return [...this.#cluster.nodes, ...this.#cluster.clones];
  }

  #deviceActs(device: string): void {
    const random = this.#random;
    const host = random.pick(this.#machines);
    if (host.product === undefined) return;
    const dice = random.fraction();
    if (dice < 0.1) this.wish(host, device, random.pick(writable));
    else if (dice < 0.18) this.sayState(host, device, random.pick(["online", "offline", "ok"]));
    else if (dice < 0.21) this.#badInput(host, device);
    else if (dice < 0.24) this.#say(host, `${device}/twin/update`, { twin: { extra: null } });
    else {
      // Devices often say several things at once.
      const count = random.chance(0.1) ? random.between(5, 40) : 1;
      for (let index = 0; index < count; index += 1) {
        this.report(host, device, random.pick([...writable, "extra"]));
      }
    }
  }

  #value(property: string): string {
    return this.#cluster.ledger.nextValue(numbers.includes(property) ? "" : "v");
  }

  sayState(host: NodeHost, device: string, state: string): void {
    this.#say(host, `${device}/state/update`, { state });
  }

  /** @returns the value */
  report(host: NodeHost, device: string, property: string): string {
    const isLarge = this.#random.chance(this.#large) && texts.includes(property);
    return this.reportLong(host, device, property, isLarge ? this.#random.between(10_000, 60_000) : 0);
  }

  /** @param length of what follows the value, characters */
  reportLong(host: NodeHost, device: string, property: string, length: number): string {
    const value = this.#value(property);
    const said = length === 0 ? value : value.padEnd(20, ".") + this.#noise(length);
    this.#publish(host, device, said, { [property]: { actual: { value: said } } });
    return said;
  }

  /** Text that does not compress to nothing. */
  #noise(length: number): string {
    return Buffer.from(this.#random.bytes(Math.floor(length / 2))).toString("hex");
  }

  /** A device, or an application beside it, wants something. @returns the value */
  wish(host: NodeHost, device: string, property: string): string {
    const value = this.#value(property);
    this.#publish(host, device, value, { [property]: { expected: { value } } });
    return value;
  }

  #publish(host: NodeHost, device: string, value: string, twin: JsonObject): void {
    const { ledger } = this.#cluster;
    const published = ledger.publish({ value, node: host.node, publisher: `${host.name} ${device}` });
    this.#say(host, `${device}/twin/update`, { event_id: value.slice(0, 20), twin }, published);
  }

  #say(host: NodeHost, topic: string, message: JsonObject, published?: Published): void {
    this.#send(host, topic, Buffer.from(JSON.stringify(message)), published);
  }

  #badInput(host: NodeHost, device: string): void {
    const payload = this.#random.pick(["{", "[]", '{"twin":1}', '{"twin":{"level":{"actual":{"value":5}}}}']);
    this.#send(host, `${this.#random.pick([device, "nobody"])}/twin/update`, Buffer.from(payload));
  }

  /** @param topic begins with the device's name */
  #send(host: NodeHost, topic: string, payload: Buffer, published?: Published): void {
    const { world } = this.#cluster;
    const edge = host.product as Edge;
    const command = parseTopic(`$hw/events/device/${topic}`) as DeviceCommand;
    let isDone = false;
    edge.twin.receive(command, payload, (error) => {
      if (isDone) world.fail("process", `${host.name} answered a message twice`);
      isDone = true;
      if (error !== undefined || published === undefined) return;
      const { value } = published;
      if (host.refused.has(value.slice(0, 20))) return;
      published.acked = host.isDurable(value);
      // Whoever listens to answers would have been told of a refusal.
      if (!published.acked && !/^d[13579]/.test(topic))
        world.fail("ack", `${host.name} acked ${value}, which is not durable`);
    });
  }

  #putModel(name: string): void {
    const marker = this.#cluster.ledger.nextValue("w");
    const properties = [...texts, ...numbers]
      .filter(() => this.#random.chance(0.85))
      .map((property) => ({
        name: property,
        type: numbers.includes(property) ? "INT" : "STRING",
        accessMode: this.#random.chance(0.95) ? "ReadWrite" : "ReadOnly",
      }));
    const spec = { protocol: "sim", properties: [...properties, { name: "fixed", type: "STRING" }] };
    const object = this.#object("DeviceModel", name, marker, spec);
    const set = new Map([
      [markerField, marker],
      [policyField, policySaid(Number(marker.slice(1)))],
    ]);
    this.#write(`devicemodels/default/${name}`, set, (cloud) =>
      cloud.resources.put(deviceModelKind, ref(name), object),
    );
  }

  #putDevice(name: string): void {
    const random = this.#random;
    const marker = this.#cluster.ledger.nextValue("w");
    const set = new Map<string, string | undefined>(fields.map((field) => [field, undefined]));
    set.set(markerField, marker);
    set.set(policyField, policySaid(Number(marker.slice(1))));
    for (const property of writable) if (random.chance(0.3)) set.set(property, this.#value(property));
    const properties = writable.map((property) => {
      const value = set.get(property);
      return value === undefined ? { name: property } : { name: property, desired: { value } };
    });
    const nodeName = random.pick(this.#cluster.nodes).name;
    const spec = { deviceModelRef: { name: random.pick(modelNames) }, nodeName, properties };
    const object = this.#object("Device", name, marker, spec);
    this.#write(`devices/default/${name}`, set, (cloud) =>
      cloud.resources.put(deviceKind, ref(name), object),
    );
  }

  #object(kind: string, name: string, marker: string, spec: JsonObject): KubeObject {
    const annotations = { sim: marker, ...annotationOf(policySaid(Number(marker.slice(1)))) };
    const metadata = { name, namespace: "default", annotations };
    return { apiVersion: "devices.kubeedge.io/v1beta1", kind, metadata, spec };
  }

  #delete(kind: typeof deviceKind, name: string): void {
    const set = new Map<string, string | undefined>(fields.map((field) => [field, undefined]));
    this.#write(`${kind.plural}/default/${name}`, set, (cloud) => cloud.resources.delete(kind, ref(name)));
  }

  /** Somebody decides otherwise how the conflicts of a device, or of all of a model, end: old ones too. */
  changePolicy(): void {
    const random = this.#random;
    const isDevice = random.chance(0.7);
    const name = random.pick(isDevice ? this.#cluster.devices : modelNames);
    const kind = isDevice ? deviceKind : deviceModelKind;
    const policy = random.pick(policies);
    this.#write(`${kind.plural}/default/${name}`, new Map([[policyField, policy]]), (cloud) =>
      cloud.resources.modify(kind, ref(name), ({ metadata, ...rest }) => {
        const others = Object.entries(metadata.annotations ?? {}).filter(
          ([annotation]) => annotation !== conflictPolicyAnnotation,
        );
        const annotations = { ...Object.fromEntries(others), ...annotationOf(policy) };
        return { ...rest, metadata: { ...metadata, annotations } };
      }),
    );
  }

  desire(device: string, property: string): void {
    const value = this.#value(property);
    this.#write(`devices/default/${device}`, new Map([[property, value]]), (cloud) =>
      setDesired(cloud.resources, cloud.environment.clock, ref(device), { property, value }),
    );
  }

  /** Writes to the API. What is refused was never promised. */
  #write(
    key: string,
    set: ReadonlyMap<string, string | undefined>,
    write: (cloud: Cloud) => Promise<object>,
  ): void {
    const { cloud, ledger, world } = this.#cluster;
    if (cloud.product === undefined) return;
    const noted = ledger.write(key, set);
    write(cloud.product).then(
      (answer) => {
        if (isFailure(answer)) noted.refused();
        else noted.acked();
      },
      (error: unknown) => {
        if (error instanceof TidemarkError) return;
        world.fail("process", `a write threw ${String(error)}`);
      },
    );
  }
}

/** What is said of conflicts; nothing of chance, so that a seed does the same else as without it. */
function policySaid(count: number): string | undefined {
  return [undefined, "cloud", "edge", undefined, "latest"][count % 5];
}

function annotationOf(policy: string | undefined): Record<string, string> {
  return policy === undefined ? {} : { [conflictPolicyAnnotation]: policy };
}

function ref(name: string): ObjectRef {
  return { namespace: "default", name };
}
