/**
 * A simulated month of one node and its cloud, each under a limit, with real LevelDB: outages, kills, damaged tables,
 * conflicts. Time is virtual, so it takes minutes; the disk is real, so its bytes are.
 */
import { deviceKind, deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { setDesired } from "../../cloud/api/set-desired.ts";
import type { Cloud } from "../../cloud/cloud.ts";
import type { Log } from "../../core/log.ts";
import type { Edge } from "../../edge/edge.ts";
import { type DeviceCommand, deviceKey, parseTopic } from "../../protocol/devices/topics.ts";
import { Network } from "../sim/network.ts";
import { Seeded } from "../sim/random.ts";
import { World } from "../sim/world.ts";
import { CloudMachine, NodeMachine, node } from "./machine.ts";
import { Model, valueOf } from "./model.ts";
import { type PastFindings, askPast, noFindings } from "./past.ts";
import { RealDisk, damage } from "./real-disk.ts";
import { registersHash } from "./registers-hash.ts";

export interface MonthOptions {
  readonly seed: number;
  readonly days: number;
  readonly limitBytes: number;
  readonly directory: string;
  /** Each device says all its properties so often. */
  readonly reportEveryMs: number;
  readonly progress: (line: string) => void;
  /** Takes each line of what happens. */
  readonly print?: ((line: string) => void) | undefined;
}

export interface MonthResult {
  readonly failures: readonly string[];
  readonly model: Model;
  readonly past: PastFindings;
  readonly mostBytes: { readonly cloud: number; readonly node: number };
  readonly counts: Readonly<Record<string, number>>;
}

const hour = 3_600_000;
const day = 24 * hour;
const devices: readonly string[] = Array.from({ length: 10 }, (_, index) => `machine-${index}`);
const properties: readonly string[] = Array.from({ length: 20 }, (_, index) => `p${index}`);
const wanted = "wanted";

export class Month {
  readonly world: World;
  readonly network: Network;
  readonly cloud: CloudMachine;
  readonly node: NodeMachine;
  readonly model: Model = new Model();
  readonly past: PastFindings = noFindings();
  readonly counts: Record<string, number> = {
    outages: 0,
    kills: 0,
    stops: 0,
    damages: 0,
    agreements: 0,
    deltas: 0,
    refused: 0,
    "acknowledged offline": 0,
  };
  readonly #options: MonthOptions;
  readonly #random: Seeded;
  #number = 0;
  #wish = 0;
  #isOver = false;
  /** Messages not acknowledged yet: publishers wait for that before they say more. */
  readonly #waiting = new Set<string>();

  constructor(options: MonthOptions) {
    const { seed, directory, limitBytes, print } = options;
    const disk = new RealDisk();
    const world = new World({ seed, print, settles: () => disk.settles() });
    this.#options = options;
    this.world = world;
    this.#random = new Seeded(seed, 9);
    this.network = new Network(world);
    const machine = { world, network: this.network, disk, directory, limitBytes };
    this.cloud = new CloudMachine(machine, (cloud) => {
      cloud.onNode((_, log) => this.#watchCloud(log));
    });
    const bus = {
      hasSubscriber: (topic: string): boolean => topic.endsWith("/delta"),
      publish: (): boolean => {
        this.#count("deltas");
        return true;
      },
    };
    this.node = new NodeMachine(machine, bus, (edge) => {
      // Those of a process that is gone wait for nothing any more.
      this.#waiting.clear();
      edge.log.onVisible((events) => this.model.onNode(events));
    });
  }

  #watchCloud(log: Log): void {
    log.onVisible((events) => this.model.onCloud(events));
  }

  #count(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }

  async run(): Promise<MonthResult> {
    const { world, model, cloud, node: edge, past, counts } = this;
    const { days, progress } = this.#options;
    cloud.start();
    edge.start();
    await this.#until(() => cloud.product !== undefined && edge.product !== undefined, "both are up", hour);
    this.#declare();
    await this.#for(60_000);
    this.#report();
    this.#plan();
    const stepMs = Math.min(day, (days * day) / 4);
    for (let nth = 1; nth * stepMs <= days * day && this.#isSound; nth += 1) {
      await this.#for(stepMs);
      if (nth % 2 === 0) await this.#look();
      const [here, there] = await Promise.all([this.#sizeOf(edge), this.#sizeOf(cloud)]);
      progress(
        `day ${(nth * stepMs) / day}: ${model.reports} reports on the node, ${model.arrived} in the cloud; ${here} and ${there} MiB`,
      );
    }
    await this.#look();
    await this.#finish();
    const failures = [...world.failures, ...model.failures];
    const mostBytes = { cloud: cloud.mostBytes, node: edge.mostBytes };
    return { failures, model, past, mostBytes, counts };
  }

  async #sizeOf(machine: CloudMachine | NodeMachine): Promise<string> {
    await machine.room?.measure();
    return ((machine.room?.state.usedBytes ?? 0) / 2 ** 20).toFixed(1);
  }

  get #isSound(): boolean {
    return this.world.failures.length === 0 && this.model.failures.length === 0;
  }

  #for(ms: number): Promise<boolean> {
    return this.world.run(this.world.nowMs + ms, () => !this.#isSound);
  }

  async #until(isSo: () => boolean, what: string, withinMs: number): Promise<void> {
    const done = await this.world.run(this.world.nowMs + withinMs, () => isSo() || !this.#isSound);
    if (!done && !isSo()) this.world.fail("step", `not within ${withinMs / 1000} s: ${what}`);
  }

  #declare(): void {
    const { resources } = this.cloud.product as Cloud;
    const model = {
      protocol: "sim",
      properties: [wanted, ...properties].map((name) => ({ name, type: "INT", accessMode: "ReadWrite" })),
    };
    const put = (kind: typeof deviceKind, name: string, kindName: string, spec: object): void => {
      const metadata = { name, namespace: "default" };
      const object = { apiVersion: "devices.kubeedge.io/v1beta1", kind: kindName, metadata, spec };
      void resources.put(kind, { name, namespace: "default" }, object as never);
    };
    put(deviceModelKind, "m", "DeviceModel", model);
    for (const name of devices) {
      put(deviceKind, name, "Device", {
        deviceModelRef: { name: "m" },
        nodeName: node,
        properties: [{ name: wanted }],
      });
    }
  }

  /** Each device says everything it knows, again and again; and waits for its acknowledgement. */
  #report(): void {
    const { reportEveryMs } = this.#options;
    devices.forEach((device, index) => {
      const again = (): void => {
        if (this.#isOver) return;
        if (!this.#waiting.has(device)) this.#say(device);
        this.world.after(reportEveryMs, again);
      };
      this.world.after((reportEveryMs * index) / devices.length, again);
    });
  }

  #say(device: string): void {
    const edge = this.node.product;
    if (edge === undefined) return;
    this.#number += 1;
    const value = this.#number;
    const twin = Object.fromEntries(
      properties.map((name) => [name, { actual: { value: String(valueOf(value, this.#random)) } }]),
    );
    this.#waiting.add(device);
    this.model.published += 1;
    const before = this.model.reports;
    this.#send(edge, device, { twin }, (error) => {
      this.#waiting.delete(device);
      if (error !== undefined) return;
      if (this.model.reports < before + properties.length)
        this.world.fail("ack", `message ${value} of ${device} was acknowledged, and is not durable`);
      this.model.acknowledged += 1;
      if (edge.hub.link.state !== "Connected") this.#count("acknowledged offline");
    });
  }

  #send(edge: Edge, device: string, message: object, done: (error?: unknown) => void): void {
    const command = parseTopic(`$hw/events/device/${device}/twin/update`) as DeviceCommand;
    edge.twin.receive(command, Buffer.from(JSON.stringify(message)), done);
  }

  /** What goes wrong, and when. */
  #plan(): void {
    const { days } = this.#options;
    this.#every(0.9 * day, 0.2 * day, () => this.#outage(this.#random.between(10 * 60_000, 8 * hour)));
    // So long that not all that is said meanwhile has room.
    this.world.after(0.4 * days * day, () => this.#outage(0.4 * days * day));
    this.#every(7 * hour, 2 * hour, () => this.#kill(this.#random.pick([this.cloud, this.node, this.node])));
    this.#every(26 * hour, 5 * hour, () => this.#restart(this.#random.pick([this.cloud, this.node])));
    this.#every(days * day * 0.21, hour, () => void this.#damage(this.#random.pick([this.node, this.cloud])));
    this.#every(2 * hour, hour, () => this.#want());
  }

  #every(ms: number, jitterMs: number, act: () => void): void {
    this.world.after(ms + this.#random.between(0, jitterMs), () => {
      if (this.#isOver) return;
      act();
      this.#every(ms, jitterMs, act);
    });
  }

  get #line(): ReturnType<Network["line"]> {
    return this.network.line(node);
  }

  #outage(ms: number): void {
    if (!this.#line.isUp) return;
    this.#count("outages");
    this.#line.isUp = false;
    this.network.cut(node, () => this.#random.between(10, 60_000));
    this.world.after(ms, () => {
      this.#line.isUp = true;
    });
  }

  #kill(machine: CloudMachine | NodeMachine): void {
    if (machine.product === undefined) return;
    this.#count("kills");
    machine.crash();
    this.world.after(this.#random.between(100, 20_000), () => machine.start());
  }

  #restart(machine: CloudMachine | NodeMachine): void {
    if (machine.product === undefined) return;
    this.#count("stops");
    machine.stop();
    this.world.after(this.#random.between(100, 120_000), () => machine.start());
  }

  /** While a process is not there, some of its disk is not what it was. */
  async #damage(machine: CloudMachine | NodeMachine): Promise<void> {
    if (machine.product === undefined || !this.#line.isUp) return;
    this.#count("damages");
    machine.stop();
    await this.#idle(machine);
    this.world.note(
      `${machine.name}: ${await machine.options.disk.track(damage(machine.logDirectory, this.#random))}`,
    );
    machine.start();
  }

  #idle(machine: CloudMachine | NodeMachine): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (machine.isIdle) resolve();
        else this.world.after(10, look);
      };
      look();
    });
  }

  /** Somebody wants something; now and then on both sides, neither knowing of the other. */
  #want(): void {
    const device = this.#random.pick(devices);
    const cloud = this.cloud.product;
    const edge = this.node.product;
    this.#wish += 1;
    const ref = { namespace: "default", name: device };
    const value = String(this.#wish);
    if (cloud !== undefined) {
      const change = { property: wanted, value };
      void setDesired(cloud.resources, cloud.environment.clock, ref, change).catch(() =>
        this.#count("refused"),
      );
    }
    if (edge === undefined || this.#line.isUp || !this.#random.chance(0.5)) return;
    this.#count("wishes on both sides");
    this.#send(edge, device, { twin: { [wanted]: { expected: { value: `9${value}` } } } }, () => undefined);
  }

  get #isInStep(): boolean {
    const above = this.cloud.product?.nodes.get(node);
    const below = this.node.product?.log;
    if (above === undefined || below === undefined) return false;
    if (this.node.product?.hub.link.state !== "Connected") return false;
    const [here, there] = [below.vector(), above.vector()] as Record<string, number>[];
    return Object.keys({ ...here, ...there }).every((origin) => here?.[origin] === there?.[origin]);
  }

  /** Once both sides are in step again: they agree, and the past is what it was. */
  async #look(): Promise<void> {
    if (this.#line.isUp) {
      await this.#until(() => this.#isInStep, "both sides are in step", 6 * hour);
      this.#agree();
    }
    const above = this.cloud.product?.nodes.get(node);
    const below = this.node.product?.log;
    for (const log of [above, below]) {
      if (log === undefined || !log.isOpen) continue;
      const keys = devices.map((name) => deviceKey("default", name));
      const wrong = await this.#settled(
        askPast({ log, keys, model: this.model, random: this.#random, findings: this.past }),
      );
      for (const each of wrong) this.world.fail("past", `${log.side}: ${each}`);
    }
  }

  /** Turns until it is done. */
  async #settled<T>(work: Promise<T>): Promise<T> {
    let isDone = false;
    void work.finally(() => (isDone = true)).catch(() => undefined);
    await this.world.run(this.world.nowMs + hour, () => isDone);
    return work;
  }

  #agree(): void {
    const above = this.cloud.product?.nodes.get(node);
    const below = this.node.product?.log;
    if (above === undefined || below === undefined || !this.#isInStep) return;
    this.#count("agreements");
    if (registersHash(above) !== registersHash(below))
      this.world.fail("states", "both sides hold the same, and do not agree");
  }

  async #finish(): Promise<void> {
    this.#isOver = true;
    this.#line.isUp = true;
    for (const machine of [this.cloud, this.node]) {
      await this.world.run(this.world.nowMs + hour, () => machine.isIdle);
      if (machine.product === undefined) machine.start();
    }
    await this.#until(() => this.#isInStep, "both sides are in step at the end", 6 * hour);
    await this.#for(10 * 60_000);
    this.#agree();
    const above = this.cloud.product?.nodes.get(node);
    const below = this.node.product?.log;
    for (const log of [above, below]) {
      const problems = log?.problems ?? [];
      if (problems.length > 0) this.world.fail("log", `${log?.side} still lacks ${JSON.stringify(problems)}`);
    }
    const { lost } = this.model;
    if (lost.unnamed.length > 0)
      this.world.fail("promises", `gone without a word: ${lost.unnamed.join(", ")}`);
    for (const machine of [this.cloud, this.node]) machine.stop();
    await this.world.run(this.world.nowMs + hour, () => this.cloud.isIdle && this.node.isIdle);
  }
}

export async function runMonth(options: MonthOptions): Promise<MonthResult> {
  return new Month(options).run();
}
