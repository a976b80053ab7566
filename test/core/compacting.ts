/** One log compacted by hand, for the tests of it. */
import { type Test } from "tap";
import { pack } from "../../core/codec.ts";
import { Compactor } from "../../core/compactor.ts";
import type { Event, EventId } from "../../core/event.ts";
import { verifyLog } from "../../core/log-verify.ts";
import type { Demand, RetentionPolicy } from "../../core/retention.ts";
import { hex } from "../../core/segment.ts";
import { Site, World, applied, desired, folded, meet, reported, said } from "./log-site.ts";

export const nothing: RetentionPolicy = { resource: 0, twin: 0, telemetry: 0, message: 0, audit: 0 };

export interface Options {
  readonly policy?: RetentionPolicy;
  /** How far the peer has everything. */
  readonly acked?: number;
  readonly undelivered?: boolean;
  readonly runBytes?: number;
}

export function compactorOf(site: Site, options: Options = {}): Compactor {
  const { policy: ages = nothing, acked = Number.POSITIVE_INFINITY, undelivered = false, runBytes } = options;
  const { log, committer, world } = site;
  const demand = (): Demand => ({ ages, undelivered });
  return new Compactor({ log, committer, demand, acked: () => acked, now: () => world.wallMs, runBytes });
}

/** One pass over all that the checkpoints and cursors allow. @returns how many runs were looked at */
export async function compact(site: Site, options: Options = {}): Promise<number> {
  const { committer, log, world } = site;
  committer.put(`merged!${log.id}`, pack([1, log.position, []]));
  await world.run(committer.flush());
  const compactor = compactorOf(site, options);
  let runs = 1;
  while (await world.run(compactor.slice())) runs += 1;
  compactor.close();
  return runs;
}

/** A cloud and a node with one device, in step; a snapshot is taken after every fourth event. */
export async function living(): Promise<{ cloud: Site; node: Site; life: EventId; world: World }> {
  const world = new World();
  const cloud = await Site.open(world, "cloud", { checkpointEvery: 4 });
  const node = await Site.open(world, "node", { checkpointEvery: 4 });
  const [life] = (await cloud.append(applied())) as [EventId];
  await meet(cloud, node);
  return { cloud, node, life, world };
}

/** Reports and wishes in turn, each seen by the other side before the next; a few slots are written once. */
export async function talk(cloud: Site, node: Site, life: EventId, count: number): Promise<void> {
  for (let nth = 1; nth <= count; nth += 1) {
    await node.append(reported(`${nth}`, life, `p${nth % 3}`), said(`${nth}`));
    if (nth % 3 === 0) await cloud.append(desired(`${nth}`, life));
    if (nth % 7 === 0) await cloud.append(desired(`${nth}`, life, `once${nth}`));
    if (nth % 8 === 0) await node.append(reported(`${nth}`, life, `once${nth}`));
    await meet(cloud, node);
  }
}

export function ends(site: Site): unknown {
  const histories = [...site.log.histories.values()].filter(({ top }) => top > 0);
  return histories
    .map(({ origin, end, hash, hole }) => `${origin} ${end} ${hex(hash)} ${hole?.from}`)
    .toSorted();
}

export async function sound(t: Test, site: Site): Promise<void> {
  t.strictSame(site.log.problems, []);
  t.strictSame((await verifyLog(site.log)).result.problems, []);
  t.equal(folded(await site.events()), site.hash);
}

export const brief = ({ origin, seq, position, seen }: Event): string =>
  JSON.stringify([origin, seq, position, seen]);
