/** One run: load and faults for a while, then healing, then the question whether all that was promised is so. */
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../../core/errors.ts";
import { eventually } from "../e2e/processes.ts";
import { Seeded } from "../sim/random.ts";
import { type Held, judge } from "./checks.ts";
import { Listener, Publisher, Wisher } from "./devices.ts";
import { type HostFigures } from "./host.ts";
import { Ledger, lastWishes } from "./ledger.ts";
import { stateHashes } from "./look.ts";
import { type CrashOptions, devicesOf, nodes, residentMbMax, wantedProperty } from "./options.ts";
import { type Fault, planOf } from "./plan.ts";
import { World } from "./world.ts";

export interface CrashReport {
  readonly ok: boolean;
  readonly seed: number;
  readonly minutes: number;
  /** How many of each kind. */
  readonly faults: Readonly<Record<string, number>>;
  /** Faults that could not be made here, and why. */
  readonly leftOut: Readonly<Record<string, string>>;
  /** Messages sent; of those acknowledged; wishes said; of those confirmed. */
  readonly sent: number;
  readonly acked: number;
  readonly wished: number;
  readonly set: number;
  /** Events in both nodes' logs at the end. */
  readonly events: number;
  /** From the healing to agreement, ms; null when it never came. */
  readonly convergedMs: number | null;
  readonly hosts: Readonly<Record<string, HostFigures>>;
  readonly lost: readonly string[];
  readonly wrong: readonly string[];
  /** Where everything is kept, when something was lost or wrong. */
  readonly kept: string | null;
}

interface Load {
  readonly publishers: readonly Publisher[];
  readonly wishers: readonly Wisher[];
  readonly listeners: readonly Listener[];
}

export async function runCrash(options: CrashOptions): Promise<CrashReport> {
  const world = new World();
  const ledger = new Ledger();
  const wrong: string[] = [];
  const lost: string[] = [];
  let plan: readonly Fault[] = [];
  let convergedMs: number | null = null;
  let events = 0;
  let kept: string | undefined;
  const looking = setInterval(() => {
    for (const host of world.hosts) host.look();
  }, 500);
  try {
    await world.begin();
    await devicesArrived(world);
    const forMs = options.minutes * 60_000;
    plan = planOf(options.seed, forMs, world.noDisks === undefined);
    const load = startLoad(world, ledger, options.seed);
    await makeFaults(world, plan, forMs, options);
    convergedMs = await converge(world, ledger, load, options);
    const held = await look(world, options);
    events = held.reduce((sum, { events }) => sum + events.length, 0) / 2;
    const verdict = judge(ledger, held);
    lost.push(...verdict.lost);
    wrong.push(...verdict.wrong);
  } catch (error) {
    wrong.push(messageOf(error));
  } finally {
    clearInterval(looking);
    for (const host of world.hosts) wrong.push(...host.surprises(), ...tooLarge(host.name, host.figures));
    kept = await world.end(lost.length + wrong.length > 0);
  }
  return {
    ok: lost.length + wrong.length === 0,
    seed: options.seed,
    minutes: options.minutes,
    faults: countsOf(plan),
    leftOut: world.noDisks === undefined ? {} : { fillDisk: world.noDisks },
    ...ledger.counts,
    events,
    convergedMs,
    hosts: Object.fromEntries([...world.hosts].map((host) => [host.name, host.figures])),
    lost,
    wrong,
    kept: kept ?? null,
  };
}

async function devicesArrived(world: World): Promise<void> {
  for (const [node, { api }] of world.places) {
    await eventually(`the devices at ${node}`, async () => {
      const { items } = await api.ask<{ items: readonly unknown[] }>("/tidemark/v1/devices");
      return items.length === devicesOf.get(node)?.length || undefined;
    });
  }
}

function startLoad(world: World, ledger: Ledger, seed: number): Load {
  const random = new Seeded(seed, 3);
  const publishers: Publisher[] = [];
  const wishers: Wisher[] = [];
  const listeners: Listener[] = [];
  for (const [node, { mqttUrl }] of world.places) {
    const devices = devicesOf.get(node) ?? [];
    const wishes = devices.map((device) => ledger.wishesOf(node, device));
    for (const device of devices)
      publishers.push(new Publisher(mqttUrl, ledger.reportsOf(node, device), random.fork()));
    for (const [index, of] of wishes.entries()) {
      // One of each node is asked for by the command line, the others by the API.
      const set = (value: string): Promise<void> =>
        index === 0
          ? world.want(of.device, wantedProperty, value)
          : world.cloud.api.want(of.device, wantedProperty, value);
      wishers.push(new Wisher(of, set, random.fork()));
    }
    listeners.push(new Listener(mqttUrl, node, wishes));
  }
  return { publishers, wishers, listeners };
}

/** Makes them at their times, and then waits until the last of them is over. */
async function makeFaults(
  world: World,
  plan: readonly Fault[],
  forMs: number,
  { progress, signal }: CrashOptions,
): Promise<void> {
  const beganMs = performance.now();
  const under: Promise<void>[] = [];
  const until = (atMs: number): Promise<unknown> =>
    delay(Math.max(0, beganMs + atMs - performance.now()), undefined, { signal }).catch(() => undefined);
  for (const fault of plan) {
    await until(fault.atMs);
    if (signal.aborted) break;
    const lasts = fault.forMs === 0 ? "" : `, ${(fault.forMs / 1000).toFixed(1)} s`;
    progress(`${(fault.atMs / 1000).toFixed(1)} s: ${fault.kind} ${fault.target}${lasts}`);
    under.push(makeFault(world, fault));
  }
  await until(forMs);
  await Promise.all(under);
}

async function makeFault(world: World, { kind, target, forMs }: Fault): Promise<void> {
  const host = world.host(target);
  const proxy = world.places.get(target)?.proxy;
  switch (kind) {
    case "kill":
      return host.kill(forMs);
    case "pause":
      return host.pause(forMs);
    case "fillDisk":
      host.mayFail();
      world.disks.get(target)?.fill(0);
      await delay(forMs);
      return world.disks.get(target)?.free();
    case "reset":
      return proxy?.reset();
    case "orphanNode":
      return proxy?.orphan("node");
    case "orphanCloud":
      return proxy?.orphan("cloud");
    case "refuse":
      proxy?.refuse(true);
      await delay(forMs);
      return proxy?.refuse(false);
    case "delay":
      proxy?.delay(50 + (forMs % 1450));
      await delay(forMs);
      return proxy?.delay(0);
    case "stallToCloud":
    case "stallToNode":
      proxy?.stall(kind === "stallToCloud", kind === "stallToNode");
      await delay(forMs);
      return proxy?.stall(false, false);
    case "hush":
      proxy?.hush(true);
      await delay(forMs);
      return proxy?.hush(false);
  }
}

/** @returns how long it took, ms. @throws what does not agree yet, after the time that it may take */
async function converge(
  world: World,
  ledger: Ledger,
  load: Load,
  { convergeWithinMs, progress }: CrashOptions,
): Promise<number> {
  const beganMs = performance.now();
  progress("healed: waiting until both sides agree");
  for (const { proxy } of world.places.values()) proxy.heal();
  const { publishers, wishers, listeners } = load;
  const drained = Promise.all([...publishers, ...wishers].map((each) => each.finish()));
  let isDrained = false;
  void drained.then(() => (isDrained = true));
  let apart = "";
  const agreed = async (): Promise<true | undefined> => {
    const unacked = publishers.reduce((sum, publisher) => sum + publisher.unacked, 0);
    const waiting = wishers.map(({ failure }) => failure).find((failure) => failure !== "");
    apart = isDrained
      ? ((await disagreement(world, ledger)) ?? "")
      : `${unacked} messages have no acknowledgement yet; what is wanted is not confirmed: ${waiting ?? "no answer"}`;
    return apart === "" || undefined;
  };
  await eventually("agreement", agreed, convergeWithinMs).catch((error: unknown) => {
    throw new Error(`${messageOf(error)}: ${apart}`, { cause: error });
  });
  await Promise.all(listeners.map((listener) => listener.finish()));
  return Math.round(performance.now() - beganMs);
}

/** What does not agree yet. */
async function disagreement(world: World, ledger: Ledger): Promise<string | undefined> {
  try {
    const above = await world.cloud.api.status();
    for (const [node, { api }] of world.places) {
      const row = above.nodes.find(({ name }) => name === node);
      const below = (await api.status()).nodes[0];
      if (row?.state !== "Connected" || below?.state !== "Connected") {
        return `${node} is ${row?.state ?? "unknown"} at the cloud (${row?.reason ?? ""}), ${below?.state ?? "unknown"} by itself (${below?.reason ?? ""})`;
      }
      if (row.lag.toNode + below.lag.toCloud > 0)
        return `${node} lacks ${row.lag.toNode} events, the cloud ${below.lag.toCloud} of its`;
      const [here, there] = [row.vector, below.vector].map((vector) => namesAndNumbers(vector));
      if (here !== there) return `${node}: the cloud has ${here ?? ""}, the node ${there ?? ""}`;
    }
  } catch (error) {
    return messageOf(error);
  }
  for (const wishes of ledger.wishes) {
    const last = wishes.deltas.at(-1) ?? "nothing";
    if (!lastWishes(wishes).includes(last))
      return `the last delta of ${wishes.device} says ${last}, and ${lastWishes(wishes).join(" or ")} is wanted`;
  }
  return undefined;
}

/** Reads both sides of each node, then ends all processes, and reads what they had made of it. */
async function look(world: World, { progress }: CrashOptions): Promise<Held[]> {
  progress("agreed: reading all logs");
  const found: Omit<Held, "stateHash">[] = [];
  for (const [node, { api }] of world.places) {
    for (const [side, asked] of [
      ["cloud", world.cloud.api],
      ["node", api],
    ] as const) {
      found.push({ node, side, events: await asked.events(node), verified: await asked.verify(node) });
    }
  }
  await Promise.all([...world.hosts].map((host) => host.stop()));
  const scratch = (name: string): string => `${world.directory}/look-${name}`;
  const cloudLog = { directory: `${world.directoryOf("cloud")}/log`, side: "cloud" as const };
  const above = await stateHashes(cloudLog, nodes, scratch("cloud"));
  const below = new Map<string, string>();
  for (const [node, { directory }] of world.places) {
    const hashes = await stateHashes({ directory, side: "node" }, [node], scratch(node));
    below.set(node, hashes.get(node) ?? "");
  }
  return found.map((each) => ({
    ...each,
    stateHash: (each.side === "cloud" ? above : below).get(each.node) ?? "",
  }));
}

function namesAndNumbers(vector: Readonly<Record<string, number>>): string {
  const entries = Object.entries(vector).map(([origin, seq]) => `${origin}/${seq}`);
  return entries.sort().join(" ");
}

function tooLarge(name: string, { residentMb }: HostFigures): string[] {
  if (residentMb === null || residentMb <= residentMbMax) return [];
  return [`${name} held ${residentMb} MB resident, and ${residentMbMax} are the most`];
}

function countsOf(plan: readonly Fault[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of plan) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
