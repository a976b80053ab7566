/** Two sides of one log that live through anything. */
import * as fc from "fast-check";
import { checkpointPrefix } from "../../core/checkpoint.ts";
import { type Event, type EventId, type Incarnation, eventId } from "../../core/event.ts";
import { HistoryIndex } from "../../core/history-index.ts";
import { pruneHistory } from "../../core/history-prune.ts";
import { Merging } from "../../core/merging.ts";
import { compact, compactorOf } from "./compacting.ts";
import { keys, sameAsWalk } from "./history-walk.ts";
import { Site, World, applied, deleted, desired, meet, node1, reported, said } from "./log-site.ts";

type IndexOf = ReturnType<typeof HistoryIndex.forAll>;

export async function mergeAll(
  site: Site,
  blockBytes: number,
  indexOf: IndexOf = HistoryIndex.forAll(),
): Promise<void> {
  const { committer, world } = site;
  const merging = new Merging({ committer, environment: world.environment, blockBytes, indexOf });
  merging.add(site.log);
  await world.run(merging.mergeAll());
  await world.run(merging.close());
}

interface Compacting {
  readonly do: "compact";
  readonly node: boolean;
  /** Ms for which events are kept; those of resources twice as long. */
  readonly age: number;
  /** Everything, and not what is merged alone. */
  readonly all: boolean;
  readonly acked: boolean;
  readonly undelivered: boolean;
  readonly runBytes: number;
  readonly prune: boolean;
}

export type Action =
  | { readonly do: "report"; readonly key: number; readonly slot: number; readonly count: number }
  | { readonly do: "desire"; readonly key: number; readonly slot: number }
  | { readonly do: "apply" | "delete"; readonly key: number }
  | { readonly do: "say" | "forget"; readonly node: boolean }
  | { readonly do: "meet" }
  | { readonly do: "pass" | "jump"; readonly ms: number }
  | { readonly do: "merge"; readonly node: boolean; readonly bytes: number }
  | { readonly do: "lose"; readonly at: number }
  | { readonly do: "reincarnate"; readonly back: number }
  | { readonly do: "replace"; readonly meet: boolean }
  | Compacting;

const write: fc.Arbitrary<Action> = fc.oneof(
  {
    arbitrary: fc.record({ do: fc.constant("report"), key: fc.nat(2), slot: fc.nat(2), count: fc.nat(9) }),
    weight: 5,
  },
  { arbitrary: fc.record({ do: fc.constant("desire"), key: fc.nat(2), slot: fc.nat(2) }), weight: 1 },
  { arbitrary: fc.record({ do: fc.constantFrom("apply", "delete"), key: fc.nat(2) }), weight: 2 },
  { arbitrary: fc.record({ do: fc.constantFrom("say", "forget"), node: fc.boolean() }), weight: 2 },
  { arbitrary: fc.record({ do: fc.constant("meet") }), weight: 1 },
  { arbitrary: fc.record({ do: fc.constant("pass"), ms: fc.nat(500) }), weight: 1 },
  {
    arbitrary: fc.record({ do: fc.constant("jump"), ms: fc.integer({ min: -300_000, max: 300_000 }) }),
    weight: 1,
  },
  {
    arbitrary: fc.record({
      do: fc.constant("merge"),
      node: fc.boolean(),
      bytes: fc.integer({ min: 200, max: 3000 }),
    }),
    weight: 3,
  },
  { arbitrary: fc.record({ do: fc.constant("lose"), at: fc.nat() }), weight: 1 },
  { arbitrary: fc.record({ do: fc.constant("reincarnate"), back: fc.nat(6) }), weight: 1 },
);

const forget: fc.Arbitrary<Action> = fc.oneof(
  {
    arbitrary: fc.record({
      do: fc.constant("compact"),
      node: fc.boolean(),
      age: fc.constantFrom(0, 200, 2000),
      all: fc.boolean(),
      acked: fc.boolean(),
      undelivered: fc.boolean(),
      runBytes: fc.constantFrom(300, 3000),
      prune: fc.boolean(),
    }),
    weight: 3,
  },
  { arbitrary: fc.record({ do: fc.constant("replace"), meet: fc.boolean() }), weight: 1 },
);

const picks = fc.array(fc.nat(), { minLength: 8, maxLength: 8 });

/** What two sides do, without letting go of anything, and where to look then. */
export const living: fc.Arbitrary<[Action[], number[]]> = fc.tuple(
  fc.array(write, { minLength: 10, maxLength: 40 }),
  picks,
);

/** As `living`; they are compacted too, and one is put in the place of the node that knows nothing. */
export const forgetting: fc.Arbitrary<[Action[], number[]]> = fc.tuple(
  fc.array(fc.oneof({ arbitrary: write, weight: 4 }, { arbitrary: forget, weight: 1 }), {
    minLength: 10,
    maxLength: 40,
  }),
  picks,
);

export class Lives {
  readonly cloud: Site;
  node: Site;
  /** All that either side has ever held. */
  readonly #written = new Map<EventId, Event>();
  /** What the processes remember that run now. */
  readonly #indexes = new Map<Site, IndexOf>();
  #moved = false;
  #generation = 0;

  constructor(cloud: Site, node: Site) {
    this.cloud = cloud;
    this.node = node;
  }

  static async begin(): Promise<Lives> {
    const world = new World();
    const cloud = await Site.open(world, "cloud", { macKey: new Uint8Array(32), checkpointEvery: 4 });
    const lives = new Lives(cloud, await Site.open(world, "node", { checkpointEvery: 4 }));
    for (const key of keys) await cloud.append(applied({ spec: 0 }, undefined, key));
    await meet(lives.cloud, lives.node);
    return lives;
  }

  /** What a log held of all that was ever written, forgotten or not. */
  async heldBy({ log }: Site): Promise<Event[]> {
    await this.#note();
    return [...this.#written.values()].filter(({ origin, seq }) => {
      const { end = 0, beyond = [] } = log.histories.get(origin) ?? {};
      return seq <= end || beyond.some(({ from, to }) => from <= seq && seq <= to);
    });
  }

  /** @throws where what the index of either side says is not what a walk says, before merging all, or after */
  async check(picks: readonly number[]): Promise<number> {
    let compared = 0;
    for (const site of [this.cloud, this.node]) {
      const events = await this.heldBy(site);
      compared += await sameAsWalk(site.log, events, picks);
      await this.#merge(site, 500);
      compared += await sameAsWalk(site.log, events, picks);
    }
    return compared;
  }

  async step(step: Action): Promise<void> {
    const { cloud, node } = this;
    const key = "key" in step ? (keys[step.key] as string) : "";
    const slot = "slot" in step ? `p${step.slot}` : "";
    const isNode = "node" in step && step.node;
    const life = (isNode || step.do === "report" ? node : cloud).log.stagedLife(key);
    switch (step.do) {
      case "report":
        if (life === undefined) return;
        for (let nth = 0; nth <= step.count; nth += 1) await node.append(reported(`${nth}`, life, slot, key));
        return;
      case "desire":
        if (life !== undefined) await cloud.append(desired("1", life, slot, key));
        return;
      case "apply":
        await cloud.append(applied({ spec: 1 }, life, key));
        return;
      case "delete":
        if (life !== undefined) await cloud.append(deleted(life, key));
        return;
      case "say":
        await (isNode ? node : cloud).append(said("a word"));
        return;
      case "meet":
        await meet(cloud, node);
        return;
      case "pass":
        await cloud.world.pass(step.ms);
        return;
      case "jump":
        cloud.world.wallMs += step.ms;
        return;
      case "merge":
        await this.#merge(isNode ? node : cloud, step.bytes);
        return;
      case "lose":
        await this.#lose(step.at);
        return;
      case "forget": {
        const values = new Map([[`merged!${node1}`, undefined]]);
        await cloud.world.run((isNode ? node : cloud).store.commit({ segments: [], values }));
        return;
      }
      case "reincarnate":
        await this.#reincarnate(step.back);
        return;
      case "compact":
        await this.#compact(isNode ? node : cloud, step);
        return;
      case "replace":
        await this.#replace(step.meet);
    }
  }

  async #note(): Promise<void> {
    for (const site of [this.cloud, this.node])
      for (const event of await site.events()) this.#written.set(eventId(event.origin, event.seq), event);
  }

  async #merge(site: Site, blockBytes: number): Promise<void> {
    const indexOf = this.#indexes.get(site) ?? HistoryIndex.forAll();
    this.#indexes.set(site, indexOf);
    await mergeAll(site, blockBytes, indexOf);
  }

  /** The cloud's disk loses a record of the node's, which comes again when they meet. */
  async #lose(at: number): Promise<void> {
    const { cloud, node } = this;
    await meet(cloud, node);
    const records = await cloud.store.read(node1, 1, Number.MAX_SAFE_INTEGER);
    const own = records.filter(({ origin }) => origin === node.log.incarnation);
    const lost = own[at % own.length];
    const { segments } = await cloud.store.shape(node1);
    // A block holds events of the cloud's too, which a node gives back with their MAC only.
    if (lost === undefined || segments < records.length) return;
    // Behind a snapshot it would not be missed before somebody wants it.
    const names = await cloud.store.names(checkpointPrefix(node1));
    await cloud.world.run(
      cloud.store.commit({ segments: [], values: new Map(names.map((name) => [name, undefined])) }),
    );
    cloud.disk.crash();
    cloud.disk.damage(node1, lost.position);
    this.#indexes.delete(cloud);
    await cloud.open();
  }

  async #reincarnate(back: number): Promise<void> {
    const { cloud, node } = this;
    if (this.#moved) return;
    this.#moved = true;
    await meet(cloud, node);
    const old = node.log.incarnation;
    const end = node.log.histories.get(old)?.end ?? 0;
    const [key] = keys as [string];
    const life = node.log.stagedLife(key);
    for (let nth = 0; nth < back; nth += 1)
      await node.append(life === undefined ? said("a word") : reported(`${nth}`, life, "p0", key));
    await this.#merge(node, 300);
    await node.world.run(node.log.reincarnate(end));
    await this.#opened(old, node.log.incarnation, end);
  }

  /** The cloud says which incarnation of the node follows which. */
  async #opened(old: Incarnation, live: Incarnation, end: number): Promise<void> {
    const opened = async (incarnation: Incarnation, previous: Incarnation | null): Promise<void> => {
      this.#generation += 1;
      const generation = this.#generation;
      const body = { incarnation, generation, previous, end: previous === null ? 0 : end };
      const key = `origins/${incarnation}`;
      await this.cloud.append({ type: "origin.opened", class: "audit", key, body });
    };
    if (this.#generation === 0) await opened(old, null);
    await opened(live, old);
  }

  async #compact(site: Site, { age, all, acked, undelivered, runBytes, prune }: Compacting): Promise<void> {
    await this.#note();
    const policy = { resource: 2 * age, twin: age, telemetry: age, message: age, audit: age };
    const options = { policy, acked: acked ? Number.POSITIVE_INFINITY : 0, undelivered, runBytes };
    if (all) {
      await compact(site, options);
    } else {
      const compactor = compactorOf(site, options);
      while (await site.world.run(compactor.slice()));
      compactor.close();
    }
    if (prune) await site.world.run(pruneHistory(site.log, site.committer));
  }

  /** The node comes back with an empty disk, and gets from the cloud what that has. */
  async #replace(meetBefore: boolean): Promise<void> {
    const { cloud, node: before } = this;
    if (meetBefore) await meet(cloud, before);
    await this.#note();
    const old = before.log.incarnation;
    this.#indexes.delete(before);
    this.node = await Site.open(cloud.world, "node", before.options);
    await this.#opened(old, this.node.log.incarnation, cloud.log.histories.get(old)?.end ?? 0);
    await meet(cloud, this.node);
  }
}
