/** A cloud with one node, for tests that say themselves what goes wrong, and when. */
import type t from "tap";
import { deviceKind, deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { setDesired } from "../../cloud/api/set-desired.ts";
import type { Cloud } from "../../cloud/cloud.ts";
import { type Event, nodeLog } from "../../core/event.ts";
import type { Log } from "../../core/log.ts";
import type { MergingPace } from "../../core/merging.ts";
import { type DiskSnapshot, MemoryDisk } from "../../core/store/memory.ts";
import type { Edge } from "../../edge/edge.ts";
import { conflictPolicyAnnotation } from "../../protocol/devices/conflict-policy.ts";
import type { KubeObject } from "../../protocol/rest/objects.ts";
import { violations } from "./checkers.ts";
import { Cluster, type ClusterOptions } from "./cluster.ts";
import { eventsOn } from "./disk.ts";
import type { CloudHost, NodeHost } from "./hosts.ts";
import { neverMerges } from "./options.ts";
import { closeAll, converges } from "./run.ts";
import { type Meeting, type Release, presentOnly, releasesOf } from "./versions.ts";
import { Workload } from "./workload.ts";
import { World } from "./world.ts";

type Test = typeof t;

const namespace = "default";
const thermo = { namespace, name: "d1" } as const;

interface ScenarioOptions {
  readonly seed?: number;
  readonly merging?: MergingPace;
  /** Both begin with the early one. */
  readonly versions?: Meeting;
}

export class Scenario {
  readonly world: World;
  readonly cluster: Cluster;
  readonly workload: Workload;
  readonly #t: Pick<Test, "strictSame" | "ok" | "equal">;

  /** Both are up, connected, and have device `d1` of model `m1`. Nothing is merged unless said. */
  static async begin(
    t: Pick<Test, "strictSame" | "ok" | "equal">,
    { seed = 1, merging = neverMerges, versions = presentOnly }: ScenarioOptions = {},
  ): Promise<Scenario> {
    const scenario = new Scenario(t, seed, { merging, releases: await releasesOf(versions) });
    for (const host of scenario.cluster.hosts) host.release = scenario.cluster.releases.early;
    scenario.cluster.start();
    await scenario.run(100);
    await scenario.declare();
    await scenario.agrees();
    return scenario;
  }

  private constructor(
    t: Pick<Test, "strictSame" | "ok" | "equal">,
    seed: number,
    options: Pick<ClusterOptions, "merging" | "releases">,
  ) {
    this.#t = t;
    this.world = new World({ seed });
    this.cluster = new Cluster(this.world, { nodes: 1, devices: 1, ...options });
    this.workload = new Workload(this.cluster, { large: 0, contention: 0 });
  }

  get nodeHost(): NodeHost {
    return this.cluster.nodes[0] as NodeHost;
  }

  get cloudHost(): CloudHost {
    return this.cluster.cloud;
  }

  get edge(): Edge {
    return this.nodeHost.product as Edge;
  }

  get cloud(): Cloud {
    return this.cloudHost.product as Cloud;
  }

  /** The cloud's replica of the node's log. */
  get above(): Log {
    return this.cloud.nodes.get(this.nodeHost.node) as Log;
  }

  /** The node's own. */
  get below(): Log {
    return this.edge.log;
  }

  run(ms: number): Promise<boolean> {
    return this.world.run(this.world.nowMs + ms, () => this.world.failures.length > 0);
  }

  /** Turns until it is so. */
  async until(isSo: () => boolean, withinMs = 120_000): Promise<void> {
    const done = await this.world.run(this.world.nowMs + withinMs, isSo);
    this.#t.ok(done, `it came to be so within ${withinMs / 1000} s`);
  }

  /**
   * Declares the model and the device, or declares them again.
   * @param policy what the device says of conflicts
   * @param nodeName where the device is
   */
  async declare(policy?: string, nodeName: string = this.nodeHost.node): Promise<void> {
    const properties = ["temp", "mode"].map((name) => ({ name, type: "STRING", accessMode: "ReadWrite" }));
    const { resources } = this.cloud;
    await this.#done(
      resources.put(
        deviceModelKind,
        { namespace, name: "m1" },
        object("DeviceModel", "m1", { protocol: "sim", properties }),
      ),
    );
    const spec = { deviceModelRef: { name: "m1" }, nodeName };
    const device = object("Device", thermo.name, spec);
    const annotations = policy === undefined ? {} : { [conflictPolicyAnnotation]: policy };
    const said = { ...device, metadata: { ...device.metadata, annotations } };
    await this.#done(resources.put(deviceKind, thermo, said));
  }

  /** Says otherwise how the device's conflicts end. */
  async decideBy(policy: string): Promise<void> {
    await this.#done(
      this.cloud.resources.modify(deviceKind, thermo, ({ metadata, ...rest }) => {
        return { ...rest, metadata: { ...metadata, annotations: { [conflictPolicyAnnotation]: policy } } };
      }),
    );
  }

  async desire(value: string): Promise<void> {
    const { resources, environment } = this.cloud;
    await this.#done(setDesired(resources, environment.clock, thermo, { property: "temp", value }));
  }

  /** On the node, somebody wants something of the device's `temp`. @returns what, once it was acknowledged */
  async wish(): Promise<string> {
    const value = this.workload.wish(this.nodeHost, "d1", "temp");
    await this.until(() => this.cluster.ledger.published.get(value)?.acked === true);
    return value;
  }

  async #done(work: Promise<unknown>): Promise<void> {
    let isDone = false;
    void work.then(() => (isDone = true));
    await this.until(() => isDone);
  }

  /** Publishes so many values of the device's `mode`. @returns them, once they were acknowledged */
  async report(count: number, host: NodeHost = this.nodeHost): Promise<string[]> {
    const values = Array.from({ length: count }, () => this.workload.report(host, "d1", "mode"));
    const { published } = this.cluster.ledger;
    await this.until(() => values.every((value) => published.get(value)?.acked === true));
    return values;
  }

  /** The node's process ends cleanly, and another one starts. */
  async restartNode(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    void this.nodeHost.stop();
    await this.until(() => this.nodeHost.isDown);
    await meanwhile();
    this.nodeHost.start();
    await this.run(100);
  }

  /** The machine's process ends cleanly, and one of another version starts. */
  async update(host: CloudHost | NodeHost, release: Release = this.cluster.releases.late): Promise<void> {
    host.release = release;
    void host.stop();
    await this.until(() => host.isDown);
    host.start();
    await this.run(100);
  }

  /** The machine's disk is put back to an earlier copy of it. The process dies before, and runs after. */
  async rollBack(host: CloudHost | NodeHost, copy: DiskSnapshot): Promise<void> {
    host.crash();
    await this.cluster.putBack(host, copy);
    await this.#recount(host);
    host.start();
    await this.run(50);
  }

  /** The machine gets a new disk. */
  async wipe(host: CloudHost | NodeHost): Promise<void> {
    host.crash();
    host.disk = new MemoryDisk();
    await this.#recount(host);
    host.start();
    await this.run(50);
  }

  #recount(host: CloudHost | NodeHost): Promise<void> {
    return host === this.cloudHost ? this.cluster.recountCluster() : this.cluster.recount();
  }

  /** The line between the two is down, or up again. */
  partition(isPartition: boolean): void {
    this.cluster.network.line(this.nodeHost.node).isUp = !isPartition;
    if (isPartition) this.cluster.network.cut(this.nodeHost.node, () => 10);
  }

  /** Both sides come to agree, and what was promised is so. */
  async agrees(withinMs = 120_000): Promise<void> {
    await converges(this.cluster, withinMs);
    for (const { checker, reason } of await violations(this.cluster)) this.world.fail(checker, reason);
    this.#t.strictSame(this.world.failures, [], "both sides agree, and what was promised is so");
  }

  async end(): Promise<void> {
    await closeAll(this.cluster);
    this.#t.strictSame(this.world.failures, [], "all has ended cleanly");
  }

  /** The events of the node's log that the cloud's disk holds. */
  inCloud(): Promise<Event[]> {
    return eventsOn(this.cloudHost.disk.snapshot(), nodeLog(this.nodeHost.node), this.cluster.releases.late);
  }

  /** The values of the node's reports on the cloud's disk, by generation and sequence. */
  async valuesInCloud(): Promise<string[]> {
    const { generations } = this.above.registers;
    const generation = ({ origin }: Event): number => generations.get(origin) ?? 0;
    const events = (await this.inCloud()).filter(({ type }) => type === "twin.reported");
    events.sort((a, b) => generation(a) - generation(b) || a.seq - b.seq);
    return events.map(({ body }) => String((body as readonly unknown[])[0]));
  }
}

function object(kind: string, name: string, spec: KubeObject["spec"] & object): KubeObject {
  return { apiVersion: "devices.kubeedge.io/v1beta1", kind, metadata: { name, namespace }, spec };
}
