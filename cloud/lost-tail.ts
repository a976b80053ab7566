/**
 * Finds out that the disk has lost the end of the cluster log, of which there is no copy. What the cloud says in a node's
 * log names the event of the cluster log that led to it, and that was durable before: so where it names one past the end,
 * there was more.
 */
import { type Incarnation, parseEventId } from "../core/event.ts";
import type { Log } from "../core/log.ts";
import { closingDrafts } from "../core/lost-tail.ts";

/** Of incarnations of the cluster log: where they are known to have ended, past what is here. */
export type Lost = ReadonlyMap<Incarnation, number>;

/**
 * What is lost, and not known to be. Only what the cloud has said in the nodes' logs under its present names counts: what a
 * node gives back to a cloud that was put back to an earlier copy is of another cluster log than this one.
 * @param nodes their logs; of each what stands is looked at, which is in memory
 */
export function findLost(cluster: Log, nodes: Iterable<Log>): Lost {
  const lost = new Map<Incarnation, number>();
  for (const { registers, incarnation } of nodes) {
    for (const lives of registers.objects.values()) {
      for (const { slots } of lives.values()) {
        for (const { cloud } of slots.values()) {
          if (cloud?.origin !== incarnation || cloud.cause === undefined) continue;
          const { origin, seq } = parseEventId(cloud.cause) ?? { origin: incarnation, seq: 0 };
          const { top, closedAt } = cluster.histories.get(origin) ?? { top: 0, closedAt: undefined };
          // A name that is not here is another log's.
          const isOurs = origin === cluster.incarnation || top > 0;
          if (isOurs && closedAt === undefined && seq > Math.max(top, lost.get(origin) ?? 0))
            lost.set(origin, seq);
        }
      }
    }
  }
  return lost;
}

/** No sequence is given twice: what is named by one that is lost would seem to be another event. */
export async function renameAfter(lost: Lost, cluster: Log): Promise<void> {
  const { incarnation: origin, histories } = cluster;
  if (lost.has(origin)) await cluster.reincarnate(histories.get(origin)?.top ?? 0);
}

/** Says in the cluster log, which has gone on under another name, where those ended that have lost their end. */
export async function noteLost(lost: Lost, cluster: Log): Promise<void> {
  if (lost.size > 0) await cluster.appended(closingDrafts(cluster, lost));
}
