/**
 * Brings devices and their models from the cluster log to the logs of the nodes they belong on.
 *
 * A level reactor: for each node it looks at the objects that changed, and appends the difference between what the
 * cluster log wants there and what the cloud's own events already say. It keeps no record of what it has sent: that is
 * in the nodes' logs. So a restart, or a node that comes late, is a comparison of everything.
 */
import type { TidemarkError } from "../core/errors.ts";
import { type Event, type EventId, eventId, parseEventId } from "../core/event.ts";
import type { Environment } from "../core/ports.ts";
import { LevelReactor } from "../core/reactor.ts";
import { currentLife } from "../core/registers.ts";
import type { Replica } from "../core/replica.ts";
import { judgeDesired } from "./api/desired.ts";
import { deviceKind, deviceModelKind } from "./api/device-kinds.ts";
import { modelKeyOf, nodeOf } from "./api/device-objects.ts";
import { specSlot, storedOf } from "./api/resources.ts";
import { type Plan, type Wanted, heldIn, nodeCopy, olderLives, reconcile } from "./device-controller-plan.ts";
import { type Placement, Placements } from "./device-controller-placements.ts";

const devicePrefix = `${deviceKind.plural}/`;
const modelPrefix = `${deviceModelKind.plural}/`;

/** After so many objects of one node, others get a turn. */
const objectsPerTurn = 256;
/** Desired values that go into one append: each may be 64 KiB, and together they must fit into one segment. */
const draftsPerAppend = 8;

export interface DeviceControllerOptions {
  readonly cluster: Replica;
  /** Whether nothing is known to be missing of the cluster log. While there is, what it says nothing of may be declared. */
  readonly isWhole: () => boolean;
  /** The nodes that have a log. */
  readonly nodes: () => Iterable<string>;
  /** A node's log; undefined while there is no such node: then `nodeAppeared` is to be called when there is. */
  readonly nodeReplica: (node: string) => Replica | undefined | Promise<Replica | undefined>;
  readonly environment: Environment;
}

export interface DeviceController {
  /** Compares everything of a node: its log was made, or its older lives were ended by a reset. */
  nodeAppeared(node: string): void;
  /** Resolves when every difference found so far has been appended, but for nodes whose log failed. */
  idle(): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Starts with a comparison of all nodes: those that have a log, and those that a device names. */
export function createDeviceController(options: DeviceControllerOptions): DeviceController {
  return new Controller(options);
}

class Controller implements DeviceController {
  readonly #options: DeviceControllerOptions;
  readonly #placements = new Placements();
  readonly #reactor: LevelReactor;
  /** The objects to look at, by node. */
  readonly #changed = new Map<string, Set<string>>();
  /** Nodes of which everything is to be looked at. */
  readonly #whole = new Set<string>();
  readonly #stopFollowing: () => void;
  #closed = false;

  constructor(options: DeviceControllerOptions) {
    this.#options = options;
    const { cluster, environment } = options;
    for (const key of cluster.registers.objects.keys()) {
      if (key.startsWith(devicePrefix)) this.#placements.set(key, this.#placementOf(key));
    }
    this.#reactor = new LevelReactor({
      name: "devices",
      environment,
      allKeys: () => [...this.#whole],
      reconcile: (node) => this.#reconcileNode(node),
    });
    this.#stopFollowing = cluster.onVisible((events) => {
      this.#note(events);
    });
    for (const node of [...options.nodes(), ...this.#placements.nodes()]) this.#whole.add(node);
    this.#reactor.resync();
  }

  nodeAppeared(node: string): void {
    this.#whole.add(node);
    this.#reactor.changed(node);
  }

  idle(): Promise<void> {
    return this.#reactor.idle();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopFollowing();
    await this.#reactor.close();
  }

  /** Notes what the events may have changed, and where. */
  #note(events: readonly Event[]): void {
    for (const { key, class: kind } of events) {
      if (kind !== "resource") continue;
      if (key.startsWith(devicePrefix)) this.#noteDevice(key);
      else if (key.startsWith(modelPrefix)) this.#noteModel(key);
    }
  }

  #noteDevice(key: string): void {
    const after = this.#placementOf(key);
    const before = this.#placements.set(key, after);
    for (const placement of [before, after]) {
      if (placement !== undefined) this.#mark(placement.node, key, placement.model);
    }
    // Where it was before may be lost: any node may have kept it.
    if (before === undefined && !this.#options.isWhole())
      for (const node of this.#options.nodes()) this.#mark(node, key);
  }

  /** What the model declares decides which desired values its devices get. */
  #noteModel(key: string): void {
    for (const [node, devices] of this.#placements.using(key)) this.#mark(node, key, ...devices);
  }

  #mark(node: string, ...keys: readonly (string | undefined)[]): void {
    const changed = this.#changed.get(node) ?? new Set();
    for (const key of keys) if (key !== undefined) changed.add(key);
    this.#changed.set(node, changed);
    this.#reactor.changed(node);
  }

  async #reconcileNode(node: string): Promise<void> {
    const { nodeReplica, environment } = this.#options;
    let done = false;
    try {
      const replica = await nodeReplica(node);
      if (replica === undefined) return;
      const keys = this.#take(node, replica);
      for (let index = 0; index < keys.length; index += 1) {
        if (this.#closed) return;
        if (index > 0 && index % objectsPerTurn === 0) {
          await new Promise<void>((resolve) => environment.timers.soon(resolve));
        }
        this.#reconcileKey(node, replica, keys[index] as string);
      }
      done = true;
    } finally {
      // What was left undone is found again by comparing all of the node.
      if (!done) this.#whole.add(node);
    }
  }

  /** The keys to look at, in the order in which a node best hears of them: models before the devices that need them. */
  #take(node: string, replica: Replica): readonly string[] {
    const keys = this.#changed.get(node) ?? new Set<string>();
    this.#changed.delete(node);
    if (this.#whole.delete(node)) {
      for (const key of replica.registers.objects.keys()) {
        if (key.startsWith(devicePrefix) || key.startsWith(modelPrefix)) keys.add(key);
      }
      for (const device of this.#placements.on(node)) {
        keys.add(device);
        const model = this.#placements.modelOf(device);
        if (model !== undefined) keys.add(model);
      }
    }
    const rank = (key: string): number => {
      if (key.startsWith(devicePrefix)) return 1;
      return this.#placements.using(key).has(node) ? 0 : 2;
    };
    return [...keys].sort((a, b) => rank(a) - rank(b));
  }

  #reconcileKey(node: string, replica: Replica, key: string): void {
    const wanted = key.startsWith(devicePrefix)
      ? this.#wantedDevice(node, key)
      : this.#wantedModel(node, key);
    if (wanted === undefined && this.#mayBeLost(key)) return;
    const plan = reconcile(key, wanted, heldIn(replica, key), olderLives(replica, key));
    appendPlan(replica, plan, (error) => {
      if (error !== undefined) this.nodeAppeared(node);
    });
  }

  #wantedDevice(node: string, key: string): Wanted | undefined {
    const event = this.#durable(key);
    if (event === undefined) return undefined;
    const device = storedOf(event);
    if (nodeOf(device) !== node) return undefined;
    const modelKey = modelKeyOf(device);
    const model = modelKey === undefined ? undefined : this.#durable(modelKey);
    const { wanted, causes } = judgeDesired(device, model && storedOf(model));
    return { object: nodeCopy(device), desired: wanted, causes: this.#foreign(causes), cause: idOf(event) };
  }

  /** What a person names as the cause is of a node's log: by one of the cluster log it is told where that one ended. */
  #foreign(causes: ReadonlyMap<string, EventId>): ReadonlyMap<string, EventId> {
    const { histories } = this.#options.cluster;
    const isForeign = (cause: EventId): boolean => {
      const origin = parseEventId(cause)?.origin;
      return origin !== undefined && !histories.has(origin);
    };
    return new Map([...causes].filter(([, cause]) => isForeign(cause)));
  }

  #wantedModel(node: string, key: string): Wanted | undefined {
    const event = this.#durable(key);
    if (event === undefined || !this.#placements.using(key).has(node)) return undefined;
    return { object: nodeCopy(storedOf(event)), desired: new Map(), causes: new Map(), cause: idOf(event) };
  }

  /** Whether the disk may have lost what the cluster log said of it: then the node keeps it, until that is given up. */
  #mayBeLost(key: string): boolean {
    if (this.#options.isWhole()) return false;
    // A model goes when no device needs it, and that device may be what is lost.
    if (key.startsWith(modelPrefix)) return true;
    const lives = [...(this.#options.cluster.registers.objects.get(key)?.values() ?? [])];
    return this.#durable(key) === undefined && !lives.some(({ over }) => over);
  }

  #placementOf(device: string): Placement | undefined {
    const event = this.#durable(device);
    const object = event && storedOf(event);
    const node = object && nodeOf(object);
    return object === undefined || node === undefined ? undefined : { node, model: modelKeyOf(object) };
  }

  #durable(key: string): Event | undefined {
    return currentLife(this.#options.cluster.registers, key)?.slots.get(specSlot)?.cloud;
  }
}

/** Appends in one turn. A new life's id is known once it is staged, and what belongs to it follows at once. */
function appendPlan(replica: Replica, plan: Plan, done: (error?: TidemarkError) => void): void {
  let born: EventId | undefined;
  for (const draft of plan.resources) {
    const [id] = replica.append([draft], done);
    if (draft.deletes !== true && draft.life === undefined) born = id;
  }
  for (let from = 0; from < plan.desired.length; from += draftsPerAppend) {
    const drafts = plan.desired.slice(from, from + draftsPerAppend);
    replica.append(
      drafts.map((draft) => ({ ...draft, life: draft.life ?? born })),
      done,
    );
  }
}

function idOf({ origin, seq }: Event): EventId {
  return eventId(origin, seq);
}
