/**
 * Which nodes this cloud has removed, read off the cluster log.
 *
 * A certificate is of an *admission*: the first one of a node is of its first. Removing a node asks for the next one, so
 * that all certificates it ever got are refused, also those that this cloud has never seen. A certificate of the new
 * admission, once it is shown, admits the node again.
 */
import type { Body, Draft, Event } from "../core/event.ts";
import type { Log } from "../core/log.ts";
import { currentLife } from "../core/registers.ts";
import { rfc3339 } from "../core/time.ts";

const nodeRemoved = "node.removed";
const nodeAdmitted = "node.admitted";
const prefix = "memberships/";
const slot = "membership";

/** Whether an append is about who is a node here. */
export function isMembership({ key }: Pick<Draft, "key">): boolean {
  return key.startsWith(prefix);
}

/** The admission of a node's first certificate. */
export const firstAdmission = 1;

export interface Removal {
  /** Ms since the epoch. */
  readonly time: number;
  /** Who removed it. */
  readonly by: string;
}

export class Membership {
  readonly #cluster: Log;

  constructor(cluster: Log) {
    this.#cluster = cluster;
  }

  /** The admission that a node's certificate must be of, of all nodes that were ever removed. */
  admissions(): Map<string, number> {
    const found = new Map<string, number>();
    for (const key of this.#cluster.registers.objects.keys()) {
      if (key.startsWith(prefix))
        found.set(key.slice(prefix.length), this.admission(key.slice(prefix.length)));
    }
    return found;
  }

  /** The least admission of a certificate that is accepted. */
  admission(node: string): number {
    return admissionIn(this.#latest(node));
  }

  /** When and by whom a node was removed; undefined for one that is not, or was admitted again. */
  removal(node: string): Removal | undefined {
    const event = this.#latest(node);
    if (event?.type !== nodeRemoved) return undefined;
    const { by } = event.body as { by?: unknown };
    return { time: event.time, by: typeof by === "string" ? by : "" };
  }

  /** Why a node's certificate is refused; undefined when it is not. */
  refusal(node: string, admission: number): string | undefined {
    const wanted = this.admission(node);
    if (admission >= wanted) return undefined;
    const latest = this.#latest(node);
    const when = latest === undefined ? "" : ` (${latest.type} ${rfc3339(latest.time)})`;
    return (
      `the node ${node} was removed from this cloud${when}: its certificate is of admission ${admission}, and ` +
      `${wanted} is wanted. To admit it again, at the cloud: tidemark cert issue --node ${node}`
    );
  }

  /** Notes that a node is removed. Resolves when that is durable. */
  async remove(node: string, by: string): Promise<void> {
    if (this.removal(node) === undefined)
      await this.#append(nodeRemoved, node, { by }, this.admission(node) + 1);
  }

  /** Notes that a certificate of that admission was shown, which is accepted. */
  async admit(node: string, admission: number): Promise<void> {
    if (!this.admits(node, admission)) return;
    await this.#append(nodeAdmitted, node, {}, admission);
  }

  /** Whether a certificate of that admission says something new. */
  admits(node: string, admission: number): boolean {
    const wanted = this.admission(node);
    return admission > wanted || (admission === wanted && this.removal(node) !== undefined);
  }

  async #append(
    type: string,
    node: string,
    body: { readonly by?: string },
    admission: number,
  ): Promise<void> {
    const key = prefix + node;
    const life = this.#cluster.stagedLife(key);
    const said: Body = { ...body, admission };
    await this.#cluster.appended([{ type, class: "resource", key, slot, life, body: said }]);
  }

  #latest(node: string): Event | undefined {
    return currentLife(this.#cluster.registers, prefix + node)?.slots.get(slot)?.cloud;
  }
}

function admissionIn(event: Event | undefined): number {
  const { admission } = (event?.body ?? {}) as { admission?: unknown };
  return typeof admission === "number" ? admission : firstAdmission;
}
