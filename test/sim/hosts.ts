/** The two kinds of machines: the cloud's, and a node's. */
import type { Cloud } from "../../cloud/cloud.ts";
import type { ForgettingPace } from "../../core/forgetting.ts";
import type { Edge } from "../../edge/edge.ts";
import { brotli } from "../../protocol/adapters/brotli.ts";
import type { MergingPace } from "../../core/merging.ts";
import type { DeviceBus } from "../../edge/device-twin-port.ts";
import type { ReplicaOf } from "./forgetting.ts";
import { Host, type HostOptions, type Running } from "./host.ts";
import type { Seeded } from "./random.ts";
import type { Sightings } from "./sightings.ts";

/** What all machines have in common. */
export interface Surroundings extends HostOptions {
  readonly sightings: Sightings;
  readonly merging: MergingPace;
  readonly pace: ForgettingPace;
}

export class CloudHost extends Host<Cloud> {
  macKey: Uint8Array;

  readonly #sightings: Sightings;

  readonly #merging: MergingPace;

  readonly #pace: ForgettingPace;

  constructor(surroundings: Surroundings) {
    const { world, sightings, merging, pace } = surroundings;
    super("cloud", surroundings);
    this.#merging = merging;
    this.#pace = pace;
    this.#sightings = sightings;
    this.macKey = world.random.bytes(32);
  }

  replicas(): readonly ReplicaOf[] {
    const { product: cloud } = this;
    if (cloud === undefined) return [];
    const acked = (node: string): ReplicaOf["acked"] => cloud.hub.link(node)?.acked ?? new Map();
    const nodes = [...cloud.nodes].map(([node, log]) => ({ log, acked: acked(node) }));
    return [{ log: cloud.cluster, acked: new Map() }, ...nodes];
  }

  protected async open({ release, environment, store }: Running<Cloud>, failed: () => void): Promise<Cloud> {
    const cloud = await release.openCloud({
      environment,
      store,
      macKey: this.macKey,
      product: "sim",
      compressor: brotli,
      merging: this.#merging,
      forgetting: this.#pace,
      onFailure: failed,
    });
    cloud.onNode((_, log) => {
      this.#sightings.watch(log, environment.clock);
    });
    this.network.listen(environment, (transport, node) => {
      cloud.hub.accept(transport, node);
    });
    return cloud;
  }
}

/** The broker of a node, with subscribers that hear everything, or are too slow now and then. */
export class SimBus implements DeviceBus {
  /** Values that were wanted of a device in some delta: `NAMESPACE/NAME PROPERTY VALUE`. */
  readonly deltas: Set<string> = new Set();
  /** Chance that subscribers are too slow. */
  slowness = 0;
  readonly #random: Seeded;
  readonly #refused: (eventId: string) => void;

  constructor(random: Seeded, refused: (eventId: string) => void) {
    this.#random = random;
    this.#refused = refused;
  }

  hasSubscriber(topic: string, besides?: string): boolean {
    if (topic.endsWith("/delta")) return besides === undefined;
    // Of every other device all answers are wanted, of the rest none.
    return !/\/d[13579]\//.test(topic);
  }

  publish(topic: string, payload: string): boolean {
    const answer = JSON.parse(payload) as { event_id: string; code?: number; delta?: Record<string, string> };
    if (answer.code !== undefined) this.#refused(answer.event_id);
    if (this.slowness > 0 && this.#random.chance(this.slowness)) return false;
    const device = /^\$hw\/events\/device\/(.*)\/twin\/update\/delta$/.exec(topic)?.[1];
    for (const [property, value] of Object.entries(answer.delta ?? {})) {
      this.deltas.add(`${device} ${property} ${value}`);
    }
    return true;
  }
}

export class NodeHost extends Host<Edge> {
  /** The node that its certificate names; a cloned machine has another's. */
  readonly node: string;
  readonly bus: SimBus;
  /** Event ids of messages that were answered with an error. */
  readonly refused: Set<string> = new Set();
  /** Values that the running process has made durable. */
  #durable = new Set<string>();

  readonly #sightings: Sightings;

  readonly #merging: MergingPace;

  readonly #pace: ForgettingPace;

  constructor(name: string, node: string, surroundings: Surroundings) {
    const { sightings, merging, pace } = surroundings;
    super(name, surroundings);
    this.#merging = merging;
    this.#pace = pace;
    this.node = node;
    this.#sightings = sightings;
    this.bus = new SimBus(this.world.random.fork(), (eventId) => this.refused.add(eventId));
  }

  isDurable(value: string): boolean {
    return this.#durable.has(value);
  }

  replicas(): readonly ReplicaOf[] {
    const { product: edge } = this;
    return edge === undefined ? [] : [{ log: edge.log, acked: edge.hub.link.acked }];
  }

  protected async open({ release, environment, store }: Running<Edge>, failed: () => void): Promise<Edge> {
    const { node, network, bus } = this;
    const edge = await release.openEdge({
      environment,
      node,
      store,
      bus,
      dial: () => network.dial(node, environment),
      bootId: `${this.name}-${this.starts}`,
      product: "sim",
      compressor: brotli,
      merging: this.#merging,
      forgetting: this.#pace,
      onFailure: failed,
    });
    this.#sightings.watch(edge.log, environment.clock);
    this.#durable = new Set();
    edge.log.onVisible((events) => {
      for (const { body } of events) if (Array.isArray(body)) this.#durable.add(String(body[0]));
    });
    await edge.start();
    return edge;
  }
}
