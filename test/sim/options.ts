/** What a seed decides before a run begins: how long, how many, and which faults exist in it, how often. */
import type { MergingPace } from "../../core/merging.ts";
import type { RetentionPolicy } from "../../core/retention.ts";
import { Seeded } from "./random.ts";
import { type Meeting, presentOnly } from "./versions.ts";

export const faultKinds = [
  "cut",
  "halfOpen",
  "partition",
  "oneWay",
  "slowLine",
  "duplicate",
  "slowDisk",
  "slowReads",
  "slowSubscriber",
  "stopNode",
  "stopCloud",
  "crashNode",
  "crashCloud",
  "crashStarting",
  "tornDisk",
  "rollbackNode",
  "rollbackCloud",
  "wipeNode",
  "wipeCloud",
  "loseKey",
  "clone",
  "damageNode",
  "damageCloud",
  "fullNode",
  "fullCloud",
  "clockJump",
  // Seeds that failed before there was a kind are kept as they were: a new one comes last.
  "policy",
  "updateNode",
  "updateCloud",
  "forget",
] as const;

/** Kinds that were there from the beginning. */
const firstKinds = 26;

export type FaultKind = (typeof faultKinds)[number];

export function isFaultKind(text: string): text is FaultKind {
  return (faultKinds as readonly string[]).includes(text);
}

export interface RunOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly devices: number;
  /** How long faults happen, ms. */
  readonly unsafeMs: number;
  /** The kinds of faults in this run, and the time between two of each, ms. */
  readonly faults: ReadonlyMap<FaultKind, number>;
  /** Between two things that a device or a person does, ms. */
  readonly actEveryMs: number;
  /** Chance that what is done is the same value wanted on both sides at about the same time. */
  readonly contention: number;
  /** Chance that a reported value is tens of kilobytes long. */
  readonly large: number;
  readonly merging: MergingPace;
  readonly versions: Meeting;
  /** What may be forgotten, where anything is. */
  readonly retention: RetentionPolicy;
}

/** Where a test means single records, blocks would be in the way. */
export const neverMerges: MergingPace = {
  blockBytes: Number.MAX_SAFE_INTEGER,
  idleMs: 1e9,
  bulkFrom: Number.POSITIVE_INFINITY,
};

const losses = ["rollbackCloud", "wipeCloud", "damageNode", "damageCloud"] as const;

/**
 * Each kind of fault is rare enough that most runs have a few of them: what all together hide, some bring out.
 * @param kinds how many kinds there are: for a seed that failed when there were fewer
 */
export function optionsOf(seed: number, kinds: number = faultKinds.length): RunOptions {
  const random = new Seeded(seed, 1);
  const isFleet = random.chance(0.06);
  const nodes = isFleet ? random.between(8, 50) : random.pick([1, 1, 2, 3]);
  const unsafeMs = isFleet ? 15_000 : random.pick([15_000, 40_000, 90_000]);
  const times = isFleet ? 4 : 1;
  const faults = new Map([
    ...faultsOf(random, faultKinds.slice(0, firstKinds), times),
    ...faultsOf(new Seeded(seed, 3), faultKinds.slice(firstKinds, kinds), times),
  ]);
  // A copy that holds more than the other, and a disk that has lost it: whom to believe is for a person to say.
  if (faults.has("clone")) for (const kind of losses) faults.delete(kind);
  return {
    seed,
    nodes,
    devices: isFleet ? nodes : random.between(2, 5),
    unsafeMs,
    faults,
    merging: mergingOf(new Seeded(seed, 2), faults),
    versions: versionsOf(new Seeded(seed, 4), faults),
    retention: retentionOf(new Seeded(seed, 6), faults),
    actEveryMs: isFleet ? 60 : random.pick([60, 150, 400]),
    contention: random.pick([0, 0.02, 0.2]),
    large: random.pick([0, 0, 0.01, 0.1]),
  };
}

/** Damage is done to single records, so where there is some nothing is merged. */
function mergingOf(random: Seeded, faults: RunOptions["faults"]): MergingPace {
  const blockBytes = random.pick([500, 5000, 50_000]);
  const idleMs = random.pick([200, 5000, 60_000]);
  const bulkFrom = random.pick([2, 5, 64]);
  const isDamaged = faults.has("damageNode") || faults.has("damageCloud");
  return isDamaged ? neverMerges : { blockBytes, idleMs, bulkFrom };
}

const meetings: readonly Meeting[] = [
  { early: "older", late: "present" },
  { early: "present", late: "newer" },
  { early: "older", late: "newer" },
  { early: "present", late: "breaking" },
];

function versionsOf(random: Seeded, faults: RunOptions["faults"]): Meeting {
  const meeting = random.pick(meetings);
  return faults.has("updateNode") || faults.has("updateCloud") ? meeting : presentOnly;
}

function retentionOf(random: Seeded, faults: RunOptions["faults"]): RetentionPolicy {
  const age = (): number => random.pick([0, 1000, 20_000]);
  const isMixed = faults.has("updateNode") || faults.has("updateCloud");
  const ages = { resource: age(), twin: age(), telemetry: age(), message: age(), audit: age() };
  // What only a newer version reads in events that replace nothing, an older one keeps for no longer than they are young.
  return isMixed ? { ...ages, audit: Number.MAX_SAFE_INTEGER } : ages;
}

/** @param times how many times as often as in a small run */
function faultsOf(random: Seeded, kinds: readonly FaultKind[], times: number): Map<FaultKind, number> {
  const share = random.pick([0.1, 0.25, 0.5]);
  const everyMs = random.pick([4000, 10_000, 25_000]) / times;
  const faults = new Map<FaultKind, number>();
  for (const kind of kinds) {
    const ratio = random.pick([0.5, 1, 1, 3]);
    if (random.chance(share)) faults.set(kind, everyMs * ratio);
  }
  return faults;
}

export function describe(options: RunOptions): string {
  const { seed, nodes, devices, unsafeMs, actEveryMs, contention, large, faults } = options;
  const { merging, versions, retention } = options;
  const what = `something every ${actEveryMs} ms (large: ${large}, contended: ${contention}), merging at ${merging.blockBytes} bytes or after ${merging.idleMs} ms or ${merging.bulkFrom} at once`;
  const { early, late } = versions;
  const run = early === late ? "" : `, ${early} and then ${late}`;
  const ages = [...new Set(Object.values(retention))].map((age) => `${age / 1000} s`);
  const forgets = faults.has("forget") ? `, forgetting after ${ages.join(" or ")}` : "";
  const kinds = [...faults].map(([kind, everyMs]) => `${kind} every ${everyMs / 1000} s`);
  return `seed ${seed}: ${nodes} nodes, ${devices} devices, ${unsafeMs / 1000} s, ${what}${run}${forgets}: ${kinds.join(", ") || "no faults"}`;
}
