import { TidemarkError } from "../core/errors.ts";
import type { StatsRow } from "../protocol/rest/log-api.ts";
import type { LogRef, Target } from "./target.ts";

export interface ChosenLog {
  readonly ref: LogRef;
  readonly row: StatsRow;
}

/** The logs that a target holds; a cloud's begin with the cluster's. */
export async function logsOf(target: Target): Promise<StatsRow[]> {
  return ((await target.get("/tidemark/v1/logs")) as { items: StatsRow[] }).items;
}

/**
 * The log that is meant: the cluster's, the named node's, or that of the only node.
 * @throws TidemarkError USAGE when several would do, NOT_FOUND
 */
export function chooseLog(
  rows: readonly StatsRow[],
  wanted: { readonly node: string | undefined; readonly isCluster: boolean },
): ChosenLog {
  // A node may be called `cluster` too: the cluster's own comes first, and only where there is one.
  const [first] = rows;
  const cluster = first?.side === "cloud" && first.log === "cluster" ? first : undefined;
  const nodes = rows.filter((row) => row !== cluster);
  if (wanted.isCluster) {
    if (cluster !== undefined) return { ref: { name: "cluster", isCluster: true }, row: cluster };
    throw new TidemarkError("NOT_FOUND", "the cluster log is kept by the cloud, and this is a node");
  }
  const meant = wanted.node === undefined ? nodes : nodes.filter(({ log }) => log === wanted.node);
  const [row] = meant;
  if (row !== undefined && meant.length === 1) return { ref: { name: row.log, isCluster: false }, row };
  const names = nodes.map(({ log }) => log).join(", ");
  if (meant.length > 1) {
    throw new TidemarkError(
      "USAGE",
      `there are logs of several nodes (${names}): say which with --node NAME, or --cluster`,
    );
  }
  throw new TidemarkError(
    "NOT_FOUND",
    wanted.node === undefined
      ? "there is no log of a node here yet: --cluster shows the cluster's own"
      : `there is no log of ${wanted.node} here${nodes.length === 0 ? "" : `: there is ${names}`}`,
    { data: { node: wanted.node } },
  );
}
