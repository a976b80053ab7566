import type { TidemarkError } from "../core/errors.ts";
import type { Command } from "../protocol/devices/topics.ts";

/** What DeviceTwin needs of a broker. */
export interface DeviceBus {
  /**
   * Whether anybody would get a message on this topic, which begins with `$hw/`.
   * @param besides a second topic: subscribers count only if the filter that takes `topic` does not take that one too
   */
  hasSubscriber(topic: string, besides?: string): boolean;
  /** QoS 1, not retained. @returns false when too many wait for slow subscribers: the message is dropped */
  publish(topic: string, payload: string): boolean;
}

/** What a broker needs of DeviceTwin. */
export interface CommandReceiver {
  /**
   * Takes a message to a device topic; bad input is answered on its result topic.
   * @param payload must not change before `done`
   * @param done called once, when what the message says is durable or refused; with an error only when the log can't
   *   take it: the message must not be acknowledged then
   */
  receive(command: Command, payload: Buffer, done: (error?: TidemarkError) => void): void;
  /** What a new subscriber of this filter should get at once: deltas that stand. */
  pendingFor(filter: string): Iterable<Message>;
}

export interface Message {
  readonly topic: string;
  readonly payload: string;
}
