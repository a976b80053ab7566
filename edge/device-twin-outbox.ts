import { TidemarkError } from "../core/errors.ts";
import type { Event } from "../core/event.ts";
import type { Clock } from "../core/ports.ts";
import type { Replica } from "../core/replica.ts";
import { deltaPayload, membershipUpdated } from "../protocol/devices/answers.ts";
import { type Delta, deltaEffects, membershipEffect, pendingDelta } from "../protocol/devices/changes.ts";
import { declaredDevices } from "../protocol/devices/declaration.ts";
import { filterMatches } from "../protocol/devices/filters.ts";
import { defaultNamespace, deltaTopics, membershipUpdatedTopic } from "../protocol/devices/topics.ts";
import type { DeviceBus, Message } from "./device-twin-port.ts";

/** Deltas that one new subscription is sent at most. */
const pendingMax = 1000;

/** Publishes what events mean for those who listen: `twin/update/delta` and `membership/updated`. */
export class TwinOutbox {
  readonly #replica: Replica;
  readonly #node: string;
  readonly #clock: Clock;
  readonly #bus: DeviceBus;

  constructor(options: {
    readonly replica: Replica;
    readonly node: string;
    readonly clock: Clock;
    readonly bus: DeviceBus;
  }) {
    this.#replica = options.replica;
    this.#node = options.node;
    this.#clock = options.clock;
    this.#bus = options.bus;
  }

  /** @throws NOT_REACHABLE when subscribers are too slow to take it now */
  onEvents(events: readonly Event[]): void {
    const { registers } = this.#replica;
    const updated = membershipUpdatedTopic(this.#node);
    if (this.#bus.hasSubscriber(updated)) {
      const change = membershipEffect(events, registers);
      if (change !== undefined) {
        const stamp = { eventId: change.event, timestamp: this.#now() };
        this.#publish({ topic: updated, payload: membershipUpdated(stamp, change.added, change.removed) });
      }
    }
    const asked = (namespace: string, name: string): boolean => this.#topics(namespace, name).length > 0;
    for (const delta of deltaEffects(events, registers, asked)) {
      const payload = this.#payload(delta);
      for (const topic of this.#topics(delta.namespace, delta.name)) this.#publish({ topic, payload });
    }
  }

  /** The deltas that stand now, of the devices whose delta topic this filter takes. */
  *pendingFor(filter: string): Iterable<Message> {
    let count = 0;
    for (const { namespace, name } of this.#devicesOf(filter)) {
      const { full, short } = deltaTopics(namespace, name);
      const topic = [full, short].find((topic) => topic !== undefined && filterMatches(filter, topic));
      if (topic === undefined) continue;
      const delta = pendingDelta(this.#replica.registers, namespace, name);
      if (delta === undefined) continue;
      yield { topic, payload: this.#payload(delta) };
      count += 1;
      if (count === pendingMax) return;
    }
  }

  #devicesOf(filter: string): Iterable<{ readonly namespace: string; readonly name: string }> {
    const levels = filter.split("/");
    if (!["delta", "+", "#"].includes(levels.at(-1) ?? "")) return [];
    if (levels.includes("+") || levels.includes("#")) return declaredDevices(this.#replica.registers);
    const [first = "", second = ""] = levels.slice(3);
    const short = levels.length === 7;
    return [short ? { namespace: defaultNamespace, name: first } : { namespace: first, name: second }];
  }

  /** Where a device's delta is heard. One form will do for those who would hear both. */
  #topics(namespace: string, name: string): string[] {
    const { full, short } = deltaTopics(namespace, name);
    const topics: string[] = [];
    if (this.#bus.hasSubscriber(full)) topics.push(full);
    if (short !== undefined && this.#bus.hasSubscriber(short, full)) topics.push(short);
    return topics;
  }

  #payload({ event, wanted, pending }: Delta): string {
    return deltaPayload({ eventId: event, timestamp: this.#now() }, wanted, pending);
  }

  #publish({ topic, payload }: Message): void {
    if (this.#bus.publish(topic, payload)) return;
    throw new TidemarkError("NOT_REACHABLE", `subscribers are too slow to take ${topic} now`);
  }

  #now(): number {
    return Math.floor(this.#clock.now());
  }
}
