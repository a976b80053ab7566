/** Pods that come and go in a log of two sides, for the tests of what is left of them. */
import { pack } from "../../core/codec.ts";
import { Compactor } from "../../core/compactor.ts";
import { livesEnded } from "../../core/ended.ts";
import { type Event, type EventId, type Incarnation, type Seen, parseEventId } from "../../core/event.ts";
import { pastOf } from "../../core/log-past.ts";
import { cutNow, registersAt } from "../../core/past.ts";
import { currentLife } from "../../core/registers.ts";
import type { Demand, RetentionPolicy } from "../../core/retention.ts";
import { nothing } from "./compacting.ts";
import { opened } from "./histories.ts";
import { Site, World, applied, deleted, meet, reported, said } from "./log-site.ts";

export const podA = "pods/default/a";
export const podB = "pods/default/b";
export const podC = "pods/default/c";
export const keys: readonly string[] = [podA, podB, podC];

export interface Pair {
  readonly cloud: Site;
  readonly node: Site;
  readonly world: World;
}

/** A cloud and a node in step. A snapshot is taken with each commit. */
export async function pair(): Promise<Pair> {
  const world = new World();
  const cloud = await Site.open(world, "cloud", { checkpointEvery: 1 });
  const node = await Site.open(world, "node", { checkpointEvery: 1 });
  const { incarnation } = cloud.log;
  await cloud.append(opened(incarnation, 1), opened(node.log.incarnation, 1));
  await meet(cloud, node);
  return { cloud, node, world };
}

function compactorOf({ log, committer, world }: Site, peer: Site, ages: RetentionPolicy): Compactor {
  const acked = (origin: Incarnation): number => peer.log.histories.get(origin)?.end ?? 0;
  const demand = (): Demand => ({ ages, undelivered: false });
  return new Compactor({ log, committer, demand, acked, now: () => world.wallMs, runBytes: 2000 });
}

/** One pass. */
export async function compact(site: Site, peer: Site, policy: RetentionPolicy = nothing): Promise<void> {
  const { committer, log, world } = site;
  committer.put(`merged!${log.id}`, pack([1, log.position, []]));
  await world.run(committer.flush());
  const compactor = compactorOf(site, peer, policy);
  while (await world.run(compactor.slice()));
  compactor.close();
}

/** A pass that may never come to its end. */
export async function compactAndDie(site: Site, peer: Site): Promise<void> {
  site.committer.put(`merged!${site.log.id}`, pack([1, site.log.position, []]));
  const compactor = compactorOf(site, peer, nothing);
  try {
    while (await compactor.slice());
  } catch {
    // Its store is gone.
  }
}

/** Each side says something that it had seen all of the other's when it did. */
export async function talk(cloud: Site, node: Site): Promise<void> {
  for (let nth = 0; nth < 2; nth += 1) {
    await meet(cloud, node);
    await cloud.append(said("x"));
    await node.append(said("y"));
  }
  await meet(cloud, node);
}

export async function create(cloud: Site, key: string = podA): Promise<EventId> {
  const [life] = await cloud.append(applied({ spec: 1 }, undefined, key));
  return life as EventId;
}

/** A pod that was started, was seen by the node, and is no more. */
export async function liveAndDie(cloud: Site, node: Site, key: string = podA): Promise<EventId> {
  const life = await create(cloud, key);
  await meet(cloud, node);
  await node.append(reported("running", life, "phase", key));
  await meet(cloud, node);
  await cloud.append(deleted(life, key));
  await meet(cloud, node);
  return life;
}

export function placeOf(id: EventId | undefined): Seen {
  return parseEventId(id ?? "") ?? { origin: "" as Incarnation, seq: 0 };
}

export async function ends(site: Site): Promise<number> {
  return (await site.events()).filter((event) => event.deletes === true).length;
}

export function statements(site: Site): Promise<Event[]> {
  return site.events().then((events) => events.filter(({ type }) => type === livesEnded));
}

export function alive({ log }: Site): string[] {
  return keys.filter((key) => currentLife(log.registers, key) !== undefined);
}

/** As its past says it is now. */
export async function aliveInPast({ log, world }: Site): Promise<string[]> {
  const past = pastOf(log);
  const state = await world.run(registersAt(past, cutNow(past), keys));
  return keys.filter((key) => currentLife(state, key) !== undefined);
}
