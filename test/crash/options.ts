/** What a run of the crash test is: how long, from which seed, on how much. */

export interface CrashOptions {
  readonly seed: number;
  /** How long faults happen. */
  readonly minutes: number;
  /** How long the two sides may take to agree, once everything is healed, ms. */
  readonly convergeWithinMs: number;
  /** Says what goes on, for people. */
  readonly progress: (line: string) => void;
  /** Ends the run early; it is then checked as it stands. */
  readonly signal: AbortSignal;
}

export const nodes: readonly string[] = ["edge-node-1", "edge-node-2"];

/** By node. */
export const devicesOf: ReadonlyMap<string, readonly string[]> = new Map(
  nodes.map((node, index) => [node, [1, 2, 3].map((device) => `machine-${index + 1}-${device}`)]),
);

/** What a device reports: both in every message, so that a message that is kept in part shows. */
export const reportedProperties: readonly string[] = ["count", "echo"];
/** What people want of a device; it never obeys, so that what is wanted stands as a delta. */
export const wantedProperty: string = "wanted";

/** Of each process's own file system, where there is one. */
export const diskBytes: number = 192 * 1024 * 1024;

/** Resident memory above this is not bounded as promised. At rest an edge takes 75 MB, a cloud 90 MB. */
export const residentMbMax: number = 320;
