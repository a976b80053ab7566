/** What must be so after healing, asked from outside: of the logs, the registers, the broker and the disks. */
import type { Cloud } from "../../cloud/cloud.ts";
import { type Event, type Incarnation, type Side, eventId, nodeLog, sideOf } from "../../core/event.ts";
import type { Log } from "../../core/log.ts";
import { stateHash } from "../../core/projection.ts";
import { type Registers, currentLife, registersProjection, winner } from "../../core/registers.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import type { Edge } from "../../edge/edge.ts";
import { declaredPolicy } from "../../protocol/devices/conflicts.ts";
import { readDeclaration } from "../../protocol/devices/declaration.ts";
import type { Cluster } from "./cluster.ts";
import { unequalWinners, wrongConflicts } from "./conflicts.ts";
import { mayBeLost } from "./declared.ts";
import { eventsOn, sequencesOn } from "./disk.ts";
import { type Finding, found } from "./findings.ts";
import type { NodeHost } from "./hosts.ts";
import type { Published } from "./ledger.ts";
import { Model } from "./model.ts";
import { wrongPast } from "./past.ts";
import { noted } from "./versions.ts";
import { wrongWinners } from "./policies.ts";

/** One node, both sides. */
interface Pair {
  readonly host: NodeHost;
  readonly node: string;
  readonly cloud: Cloud;
  readonly edge: Edge;
  /** The cloud's replica of the node's log. */
  readonly above: Log;
  /** The node's own. */
  readonly below: Log;
}

function pairOf(cluster: Cluster, host: NodeHost): Pair | undefined {
  const cloud = cluster.cloud.product;
  const edge = host.product;
  const above = cloud?.nodes.get(host.node);
  if (cloud === undefined || edge === undefined || above === undefined) return undefined;
  return { host, node: host.node, cloud, edge, above, below: edge.log };
}

/** What does not agree yet: nothing, once the system has converged. */
export function disagreements(cluster: Cluster): Finding[] {
  const findings = [...found("step", outOfStep(cluster))];
  for (const host of cluster.nodes) {
    const pair = pairOf(cluster, host);
    if (pair === undefined) continue;
    findings.push(
      ...found("states", unequalStates(pair)),
      ...found("winners", unequalWinners(pair)),
      ...found("devices", wrongDevices(pair)),
      ...found("deltas", missingDeltas(pair)),
    );
  }
  return findings;
}

/** What was promised and is not so. To be asked after convergence. */
export async function violations(cluster: Cluster): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const host of cluster.nodes) {
    const pair = pairOf(cluster, host);
    if (pair === undefined) continue;
    const reader = cluster.releases.late;
    const log = nodeLog(host.node);
    const events = await eventsOn(cluster.cloud.disk.snapshot(), log, reader);
    const sequences = await sequencesOn(cluster.cloud.disk.snapshot(), log, reader);
    const forgotten = cluster.forgetting.forgotten(log, sequences, events);
    const ever = [...events, ...forgotten];
    const skips = cluster.releases.early.version === "older";
    const gone = new Set(forgotten.map(nameOf));
    const isSkipped = (event: Event): boolean => skips && gone.has(nameOf(event));
    // What the cloud's disk lost before its newest snapshot is not missed until it is read: then the node has it.
    const below = await eventsOn(host.disk.snapshot(), log, reader);
    const kept = cluster.scarred.has(cluster.cloud.name) ? below : [];
    findings.push(
      ...found("lost", lostValues(cluster, pair, [...ever, ...kept])),
      ...found("repeated", repeatedValues(cluster, pair, ever)),
      ...found("order", wrongOrder(cluster, pair, ever)),
    );
    if (!cluster.scarred.has(cluster.cloud.name)) {
      findings.push(...found("gaps", gaps(pair, sequences)));
      findings.push(
        ...found(
          "conflicts",
          wrongConflicts(pair, cluster.forgetting.inOrder(log, events, forgotten), isSkipped),
        ),
      );
    }
    const unique = uniqueOf([...forgotten, ...below, ...events]);
    if (!cluster.scarred.has(cluster.cloud.name) && !cluster.scarred.has(host.name)) {
      for (const each of [pair.above, pair.below])
        findings.push(...found("past", await wrongPast(each, unique, reader)));
    }
    findings.push(...judgeByModel(cluster, pair, { above: events, below, all: unique }));
    findings.push(...found("log", await brokenLog(cluster, pair.above, cluster.cloud.name)));
    findings.push(...found("log", await brokenLog(cluster, pair.below, host.name)));
  }
  const cloud = cluster.cloud.product;
  if (cloud !== undefined) {
    findings.push(...found("promises", cluster.ledger.brokenPromises(cloud.cluster.registers)));
    findings.push(...found("log", await brokenLog(cluster, cloud.cluster, cluster.cloud.name)));
  }
  return findings;
}

/** What both disks hold of a node's log. */
interface Stored {
  readonly above: readonly Event[];
  readonly below: readonly Event[];
  /** Each once, with what the cloud held once and a cover stands for. */
  readonly all: readonly Event[];
}

function* judgeByModel(
  { scarred, cloud, forked, sightings }: Cluster,
  pair: Pair,
  stored: Stored,
): Generator<Finding> {
  const { host, node, above, below } = pair;
  // What was damaged before a snapshot is in the registers still, and not among the events.
  if (scarred.has(cloud.name) || scarred.has(host.name)) return;
  const model = new Model(stored.all);
  yield* found("fold", wrongFold(`${node}, cloud`, above.registers, model));
  yield* found("fold", wrongFold(`${node}, node`, below.registers, model));
  yield* found("policies", wrongWinners(pair, model));
  // Two machines with one name see different things, at different times.
  if (forked.has(node)) return;
  yield* found("clock", sightings.wrongTimes(stored.above));
  yield* found("clock", sightings.wrongTimes(stored.below));
  yield* found("seen", sightings.falseSeen(stored.all, model));
}

function uniqueOf(events: readonly Event[]): Event[] {
  return [...new Map(events.map((event) => [nameOf(event), event])).values()];
}

/** Where a log's registers are not what the model says. */
function* wrongFold(name: string, registers: Registers, model: Model): Generator<string> {
  const id = (event: Event | undefined): string => (event === undefined ? "nothing" : nameOf(event));
  for (const key of new Set([...model.keys, ...registers.objects.keys()])) {
    const life = currentLife(registers, key);
    const expected = model.currentLife(key);
    if (life?.id !== expected) yield `${name}: ${key} lives as ${life?.id}, and should as ${expected}`;
    if (life === undefined || life.id !== expected) continue;
    const slots = model.slotsOf(key);
    for (const slot of new Set([...slots.keys(), ...life.slots.keys()])) {
      const actual = life.slots.get(slot);
      const should = slots.get(slot);
      const read = [actual?.cloud, actual?.node, winner(registers, actual)].map(id).join(", ");
      const said = [should?.cloud, should?.node, should?.winner].map(id).join(", ");
      if (read !== said)
        yield `${name}: ${key} ${slot}: cloud, node and winner are ${read}, and should be ${said}`;
    }
  }
}

/** Where one side takes for durable on the other what is not. To be asked at any moment. */
export function falseAcks(cluster: Cluster): string[] {
  const found: string[] = [];
  for (const host of cluster.nodes) {
    const pair = pairOf(cluster, host);
    const link = pair?.cloud.hub.link(host.node);
    if (pair === undefined || link === undefined || cluster.forked.has(host.node)) continue;
    const { above, below, edge } = pair;
    if (link.state !== "Connected" || edge.hub.link.state !== "Connected") continue;
    found.push(...ahead("node", edge.hub.link.acked, above), ...ahead("cloud", link.acked, below));
  }
  return found;
}

/** @param side whose events were acked; the other side's replica is `log` */
function* ahead(side: Side, acked: ReadonlyMap<Incarnation, number>, log: Log): Generator<string> {
  for (const [origin, seq] of acked) {
    const { end = 0, hole } = log.histories.get(origin) ?? {};
    if (sideOf(origin) !== side || seq <= end || hole !== undefined) continue;
    yield `${log.id}: ${origin}/${seq} was acked to the ${side}, and ${end} are on the other side's disk`;
  }
}

function* outOfStep(cluster: Cluster): Generator<string> {
  for (const host of cluster.nodes) {
    if (cluster.isNodeInStep(host)) continue;
    const { node, product: edge } = host;
    const { product: cloud } = cluster.cloud;
    const above = cloud?.hub.link(node);
    const below = edge?.hub.link;
    yield `${node}: node ${below?.state} (${below?.code} ${below?.reason}) with ${held(edge?.log)}, cloud ${above?.state} (${above?.reason}) with ${held(cloud?.nodes.get(node))}`;
  }
}

/** What a replica holds, for people. */
function held(log: Log | undefined): string {
  if (log === undefined) return "nothing";
  const histories = [...log.histories.values()].sort((a, b) => (a.origin < b.origin ? -1 : 1));
  return histories
    .map(({ origin, end, closedAt, beyond }) => {
      const generation = log.registers.generations.get(origin);
      const live = origin === log.incarnation ? "*" : "";
      const more = beyond.map(({ from, to }) => ` and ${from}-${to}`).join("");
      return `${origin}${live}(${generation}):${end}${more}${closedAt === undefined ? "" : `]${closedAt}`}`;
    })
    .join(" ");
}

function* unequalStates({ node, above, below }: Pair): Generator<string> {
  const hashes = [above, below].map((log) => stateHash(registersProjection, log.registers, nodeDigest));
  if (hashes[0] !== hashes[1])
    yield `${node}: the states differ: ${difference(above.registers, below.registers)}`;
}

/** Where two states part, for people. */
function difference(above: Registers, below: Registers): string {
  const [a, b] = [above, below].map((state) => registersProjection.encode(state) as Record<string, unknown>);
  for (const part of new Set(Object.keys({ ...a, ...b }))) {
    const [left, right] = [a?.[part], b?.[part]].map((value) => JSON.stringify(value) ?? "");
    if (left === undefined || right === undefined || left === right) continue;
    let at = 0;
    while (left[at] === right[at]) at += 1;
    const from = Math.max(0, at - 200);
    return `${part}: cloud …${left.slice(from, at + 200)}… node …${right.slice(from, at + 200)}…`;
  }
  return "nowhere";
}

interface WantedBody {
  readonly metadata: { readonly uid: string };
  readonly spec: {
    readonly nodeName: string;
    readonly deviceModelRef: { readonly name: string };
    readonly properties?: readonly WantedProperty[];
  };
}

interface WantedProperty {
  readonly name: string;
  readonly desired?: { readonly value: string };
  readonly accessMode?: string;
}

function bodyOf(registers: Registers, key: string): WantedBody | undefined {
  return currentLife(registers, key)?.slots.get("spec")?.cloud?.body as WantedBody | undefined;
}

/** Whether the cloud's own events in a node's log say what the cluster log wants there, and no more. */
function* wrongDevices({ node, cloud, above }: Pair): Generator<string> {
  const cluster = cloud.cluster.registers;
  const isWhole = cloud.cluster.problems.length === 0;
  const keys = new Set([...cluster.objects.keys(), ...above.registers.objects.keys()]);
  const models = new Set<string>();
  for (const key of keys) {
    if (!key.startsWith("devices/") || mayBeLost(cloud.cluster, key)) continue;
    const declared = bodyOf(cluster, key);
    const wanted = declared?.spec.nodeName === node ? declared : undefined;
    const held = currentLife(above.registers, key);
    const body = bodyOf(above.registers, key);
    if (wanted?.metadata.uid !== body?.metadata.uid) {
      yield `${node}: ${key} is ${body?.metadata.uid ?? "absent"}, and should be ${wanted?.metadata.uid ?? "absent"}`;
    }
    if (wanted === undefined) continue;
    const modelKey = `devicemodels/default/${wanted.spec.deviceModelRef.name}`;
    models.add(modelKey);
    const model = bodyOf(cluster, modelKey);
    for (const property of ["temp", "mode", "level"]) {
      const declaredHere = model?.spec.properties?.find(({ name }) => name === property);
      const isTaken = declaredHere !== undefined && declaredHere.accessMode !== "ReadOnly";
      const said = wanted.spec.properties?.find(({ name }) => name === property)?.desired?.value;
      const expected = isTaken ? said : undefined;
      const event = held?.slots.get(`desired/${property}`)?.cloud;
      const actual = Array.isArray(event?.body) ? event.body[0] : undefined;
      if (actual !== expected)
        yield `${node}: of ${key} ${property} the cloud wants ${expected}, and told the node ${String(actual)}`;
    }
  }
  for (const key of keys) {
    if (!key.startsWith("devicemodels/")) continue;
    const wanted = models.has(key) ? bodyOf(cluster, key)?.metadata.uid : undefined;
    const actual = bodyOf(above.registers, key)?.metadata.uid;
    const isKept = !isWhole && wanted === undefined;
    if (wanted !== actual && !isKept)
      yield `${node}: ${key} is ${actual ?? "absent"}, and should be ${wanted ?? "absent"}`;
  }
}

/** Whether each wish that stands, and is not so, was told to the device. */
function* missingDeltas({ node, host, below }: Pair): Generator<string> {
  const { registers } = below;
  for (const key of registers.objects.keys()) {
    const life = currentLife(registers, key);
    if (!key.startsWith("devices/") || life === undefined) continue;
    for (const [slot, register] of life.slots) {
      if (!slot.startsWith("desired/")) continue;
      const property = slot.slice("desired/".length);
      const [, namespace = "", name = ""] = key.split("/");
      const declaration = readDeclaration(registers, namespace, name);
      const policy = declaration && declaredPolicy(declaration, property);
      const wish = winner(registers, register, policy);
      const value = Array.isArray(wish?.body) ? String(wish.body[0]) : "";
      const device = key.slice("devices/".length);
      if (value === "" || host.bus.deltas.has(`${device} ${property} ${value}`)) continue;
      const said = [register.cloud, register.node].map(
        (event) => event && `${nameOf(event)} at ${event.time}`,
      );
      yield `${node}: ${device} was never told that ${property} should be ${value}, of ${said.join(" and ")}`;
    }
  }
}

function valueOf({ body, type }: Event): string | undefined {
  const isPublished = type.startsWith("twin.") || type === noted("").type;
  return isPublished && Array.isArray(body) ? String(body[0]) : undefined;
}

function* lostValues({ ledger }: Cluster, { node }: Pair, events: readonly Event[]): Generator<string> {
  const held = new Set(events.map(valueOf));
  for (const { value, node: publishedAt, acked, mayBeLost, publisher } of ledger.published.values()) {
    if (publishedAt !== node || !acked || mayBeLost || held.has(value)) continue;
    yield `${node}: ${short(value)}, acked to ${publisher}, is not in the cloud's log`;
  }
}

function* repeatedValues(
  cluster: Cluster,
  { node, above }: Pair,
  events: readonly Event[],
): Generator<string> {
  const first = new Map<string, Event>();
  for (const event of events) {
    const value = valueOf(event);
    if (value === undefined || sideOf(event.origin) !== "node") continue;
    const before = first.get(value);
    if (before === undefined) first.set(value, event);
    // Two machines, or one put back twice, that held what was never sent: each appends it again, and names what it was.
    else {
      const original = [before, event].find(({ cause }) => cause === undefined);
      if (original === undefined) continue;
      // Which ends of commits there were the cloud has forgotten, and the copy did not know yet that the cloud had it.
      if (isBeforeEdge(original, above) && cluster.wasPutBackBefore(node, original)) continue;
      yield `${node}: ${short(value)} is in the cloud's log twice: ${nameOf(before)} and ${nameOf(event)}`;
    }
  }
}

function isBeforeEdge({ origin, seq }: Event, { histories }: Log): boolean {
  return seq <= (histories.get(origin)?.edge?.seq ?? 0);
}

function nameOf({ origin, seq, cause }: Event): string {
  return `${eventId(origin, seq)}${cause === undefined ? "" : ` (again: ${cause})`}`;
}

/** Each origin is dense, from its first event on. */
function* gaps({ node }: Pair, sequences: ReadonlyMap<Incarnation, ReadonlySet<number>>): Generator<string> {
  for (const [origin, held] of sequences) {
    let end = 0;
    for (const seq of [...held].sort((a, b) => a - b)) {
      if (seq !== end + 1) yield `${node}: ${origin}/${seq} follows ${end} in the cloud's log`;
      end = seq;
    }
  }
}

/** By generation and sequence, all is as each device published it. */
function* wrongOrder(
  { ledger, forked }: Cluster,
  { node, above }: Pair,
  events: readonly Event[],
): Generator<string> {
  const generation = ({ origin }: Event): number => above.registers.generations.get(origin) ?? 1e9;
  const inOrder = events.filter(({ origin }) => sideOf(origin) === "node");
  inOrder.sort((a, b) => generation(a) - generation(b) || a.seq - b.seq);
  const last = new Map<string, Event & { readonly order: number }>();
  const met = new Set<Published>();
  for (const event of inOrder) {
    const published = ledger.published.get(valueOf(event) ?? "");
    if (published === undefined || met.has(published)) continue;
    met.add(published);
    const { order, value } = published;
    // A copy of a disk may come up with what was published long ago; only what one log was told is in order then.
    const publisher = forked.has(node) ? `${published.publisher} ${event.origin}` : published.publisher;
    const before = last.get(publisher);
    if (before !== undefined && before.order > order) {
      yield `${node}: ${short(value)} of ${publisher}, ${nameOf(event)}, comes after ${nameOf(before)}, and was published before it`;
    }
    last.set(publisher, { ...event, order });
  }
}

async function brokenLog({ scarred, torn, releases }: Cluster, log: Log, host: string): Promise<string[]> {
  const { result, origins } = await releases.late.verifyLog(log);
  const found: string[] = [];
  // What was damaged before the newest snapshot is found when it is read, which may be never.
  if (scarred.has(host)) return found;
  for (const problem of [...result.problems, ...log.problems]) {
    // A record that a crash tore, of which nobody was told, stands until its sequence is used again.
    if (torn.has(host) && problem.origin === log.incarnation) continue;
    found.push(`${host}: ${log.id} has a problem: ${JSON.stringify(problem)}`);
  }
  for (const [origin, { last }] of Object.entries(origins)) {
    const end = log.histories.get(origin as Incarnation)?.end ?? 0;
    if (last !== end) found.push(`${host}: of ${origin} ${last} are on the disk, and the log says ${end}`);
  }
  return found;
}

function short(value: string): string {
  return value.length > 20 ? `${value.slice(0, 20)}…` : value;
}
