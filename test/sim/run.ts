/** One run: faults anywhere, then healing; and what was found. */
import { disagreements, falseAcks, violations } from "./checkers.ts";
import { Cluster } from "./cluster.ts";
import { Faults } from "./faults.ts";
import type { RunOptions } from "./options.ts";
import { NewerWorkload } from "./newer-workload.ts";
import { releasesOf } from "./versions.ts";
import { Workload } from "./workload.ts";
import { World } from "./world.ts";

export interface RunResult {
  readonly options: RunOptions;
  /** Nothing, when all is as it should be. */
  readonly failures: readonly string[];
  /** Equal for equal seeds. */
  readonly hash: string;
  readonly turns: number;
  /** The newest lines of the trace. */
  readonly lines: readonly string[];
  /** How long healing took, ms of virtual time. */
  readonly healedMs: number;
}

/** All machines agree within this, once there are no more faults. */
export const healWithinMs = 300_000;

/** @param print takes each line of the trace as it comes */
export async function runSeed(options: RunOptions, print?: (line: string) => void): Promise<RunResult> {
  const { seed } = options;
  const world = new World({ seed, print });
  const rejected = (reason: unknown): void => {
    world.fail(
      "process",
      `a promise was dropped: ${reason instanceof Error ? reason.stack : String(reason)}`,
    );
  };
  process.on("unhandledRejection", rejected);
  let healedMs = 0;
  const releases = await releasesOf(options.versions);
  try {
    const cluster = new Cluster(world, { ...options, releases });
    const workload = new Workload(cluster, options);
    const newer = new NewerWorkload(cluster, seed);
    const faults = new Faults(cluster, workload, options.faults);
    cluster.start();
    workload.start(options.actEveryMs);
    newer.start(options.actEveryMs * 5);
    faults.start();
    watchAcks(cluster);
    await world.run(options.unsafeMs, () => world.failures.length > 0);
    workload.stop();
    newer.stop();
    faults.stop();
    if (world.failures.length === 0) healedMs = await heal(cluster, workload);
    if (world.failures.length === 0) await closeAll(cluster);
  } finally {
    process.off("unhandledRejection", rejected);
  }
  const { failures, trace, turns } = world;
  return { options, failures, hash: trace.hash, turns, lines: trace.lines, healedMs };
}

/** Looks again and again whether somebody was told too early that something is durable. */
function watchAcks(cluster: Cluster): void {
  const { world } = cluster;
  world.after(25, () => {
    for (const ack of falseAcks(cluster)) world.fail("ack", ack);
    cluster.forgetting.noteAcks();
    watchAcks(cluster);
  });
}

/** @returns how long it took until all agreed */
export async function heal(cluster: Cluster, workload: Workload): Promise<number> {
  const { world } = cluster;
  await cluster.heal();
  const beganMs = world.nowMs;
  if (!(await converges(cluster, healWithinMs))) return healWithinMs;
  const healedMs = world.nowMs - beganMs;
  workload.touchAll();
  await world.run(world.nowMs + 1000, () => world.failures.length > 0);
  if (!(await converges(cluster, 60_000))) return healWithinMs;
  for (const { checker, reason } of await violations(cluster)) world.fail(checker, reason);
  return healedMs;
}

/** Whether all agrees in time, and stays so for a moment. */
export async function converges(cluster: Cluster, withinMs: number): Promise<boolean> {
  const { world } = cluster;
  const deadlineMs = world.nowMs + withinMs;
  for (let agreed = 0; agreed < 3 && world.failures.length === 0;) {
    await world.run(world.nowMs + 500, () => world.failures.length > 0);
    agreed = cluster.isInStep && disagreements(cluster).length === 0 ? agreed + 1 : 0;
    if (world.nowMs < deadlineMs) continue;
    for (const { checker, reason } of disagreements(cluster)) {
      world.fail(checker, `not agreed after ${withinMs / 1000} s: ${reason}`);
    }
  }
  return world.failures.length === 0;
}

/** Everything ends cleanly, and nothing is left open. */
export async function closeAll(cluster: Cluster): Promise<void> {
  const { world } = cluster;
  for (const host of cluster.hosts) {
    host.retire();
    void host.stop();
  }
  await world.run(world.nowMs + 60_000, () => world.failures.length > 0);
  for (const host of cluster.hosts) if (!host.isDown) world.fail("process", `${host.name} is still up`);
}
