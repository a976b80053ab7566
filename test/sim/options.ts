/** What a seed decides before a run begins: how long, how many, and which faults exist in it. */
import { Seeded } from "./random.ts";

export const faultKinds = [
  "cut",
  "halfOpen",
  "partition",
  "slowLine",
  "duplicate",
  "slowDisk",
  "slowSubscriber",
  "stopNode",
  "stopCloud",
  "crashNode",
  "crashCloud",
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
] as const;

export type FaultKind = (typeof faultKinds)[number];

export interface RunOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly devices: number;
  /** How long faults happen, ms. */
  readonly unsafeMs: number;
  /** Between two faults of one kind, ms. */
  readonly faultEveryMs: number;
  /** Between two things that a device or a person does, ms. */
  readonly actEveryMs: number;
  /** Chance that a reported value is tens of kilobytes long. */
  readonly large: number;
  readonly faults: ReadonlySet<FaultKind>;
}

const losses = ["rollbackCloud", "wipeCloud", "damageNode", "damageCloud"] as const;

/** Each kind of fault is rare enough that most runs have a few of them: what all together hide, some bring out. */
export function optionsOf(seed: number): RunOptions {
  const random = new Seeded(seed, 1);
  const share = random.pick([0.1, 0.25, 0.5]);
  const faults = new Set(faultKinds.filter(() => random.chance(share)));
  // A copy that holds more than the other, and a disk that has lost it: whom to believe is for a person to say.
  if (faults.has("clone")) for (const kind of losses) faults.delete(kind);
  return {
    seed,
    nodes: random.pick([1, 1, 2, 3]),
    devices: random.between(2, 5),
    unsafeMs: random.pick([15_000, 40_000, 90_000]),
    faultEveryMs: random.pick([4000, 10_000, 25_000]),
    actEveryMs: random.pick([60, 150, 400]),
    large: random.pick([0, 0, 0.01, 0.1]),
    faults,
  };
}

export function describe(options: RunOptions): string {
  const { seed, nodes, devices, unsafeMs, faultEveryMs, actEveryMs, large, faults } = options;
  const what = `something every ${actEveryMs} ms (large: ${large}), a fault of each kind every ${faultEveryMs / 1000} s`;
  const kinds = faults.size === 0 ? "none" : [...faults].join(" ");
  return `seed ${seed}: ${nodes} nodes, ${devices} devices, ${unsafeMs / 1000} s, ${what}: ${kinds}`;
}
