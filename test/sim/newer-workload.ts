/** What only newer versions say: while a machine runs one, it says of devices what older ones do not know. */
import { TidemarkError } from "../../core/errors.ts";
import type { Draft } from "../../core/event.ts";
import type { Log } from "../../core/log.ts";
import { currentLife } from "../../core/registers.ts";
import type { Cluster } from "./cluster.ts";
import type { NodeHost } from "./hosts.ts";
import { Seeded } from "./random.ts";
import { noted, tagged } from "./versions.ts";

export class NewerWorkload {
  readonly #cluster: Cluster;
  readonly #random: Seeded;
  #isOver = false;

  /** @param seed of chance of its own, so that a run without it is as it was */
  constructor(cluster: Cluster, seed: number) {
    this.#cluster = cluster;
    this.#random = new Seeded(seed, 5);
  }

  start(everyMs: number): void {
    if (this.#cluster.releases.late.version !== "newer") return;
    this.#cluster.world.after(this.#random.wait(everyMs), () => {
      if (this.#isOver) return;
      this.#act();
      this.start(everyMs);
    });
  }

  stop(): void {
    this.#isOver = true;
  }

  #act(): void {
    const { cloud, nodes, clones, devices } = this.#cluster;
    const host = this.#random.pick([...nodes, ...clones]);
    const device = this.#random.pick(devices);
    if (this.#random.chance(0.6)) {
      if (host.runs?.version === "newer") this.note(host, device);
      return;
    }
    const log = cloud.runs?.version === "newer" ? cloud.product?.nodes.get(host.node) : undefined;
    if (log === undefined) return;
    const value = this.#cluster.ledger.nextValue("n");
    say(log, device, this.#random.chance(0.5) ? noted(value) : tagged(value));
  }

  /** A node notes something of a device. @returns what, where the device is there */
  note(host: NodeHost, device: string): string | undefined {
    const { product: edge } = host;
    if (edge === undefined || currentLife(edge.log.registers, keyOf(device)) === undefined) return undefined;
    const value = this.#cluster.ledger.nextValue("n");
    const publisher = `${host.name} ${device} notes`;
    const published = this.#cluster.ledger.publish({ value, node: host.node, publisher });
    say(edge.log, device, noted(value), () => (published.acked = true));
    return value;
  }
}

function keyOf(device: string): string {
  return `devices/default/${device}`;
}

/** What is refused, because the log is being put right or its disk is full, was never promised. */
export function say(
  log: Log,
  device: string,
  said: Pick<Draft, "type" | "class"> & Partial<Draft>,
  done: () => void = () => {},
): void {
  const key = keyOf(device);
  const life = currentLife(log.registers, key)?.id;
  if (life === undefined) return;
  try {
    log.append([{ ...said, key, life }], (error) => {
      if (error === undefined) done();
    });
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
  }
}
