/** What devices published, read back from a node's events: the topics and payloads as they would have sent them. */
import { type Event, sideOf } from "../../core/event.ts";
import { parseDeviceKey } from "./topics.ts";
import { isTime } from "./twin-view.ts";
import { deviceState, twinDesired, twinReported } from "./twin-update.ts";

export interface Published {
  readonly topic: string;
  readonly payload: string;
  /** The event that it was read from: the first, of several. */
  readonly event: Event;
  /** How many events it stands for. */
  readonly events: number;
}

type Said = Record<string, unknown>;

/** Gathers events into messages: of one device at one moment, and no value twice, is one message. */
export class Traffic {
  #open:
    | { readonly event: Event; readonly topic: string; readonly twin: Map<string, Said | null> }
    | undefined;
  #events = 0;

  /** @returns the messages that are whole now, in order */
  take(event: Event): Published[] {
    const device = sideOf(event.origin) === "node" ? parseDeviceKey(event.key) : undefined;
    if (device === undefined) return [];
    const topic = `$hw/events/device/${device.namespace}/${device.name}`;
    if (event.type === deviceState) {
      const [state] = Array.isArray(event.body) ? event.body : [];
      if (typeof state !== "string") return [];
      const payload = JSON.stringify({ event_id: "", timestamp: event.time, state });
      return [...this.flush(), { topic: `${topic}/state/update`, payload, event, events: 1 }];
    }
    const half = event.type === twinReported ? "actual" : event.type === twinDesired ? "expected" : undefined;
    const property = event.slot?.slice(event.slot.indexOf("/") + 1);
    if (half === undefined || property === undefined) return [];
    const isMore = this.#open?.event.key === event.key && this.#open.event.time === event.time;
    const before = isMore && this.#fits(property, half, event) ? [] : this.flush();
    this.#open ??= { event, topic: `${topic}/twin/update`, twin: new Map() };
    this.#add(property, half, event);
    return before;
  }

  /** What was gathered and may not be whole. */
  flush(): Published[] {
    if (this.#open === undefined) return [];
    const { event, topic, twin } = this.#open;
    const payload = JSON.stringify({ event_id: "", timestamp: event.time, twin: Object.fromEntries(twin) });
    const published = { topic, payload, event, events: this.#events };
    this.#open = undefined;
    this.#events = 0;
    return [published];
  }

  #fits(property: string, half: string, { body }: Event): boolean {
    const said = this.#open?.twin.get(property);
    if (said === undefined) return true;
    // One `null` deletes what is reported and what is wanted.
    return said === null ? body === null : body !== null && !(half in said);
  }

  #add(property: string, half: string, { body }: Event): void {
    this.#events += 1;
    const twin = this.#open?.twin;
    const [value, time, type] = Array.isArray(body) ? body : [];
    if (typeof value !== "string") {
      twin?.set(property, null);
      return;
    }
    const said: Said = { value, ...(isTime(time) && { metadata: { timestamp: time } }) };
    const more = typeof type === "string" ? { metadata: { type } } : {};
    twin?.set(property, { ...twin.get(property), [half]: said, ...more });
  }
}
