import { Aedes, type AedesPublishPacket, type Client, type PublishPacket } from "aedes";
import { FilterSet } from "../protocol/devices/filters.ts";

type Done = (error?: Error) => void;
type Deliver = (packet: AedesPublishPacket, callback: () => void) => void;

export const topicBytesMax = 1024;

/** Topics for which `hasSubscriber` keeps the answer at hand. */
const knownMax = 16_384;

/** aedes, which also knows who listens under `$hw/`, and passes nothing on there when nobody does. */
export class Broker extends Aedes {
  /** Filters of connected clients, and of persistent sessions. */
  readonly filters: FilterSet = new FilterSet("$hw");
  readonly #known = new Map<string, boolean>();
  /** The filters by which `#known` was found out. */
  #knownOf = 0;

  /** @param besides those who get this topic by the same filter don't count */
  hasSubscriber(topic: string, besides?: string): boolean {
    if (this.filters.size === 0) return false;
    if (besides !== undefined) {
      const others = new Set(this.filters.matching(besides));
      return this.filters.matching(topic).some((filter) => !others.has(filter));
    }
    if (this.#knownOf !== this.filters.changes || this.#known.size > knownMax) {
      this.#known.clear();
      this.#knownOf = this.filters.changes;
    }
    let known = this.#known.get(topic);
    if (known === undefined) {
      known = this.filters.matching(topic).length > 0;
      this.#known.set(topic, known);
    }
    return known;
  }

  // aedes calls what follows itself: these two for each subscription of a connected client, also when a session is
  // taken up again or its connection ends.

  override subscribe(topic: string, deliver: Deliver, done: () => void): void {
    this.filters.add(topic);
    super.subscribe(topic, deliver, done);
  }

  override unsubscribe(topic: string, deliver: Deliver, done: () => void): void {
    this.filters.remove(topic);
    super.unsubscribe(topic, deliver, done);
  }

  // And this one for each message of a client, after its acknowledgement.
  override publish(packet: PublishPacket, clientOrDone: Client | null | Done, done?: Done): void {
    if (typeof clientOrDone === "function") super.publish(packet, clientOrDone);
    else if (this.#goesNowhere(packet)) done?.();
    else (super.publish as unknown as PublishAsClient).call(this, packet, clientOrDone, done);
  }

  #goesNowhere({ topic, retain }: PublishPacket): boolean {
    if (topic.startsWith("$hw/")) return !retain && !this.hasSubscriber(topic);
    return topic.startsWith("$SYS/") || isTopicTooLong(topic);
  }
}

type PublishAsClient = (packet: PublishPacket, client: Client | null, done?: Done) => void;

export function isTopicTooLong(topic: string): boolean {
  return topic.length * 3 > topicBytesMax && Buffer.byteLength(topic) > topicBytesMax;
}
