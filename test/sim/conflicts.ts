/** Whether both sides name the same winners, and each conflict was recorded once: told from the events alone. */
import type { Cloud } from "../../cloud/cloud.ts";
import { type Event, eventId, sideOf } from "../../core/event.ts";
import type { Log } from "../../core/log.ts";
import { currentLife } from "../../core/registers.ts";
import type { Edge } from "../../edge/edge.ts";
import { deviceKey } from "../../protocol/devices/topics.ts";
import { mayBeLost } from "./declared.ts";

interface Views {
  readonly node: string;
  readonly cloud: Cloud;
  readonly edge: Edge;
}

/** What the cloud and the node answer, when asked for the same device. */
export function* unequalWinners({ node, cloud, edge }: Views): Generator<string> {
  for (const here of edge.devices.list(undefined)) {
    const there = cloud.devices.get(here.namespace, here.name);
    if (there === undefined && mayBeLost(cloud.cluster, deviceKey(here.namespace, here.name))) continue;
    const [above, below] = [there, here].map((view) => JSON.stringify(view));
    if (above !== below) yield `${node}: the cloud says ${above}, and the node ${below}`;
  }
}

interface Pair {
  readonly node: string;
  /** The cloud's replica of the node's log. */
  readonly above: Log;
}

/**
 * @param events the cloud's replica, in order of position
 * @param isSkipped whether it is forgotten, and may have been before any version looked for conflicts that knew its type
 */
export function* wrongConflicts(
  { node, above }: Pair,
  events: readonly Event[],
  isSkipped: (event: Event) => boolean,
): Generator<string> {
  const { generations } = above.registers;
  const origins = new Set([...generations.keys(), ...events.map(({ origin }) => origin)]);
  // A cloud that was put back has forgotten what it recorded, and may do so again before it gets that back. So does one
  // that had to go on under another name: what it had said before has other names too.
  const isPutBack = [...origins].filter((origin) => sideOf(origin) === "cloud").length > 1;
  const made = new Map<string, number>();
  for (const { type, body } of events) {
    if (type !== "conflict.resolved") continue;
    const { cloud, edge } = body as { cloud: readonly [string]; edge: readonly [string] };
    const pair = `${cloud[0]} ${edge[0]}`;
    made.set(pair, (made.get(pair) ?? 0) + 1);
  }
  if (isPutBack) return;
  const ofCloud = events.filter(({ origin }) => sideOf(origin) === "cloud");
  const rank = ({ origin }: Event): number => generations.get(origin) ?? Number.POSITIVE_INFINITY;
  const isLater = (a: Event, b: Event): boolean =>
    rank(a) > rank(b) || (a.origin === b.origin && a.seq > b.seq);
  // Of what a version passed over, a later one can't tell whether there was a record that is forgotten by now.
  const forgottenTo = Math.max(0, ...ofCloud.filter(isSkipped).map(({ seq }) => seq));
  const next = ofCloud.filter(({ seq }) => seq > forgottenTo).sort((a, b) => a.seq - b.seq)[0];
  const mayHaveBeen = (cloud: Event, edge: Event): boolean =>
    forgottenTo > 0 && (next === undefined || (next.seq > cloud.seq && hasSeen(next, edge, isLater)));
  const latest = new Map<string, Event>();
  const met = new Set<string>();
  const over = new Set<string>();
  for (const event of events) {
    const { type, key, slot, life = "", deletes } = event;
    if (deletes === true) over.add(life);
    if (type !== "twin.desired" || over.has(life)) continue;
    const side = sideOf(event.origin);
    const register = `${key} ${life} ${slot} `;
    const before = latest.get(register + side);
    if (before !== undefined && !isLater(event, before)) continue;
    latest.set(register + side, event);
    const other = latest.get(register + (side === "cloud" ? "node" : "cloud"));
    if (other === undefined || hasSeen(event, other, isLater) || hasSeen(other, event, isLater)) continue;
    if (valueOf(event) === valueOf(other)) continue;
    const [cloud, edge] = side === "cloud" ? [event, other] : [other, event];
    const pair = `${nameOf(cloud)} ${nameOf(edge)}`;
    met.add(pair);
    // Where the device went before anybody looked there may be none.
    const isThere = currentLife(above.registers, key)?.id === life;
    const isForgotten = isSkipped(cloud) || isSkipped(edge) || mayHaveBeen(cloud, edge);
    if (isThere && !isForgotten && !made.has(pair)) yield `${node}: the conflict of ${pair} was not recorded`;
  }
  for (const [pair, times] of made) {
    if (!met.has(pair)) yield `${node}: ${pair} is recorded, and was no conflict`;
    else if (times > 1) yield `${node}: the conflict of ${pair} was recorded ${times} times`;
  }
}

function hasSeen(writer: Event, event: Event, isLater: (a: Event, b: Event) => boolean): boolean {
  return writer.seen.some(
    ({ origin, seq }) =>
      sideOf(origin) === sideOf(event.origin) && !isLater(event, { ...event, origin, seq }),
  );
}

function valueOf({ body }: Event): unknown {
  return Array.isArray(body) ? body[0] : null;
}

function nameOf({ origin, seq }: Event): string {
  return eventId(origin, seq);
}
