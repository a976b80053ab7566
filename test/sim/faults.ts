/** The faults of a run: each kind that its seed chose happens again and again, until healing. */
import { type LogId, clusterLog, nodeLog, sideOf } from "../../core/event.ts";
import type { ReadRecord } from "../../core/store-port.ts";
import { type CrashFate, type DiskSnapshot, MemoryDisk } from "../../core/store/memory.ts";
import { isWhole, recordsOn, sequencesOn } from "./disk.ts";
import type { Cluster } from "./cluster.ts";
import { CloudHost, NodeHost } from "./hosts.ts";
import type { FaultKind, RunOptions } from "./options.ts";
import type { Seeded } from "./random.ts";
import type { Release } from "./versions.ts";
import type { Workload } from "./workload.ts";
import { epochMs } from "./world.ts";

type AnyHost = CloudHost | NodeHost;

const damages = ["damage", "lose", "forget"] as const;
const clonesMax = 1;

type LineFault = Extract<FaultKind, "cut" | "halfOpen" | "partition" | "oneWay" | "slowLine" | "duplicate">;

export class Faults {
  readonly #cluster: Cluster;
  readonly #workload: Workload;
  readonly #random: Seeded;
  readonly #kinds: RunOptions["faults"];
  /** Backups of each machine's disk, oldest first. */
  readonly #backups = new Map<string, DiskSnapshot[]>();
  /** Machines whose disk has lost something. */
  readonly #lossy = new Set<string>();
  #isOver = false;

  constructor(cluster: Cluster, workload: Workload, faults: RunOptions["faults"]) {
    this.#cluster = cluster;
    this.#workload = workload;
    this.#random = cluster.world.random.fork();
    this.#kinds = faults;
    // Nobody updates all machines at once, or begins with none that is new.
    if (faults.has("updateNode") || faults.has("updateCloud")) {
      for (const host of cluster.hosts) host.release = this.#release();
    }
  }

  start(): void {
    for (const [kind, everyMs] of this.#kinds) this.#later(everyMs, () => this.#strike(kind));
    const everyMs = this.#kinds.get("rollbackCloud") ?? this.#kinds.get("rollbackNode");
    if (everyMs === undefined) return;
    this.#later(everyMs / 2, () => {
      this.#backUp(this.#random.pick(this.#cluster.hosts));
    });
  }

  stop(): void {
    this.#isOver = true;
  }

  #later(everyMs: number, act: () => void): void {
    this.#cluster.world.after(this.#random.wait(everyMs), () => {
      if (this.#isOver) return;
      act();
      this.#later(everyMs, act);
    });
  }

  #until(ms: number, end: () => void): void {
    this.#cluster.world.after(ms, () => {
      if (!this.#isOver) end();
    });
  }

  #node(): NodeHost {
    return this.#random.pick([...this.#cluster.nodes, ...this.#cluster.clones]);
  }

  #strike(kind: FaultKind): void {
    const { cloud, world } = this.#cluster;
    world.note(`fault ${kind}`);
    const isCloud = kind.endsWith("Cloud");
    const host = isCloud ? cloud : this.#node();
    switch (kind) {
      case "cut":
      case "halfOpen":
      case "partition":
      case "oneWay":
      case "slowLine":
      case "duplicate":
        this.#strikeLine(kind, (host as NodeHost).node);
        return;
      case "slowDisk":
        this.#random.pick(this.#cluster.hosts).syncMs = this.#random.pick([4, 50, 1000, 2500]);
        return;
      case "slowReads":
        this.#random.pick(this.#cluster.hosts).readMs = this.#random.pick([undefined, 0, 5, 200]);
        return;
      case "slowSubscriber":
        (host as NodeHost).bus.slowness = this.#random.chance(0.5) ? 0 : 0.3;
        return;
      case "stopNode":
      case "stopCloud":
        void host.stop().then(() => this.#restart(host));
        return;
      case "crashNode":
      case "crashCloud":
        this.#crash(host);
        this.#restart(host);
        return;
      case "rollbackNode":
      case "rollbackCloud":
        void this.#rollBack(host);
        return;
      case "wipeNode":
      case "wipeCloud":
        void this.#wipe(host);
        return;
      case "clone":
        this.#clone();
        return;
      case "damageNode":
      case "damageCloud":
        void this.#damage(host);
        return;
      case "fullNode":
      case "fullCloud":
        host.disk.full = true;
        this.#until(this.#random.between(500, 10_000), () => (host.disk.full = false));
        return;
      case "clockJump":
        this.#jump(this.#random.pick(this.#cluster.hosts));
        return;
      case "forget":
        void this.#forget(this.#random.pick(this.#cluster.hosts));
        return;
      case "policy":
        this.#workload.changePolicy();
        return;
      case "updateNode":
      case "updateCloud":
        void this.#update(host);
        return;
      case "crashStarting":
      case "tornDisk":
      case "loseKey":
        // These say how other faults go.
        return;
      default:
        kind satisfies never;
    }
  }

  #strikeLine(kind: LineFault, node: string): void {
    const random = this.#random;
    const { network } = this.#cluster;
    const line = network.line(node);
    const soon = (): number => random.between(0, 2000);
    switch (kind) {
      case "cut":
        network.cut(node, soon);
        return;
      case "halfOpen":
        network.cut(node, () => (random.chance(0.5) ? Number.POSITIVE_INFINITY : soon()));
        return;
      case "partition":
        line.isUp = false;
        network.cut(node, () => random.between(0, 30_000));
        this.#until(random.between(1000, 20_000), () => (line.isUp = true));
        return;
      case "oneWay":
        line.deafSide = random.pick(["cloud", "node"]);
        this.#until(random.between(1000, 60_000), () => (line.deafSide = undefined));
        return;
      case "slowLine":
        line.delayMs = random.pick([5, 100, 1500]);
        line.jitterMs = random.pick([0, 50, 1000]);
        line.bytesPerMs = random.pick([4, 20, 1000]);
        return;
      case "duplicate":
        line.duplicates = random.chance(0.5) ? 0 : 0.05;
        return;
      default:
        kind satisfies never;
    }
  }

  #fate(host: AnyHost): CrashFate {
    const random = this.#random;
    if (!this.#kinds.has("tornDisk")) return {};
    const reached = random.between(0, host.disk.unsynced);
    if (random.chance(0.5)) return { reached };
    this.#cluster.torn.add(host.name);
    return { reached, torn: "damaged" };
  }

  #crash(host: AnyHost): void {
    const random = this.#random;
    // A process that is killed leaves its kernel behind; a machine without power leaves nothing.
    const silenceMs = random.chance(0.5) ? undefined : random.pick([1000, 20_000, Number.POSITIVE_INFINITY]);
    host.crash(this.#fate(host), silenceMs);
  }

  #restart(host: AnyHost): void {
    const delayMs = this.#random.pick([0, 100, 3000, 15_000]);
    this.#until(delayMs, () => {
      host.start();
      this.#crashAsItStarts(host);
    });
  }

  /** A board with a bad supply: it dies while it comes up, or just after. */
  #crashAsItStarts(host: AnyHost): void {
    if (!this.#kinds.has("crashStarting") || !this.#random.chance(0.5)) return;
    const { starts } = host;
    this.#until(this.#random.pick([0, 1, 2, 5, 10, 30, 100]), () => {
      if (host.starts !== starts || host.isDown) return;
      this.#crash(host);
      this.#restart(host);
    });
  }

  #release(): Release {
    const { early, late } = this.#cluster.releases;
    return this.#random.chance(0.5) ? early : late;
  }

  /** Another version is installed, a newer one or the one before it: sometimes while the process is not yet ended. */
  async #update(host: AnyHost): Promise<void> {
    host.release = this.#release();
    if (this.#random.chance(0.5)) await host.stop();
    else this.#crash(host);
    this.#restart(host);
  }

  /** What is not in a snapshot yet is not forgotten: often the machine takes one first, or is started anew. */
  async #forget(host: AnyHost): Promise<void> {
    if (this.#random.chance(0.3)) {
      await host.stop();
      this.#restart(host);
    }
    const isFresh = this.#random.chance(0.7);
    this.#until(this.#random.between(0, 3000), () => void this.#cluster.forgetting.pass(host, isFresh));
  }

  #backUp(host: AnyHost): void {
    const backups = [...(this.#backups.get(host.name) ?? []), host.disk.snapshot()];
    this.#backups.set(host.name, backups.slice(-4));
    this.#cluster.world.note(`${host.name} is backed up`);
  }

  /** An earlier copy is put in place of the disk. */
  async #rollBack(host: AnyHost): Promise<void> {
    const backups = this.#backups.get(host.name);
    if (backups === undefined || !(await this.#othersAreWhole(host))) return;
    if (!(await this.#isRecovered(host, this.#cluster.scarred))) return;
    this.#lossy.add(host.name);
    this.#crash(host);
    const chosen = this.#random.between(0, backups.length - 1);
    await this.#cluster.putBack(host, backups[chosen] as DiskSnapshot);
    // What was to come after it is a time that never was.
    this.#backups.set(host.name, backups.slice(0, chosen + 1));
    this.#cluster.world.note(`${host.name} is rolled back`);
    await this.#recount(host);
    this.#restart(host);
  }

  /** The disk is new. Of the cloud, the key may be gone with it. */
  async #wipe(host: AnyHost): Promise<void> {
    if (!(await this.#othersAreWhole(host))) return;
    this.#lossy.add(host.name);
    this.#crash(host);
    host.disk = new MemoryDisk();
    this.#backups.delete(host.name);
    if (host instanceof CloudHost && this.#kinds.has("loseKey")) host.macKey = this.#random.bytes(32);
    this.#cluster.world.note(`${host.name} is wiped`);
    await this.#recount(host);
    this.#restart(host);
  }

  /** The machines that hold the same logs as this one, each with such a log. */
  #others(host: AnyHost): (readonly [AnyHost, LogId])[] {
    const { cloud, nodes, clones } = this.#cluster;
    if (host instanceof NodeHost) return [[cloud, nodeLog(host.node)]];
    return [...nodes, ...clones].map((other) => [other, nodeLog(other.node)]);
  }

  /** What one disk has lost only the others can give back: they don't lose theirs before that. */
  async #othersAreWhole(host: AnyHost): Promise<boolean> {
    for (const [{ disk }, log] of this.#others(host))
      if (!(await isWhole(disk.snapshot(), log, this.#cluster.releases.late))) return false;
    return true;
  }

  #clone(): void {
    const cluster = this.#cluster;
    if (cluster.clones.length >= clonesMax) {
      const [copy] = cluster.clones;
      if (copy !== undefined) void cluster.removeClone(copy);
      return;
    }
    const copy = cluster.clone(this.#random.pick(cluster.nodes));
    cluster.world.note(`${copy.name} is a clone of ${copy.node}`);
    this.#restart(copy);
  }

  async #damage(host: AnyHost): Promise<void> {
    const cluster = this.#cluster;
    const logs = this.#others(host).map(([, log]) => log);
    const log = this.#random.pick(host instanceof CloudHost ? [clusterLog, ...logs] : logs);
    const records = (await recordsOn(host.disk.snapshot(), log)).filter(
      ({ segment }) => segment !== undefined,
    );
    if (records.length === 0) return;
    const record = this.#random.pick(records);
    if (!(await this.#isRecovered(host, this.#lossy)) || !(await this.#mayLose(host, log, record))) return;
    this.#lossy.add(host.name);
    this.#crash(host);
    const damage = this.#random.pick(damages);
    host.disk[damage](log, record.position);
    cluster.world.note(`${host.name}: ${damage} of ${log} at ${record.position}`);
    cluster.scarred.add(host.name);
    this.#backups.delete(host.name);
    if (log === clusterLog) cluster.ledger.forgetCluster();
    await cluster.recount();
    this.#restart(host);
  }

  /** Whether what this disk lost before, if it is among `lossy`, has come back, and both sides agree about it. */
  async #isRecovered(host: AnyHost, lossy: ReadonlySet<string>): Promise<boolean> {
    if (!lossy.has(host.name)) return true;
    if (!this.#cluster.isInStep) return false;
    const snapshot = host.disk.snapshot();
    for (const [, log] of this.#others(host))
      if (!(await isWhole(snapshot, log, this.#cluster.releases.late))) return false;
    return true;
  }

  /** Whether somebody else, who has lost nothing, has what a record holds, or has never heard of it. */
  async #mayLose(host: AnyHost, log: LogId, { origin, lo = 0, count = 0 }: ReadRecord): Promise<boolean> {
    if (log === clusterLog || origin === undefined) return true;
    const side = host instanceof CloudHost ? "cloud" : "node";
    for (const [other, held] of this.#others(host)) {
      if (held !== log) continue;
      if (!(await this.#isRecovered(other, this.#lossy))) return false;
      const { disk } = other;
      const sequences =
        (await sequencesOn(disk.snapshot(), log, this.#cluster.releases.late)).get(origin) ?? new Set();
      const top = Math.max(0, ...sequences);
      const isThere = Array.from({ length: count }, (_, index) => lo + index).every((seq) =>
        sequences.has(seq),
      );
      if (!isThere && (top >= lo || sideOf(origin) !== side)) return false;
    }
    return true;
  }

  #recount(host: AnyHost): Promise<void> {
    return host instanceof CloudHost ? this.#cluster.recountCluster() : this.#cluster.recount();
  }

  #jump(host: AnyHost): void {
    const random = this.#random;
    const hour = 3_600_000;
    const now = epochMs + this.#cluster.world.nowMs;
    const to = random.pick([
      now,
      now,
      random.between(0, 5000),
      4_102_444_800_000,
      now - hour,
      now + hour,
      now + 30_000,
    ]);
    host.clock.set(to);
    this.#cluster.world.note(`${host.name}: the clock says ${to}`);
    // Boards find out the time, or lose it, when they boot.
    if (!random.chance(0.5)) return;
    this.#crash(host);
    this.#restart(host);
  }
}
