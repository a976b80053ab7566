/** A cloud and its nodes in one world, with what was promised to whom. */
import type { Cloud } from "../../cloud/cloud.ts";
import type { Acks } from "../../core/acks.ts";
import { type Event, type Incarnation, clusterLog, nodeLog, sideOf } from "../../core/event.ts";
import type { MergingPace } from "../../core/merging.ts";
import { generationOf } from "../../core/generations.ts";
import { type Registers, registersProjection } from "../../core/registers.ts";
import type { RetentionPolicy } from "../../core/retention.ts";
import type { ForgettingPace } from "../../core/forgetting.ts";
import { type DiskSnapshot, MemoryDisk } from "../../core/store/memory.ts";
import { acksOn, eventsOn } from "./disk.ts";
import { ForgettingJudge } from "./forgetting.ts";
import { CloudHost, NodeHost } from "./hosts.ts";
import { Ledger } from "./ledger.ts";
import { Network, goodLine } from "./network.ts";
import { Sightings } from "./sightings.ts";
import { type Meeting, type Release, presentRelease } from "./versions.ts";
import type { World } from "./world.ts";

export interface ClusterOptions {
  readonly nodes: number;
  readonly devices: number;
  readonly merging: MergingPace;
  readonly releases?: Meeting<Release>;
  readonly retention?: RetentionPolicy;
}

const keepsNothing: RetentionPolicy = { resource: 0, twin: 0, telemetry: 0, message: 0, audit: 0 };

export const modelNames: readonly string[] = ["m1", "m2"];

export class Cluster {
  readonly world: World;
  readonly network: Network;
  readonly merging: MergingPace;
  readonly releases: Meeting<Release>;
  readonly cloud: CloudHost;
  /** The first machine of each node. */
  readonly nodes: readonly NodeHost[];
  /** Further machines, whose disks were cloned. */
  readonly clones: NodeHost[] = [];
  readonly ledger: Ledger = new Ledger();
  readonly sightings: Sightings = new Sightings();
  readonly pace: ForgettingPace;
  readonly forgetting: ForgettingJudge;
  /** Device names. */
  readonly devices: readonly string[];
  /** Machines whose disk was damaged in a way that leaves a trace in `log verify` for good. */
  readonly scarred: Set<string> = new Set();
  /** Machines whose disk kept a part of what was being written when it crashed. */
  readonly torn: Set<string> = new Set();
  /** Nodes that ever had two machines. */
  readonly forked: Set<string> = new Set();
  /** By node, what each copy that it was put back to knew the cloud to have. */
  readonly #copies = new Map<string, Acks[]>();

  constructor(
    world: World,
    { nodes, devices, merging, releases = presentRelease, retention = keepsNothing }: ClusterOptions,
  ) {
    this.world = world;
    this.releases = releases;
    // It forgets when it is told to.
    this.pace = { policy: retention, everyMs: 1e12, runBytes: 4000 };
    this.forgetting = new ForgettingJudge(this, retention);
    this.merging = merging;
    this.network = new Network(world);
    this.cloud = new CloudHost(this);
    const names = Array.from({ length: nodes }, (_, index) => `node-${index + 1}`);
    this.nodes = names.map((name) => new NodeHost(name, name, this));
    this.devices = Array.from({ length: devices }, (_, index) => `d${index + 1}`);
  }

  get hosts(): readonly (CloudHost | NodeHost)[] {
    return [this.cloud, ...this.nodes, ...this.clones];
  }

  /** Keys of all objects that may ever exist. */
  get keys(): readonly string[] {
    return [
      ...this.devices.map((name) => `devices/default/${name}`),
      ...modelNames.map((name) => `devicemodels/default/${name}`),
    ];
  }

  /** Machines that hold the log of a node, the cloud's not counted. */
  holders(node: string): readonly NodeHost[] {
    return [...this.nodes, ...this.clones].filter((host) => host.node === node);
  }

  start(): void {
    for (const host of this.hosts) host.start();
  }

  clone(original: NodeHost): NodeHost {
    const copy = new NodeHost(`${original.name}-copy-${this.clones.length + 1}`, original.node, this);
    copy.disk = new MemoryDisk(original.disk.snapshot());
    copy.release = original.release;
    this.clones.push(copy);
    this.forked.add(copy.node);
    return copy;
  }

  /** A person throws a copy away. */
  async removeClone(copy: NodeHost): Promise<void> {
    copy.retire();
    copy.crash();
    this.clones.splice(this.clones.indexOf(copy), 1);
    await this.recount();
  }

  /** An earlier copy is put in place of a machine's disk. */
  async putBack(host: CloudHost | NodeHost, copy: DiskSnapshot): Promise<void> {
    host.disk.restore(copy);
    if (!(host instanceof NodeHost)) return;
    const acks = await acksOn(copy, nodeLog(host.node));
    this.#copies.set(host.node, [...(this.#copies.get(host.node) ?? []), acks]);
  }

  /** Whether the node was put back to a copy that did not know that the cloud had this event. */
  wasPutBackBefore(node: string, { origin, seq }: Pick<Event, "origin" | "seq">): boolean {
    return this.#copies.get(node)?.some((acks) => (acks.get(origin) ?? 0) < seq) === true;
  }

  /** To be called when a disk has lost something: what no disk holds any more was lost honestly. */
  async recount(): Promise<void> {
    const held = new Map<string, Set<string>>();
    for (const { node } of this.nodes) {
      const values = new Set<string>();
      held.set(node, values);
      for (const { disk } of [this.cloud, ...this.holders(node)]) {
        for (const { body } of await eventsOn(disk.snapshot(), nodeLog(node), this.releases.late)) {
          if (Array.isArray(body)) values.add(String(body[0]));
        }
      }
    }
    this.ledger.disksHold((node) => held.get(node) ?? new Set());
  }

  /** To be called when the cloud's disk was put back: nobody else has the cluster log. */
  async recountCluster(): Promise<void> {
    const registers = registersProjection.initial();
    for (const event of await eventsOn(this.cloud.disk.snapshot(), clusterLog, this.releases.late)) {
      registersProjection.apply(registers, event);
    }
    // What was damaged before a snapshot is in that still, and not among the events.
    if (this.scarred.has(this.cloud.name)) this.ledger.forgetCluster();
    else this.ledger.clusterHolds(registers, this.keys);
    await this.recount();
  }

  /** No more faults: all machines up and of the latest version, all lines good, all clocks right, one machine for each node. */
  async heal(): Promise<void> {
    this.world.note("healing");
    for (const copy of this.clones.slice()) await this.removeClone(copy);
    // Where two machines held one log, the one that is left is started anew.
    for (const host of this.nodes) if (this.forked.has(host.node)) void host.stop();
    for (const host of this.hosts) {
      host.release = this.releases.late;
      if (host.isOutdated) void host.stop();
      host.disk.full = false;
      host.syncMs = 4;
      host.readMs = undefined;
      host.clock.skewMs = 0;
    }
    for (const node of this.nodes) {
      Object.assign(this.network.line(node.name), goodLine());
      node.bus.slowness = 0;
    }
    for (const host of this.hosts) host.startWhenStopped();
  }

  /** Whether both sides of every node are up, connected, and hold the same. */
  get isInStep(): boolean {
    return this.nodes.every((host) => this.isNodeInStep(host));
  }

  isNodeInStep(host: NodeHost): boolean {
    const cloud = this.cloud.product;
    return cloud !== undefined && isInStep(cloud, host);
  }
}

function isInStep(cloud: Cloud, { node, product: edge }: NodeHost): boolean {
  const log = cloud.nodes.get(node);
  if (edge === undefined || log === undefined) return false;
  if (edge.hub.link.state !== "Connected" || cloud.hub.link(node)?.state !== "Connected") return false;
  const here = edge.log.vector();
  const there = log.vector();
  const origins = [...Object.keys(here), ...Object.keys(there)] as Incarnation[];
  return origins.every((origin) => here[origin] === there[origin] || isForgotten(edge.log.registers, origin));
}

/** Whether an incarnation is of a cloud that was lost with its key: the cloud that followed it holds nothing of it. */
function isForgotten({ reset, generations }: Registers, origin: Incarnation): boolean {
  if (reset === undefined || sideOf(origin) !== "cloud") return false;
  return generationOf(generations, origin) < generationOf(generations, reset.origin);
}
