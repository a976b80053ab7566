/** Which faults happen when: all of it follows from the seed. What the processes make of it does not. */
import { Seeded } from "../sim/random.ts";
import { nodes } from "./options.ts";

export const hostFaults = ["kill", "pause"] as const;
export const linkFaults = [
  "reset",
  "refuse",
  "delay",
  "stallToCloud",
  "stallToNode",
  "hush",
  "orphanNode",
  "orphanCloud",
] as const;

export type FaultKind = (typeof hostFaults)[number] | (typeof linkFaults)[number] | "fillDisk";

/** What each of them does, for `--help`. */
export const explained: Readonly<Record<FaultKind, string>> = {
  kill: "kill -9, and started again up to 3 s later",
  pause: "SIGSTOP, and SIGCONT up to 8 s later",
  fillDisk: "the process's file system is filled up, and freed up to 12 s later",
  reset: "the link is cut by an RST to both ends",
  refuse: "the same, and new connections are refused for a while",
  delay: "what goes over the link takes up to 1.5 s longer",
  stallToCloud: "nothing gets from the node to the cloud for a while",
  stallToNode: "nothing gets from the cloud to the node for a while",
  hush: "nothing gets through, and neither end is told of the other's end",
  orphanNode: "the cloud's end of the link is cut, and the node's is never told",
  orphanCloud: "the node's end of the link is cut, and the cloud's is never told",
};

export interface Fault {
  readonly atMs: number;
  readonly kind: FaultKind;
  /** `cloud` or a node: whose process, disk or link. */
  readonly target: string;
  readonly forMs: number;
}

/** Longest and shortest, ms. */
const durations: Readonly<Record<FaultKind, readonly [number, number]>> = {
  kill: [0, 3000],
  pause: [200, 8000],
  fillDisk: [1000, 12_000],
  reset: [0, 0],
  refuse: [500, 6000],
  delay: [1000, 10_000],
  stallToCloud: [1000, 15_000],
  stallToNode: [1000, 15_000],
  hush: [1000, 20_000],
  orphanNode: [0, 0],
  orphanCloud: [0, 0],
};

/** In order of time, for `forMs`. Faults of one kind and target never overlap; others do. */
export function planOf(seed: number, forMs: number, hasDisks: boolean): Fault[] {
  const random = new Seeded(seed, 2);
  const faults: Fault[] = [];
  const track = (kinds: readonly FaultKind[], target: string, everyMs: number): void => {
    const own = random.fork();
    let atMs = own.wait(everyMs);
    while (atMs < forMs) {
      const kind = own.pick(kinds);
      const lasts = own.between(...durations[kind]);
      faults.push({ atMs, kind, target, forMs: lasts });
      atMs += lasts + own.wait(everyMs);
    }
  };
  for (const target of ["cloud", ...nodes]) {
    track(["kill"], target, 12_000);
    track(["pause"], target, 20_000);
    if (hasDisks) track(["fillDisk"], target, 40_000);
  }
  for (const node of nodes) track(linkFaults, node, 7000);
  return faults.sort((a, b) => a.atMs - b.atMs);
}
