/** What the figures were measured on, and what else ran meanwhile. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  readonly node: string;
  /** File system that the logs were written to. */
  readonly disk: string;
  /** One-minute load average at the start: above zero, other programs shared the cores. */
  readonly load: number;
  readonly packages: Readonly<Record<string, string>>;
}

const named = ["level", "classic-level", "msgpackr", "aedes", "ws", "mqtt"];
const root = new URL("../../", import.meta.url);

export function describeMachine(directory: string): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? "unknown",
    cores: processors.length,
    memoryMiB: Math.round(totalmem() / 1024 ** 2),
    kernel: release(),
    node: process.version,
    disk: fileSystemOf(directory),
    load: loadavg()[0] ?? 0,
    packages: Object.fromEntries(named.map((name) => [name, versionOf(name)])),
  };
}

/** Only real disks tell the truth about `fsync`: the reader must see a `tmpfs` here. */
function fileSystemOf(directory: string): string {
  const mounts = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, point = "?"]) => `${directory}/`.startsWith(point.endsWith("/") ? point : `${point}/`));
  const closest = mounts.sort((a, b) => (a[1]?.length ?? 0) - (b[1]?.length ?? 0)).at(-1);
  return closest === undefined ? "unknown" : `${closest[2] ?? "?"} on ${closest[0] ?? "?"}`;
}

function versionOf(name: string): string {
  try {
    const text = readFileSync(new URL(`node_modules/${name}/package.json`, root), "utf8");
    return (JSON.parse(text) as { version: string }).version;
  } catch {
    return "not installed";
  }
}

/** @returns the commit's hash, with `+changes` when the tree differs from it. */
export function describeCommit(): string {
  const git = (...words: readonly string[]): string =>
    execFileSync("git", words, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    const hash = git("rev-parse", "HEAD");
    return git("status", "--porcelain") === "" ? hash : `${hash}+changes`;
  } catch {
    return "none";
  }
}

const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** CPU seconds that a process has used, user and system; not its children's. */
export function cpuSeconds(pid: number): number {
  if (!existsSync(`/proc/${pid}`)) throw new Error(`process ${pid} ended in the middle of a run`);
  const [user = 0, system = 0] = cpuFields(pid);
  return (user + system) / ticksPerSecond;
}

/** Ticks: user, system, and the same of children that have ended. */
function cpuFields(pid: number | "self"): number[] {
  return statFields(pid).slice(11, 15).map(Number);
}

function statFields(pid: number | string): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The program's name may hold spaces and brackets: fields are counted from behind it.
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** Ticks of the kernel's own threads: writing back what the logs wrote is our doing, not other programs'. */
function kernelTicks(): number {
  let ticks = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = statFields(pid);
      if (fields[1] === kernelParent) ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // It ended between the listing and the reading.
    }
  }
  return ticks;
}

const kernelParent = "2";

interface Reading {
  readonly at: number;
  readonly busy: number;
  readonly own: number;
}

function readBusy(): Reading {
  const [line = ""] = readFileSync("/proc/stat", "latin1").split("\n");
  const [, user, nice, system, , , , , steal] = line.split(/\s+/).map(Number);
  const own = sum(...cpuFields("self"), kernelTicks());
  return { at: performance.now(), busy: sum(user, nice, system, steal), own };
}

function sum(...numbers: readonly (number | undefined)[]): number {
  return numbers.reduce<number>((total, each) => total + (each ?? 0), 0);
}

/**
 * Starts watching how much of the machine others use. Call the result when all children have ended (only then does the
 * kernel count them as ours).
 * @returns a function that gives the share of all cores, 0 to 1, that went to other programs and to the hypervisor.
 */
export function watchOthers(): () => number {
  const from = readBusy();
  return () => {
    const to = readBusy();
    const capacity = ((to.at - from.at) / 1000) * ticksPerSecond * cpus().length;
    const others = to.busy - from.busy - (to.own - from.own);
    return Math.min(1, Math.max(0, others / capacity));
  };
}
