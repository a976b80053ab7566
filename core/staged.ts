import { type Event, type EventId, eventId } from "./event.ts";
import { beginsLife } from "./registers.ts";

/** Objects that are remembered though nothing of them is staged. */
const keptMax = 4096;

/**
 * What this side has appended and the disk has not confirmed yet, by object and slot: what validation looks at before
 * it looks at the durable registers.
 */
export class Staged {
  readonly #objects = new Map<string, StagedObject>();

  add(event: Event): void {
    if (event.slot === undefined && event.deletes !== true) return;
    let object = this.#objects.get(event.key);
    if (object === undefined) {
      object = { slots: new Map(), life: undefined };
      this.#objects.set(event.key, object);
    }
    if (event.deletes === true) {
      object.slots.clear();
      object.life = { id: undefined, by: event };
      return;
    }
    if (beginsLife(event)) {
      object.slots.clear();
      object.life = { id: eventId(event.origin, event.seq), by: event };
    }
    object.slots.set(event.slot as string, event);
  }

  /** The event is durable, and in the registers. */
  settle(event: Event): void {
    const object = this.#objects.get(event.key);
    if (object === undefined) return;
    if (object.slots.get(event.slot as string) === event) object.slots.delete(event.slot as string);
    if (object.life?.by === event) object.life = undefined;
    // One that is written to again and again is kept, and costs no new map each time.
    if (this.#objects.size > keptMax && object.slots.size === 0 && object.life === undefined) {
      this.#objects.delete(event.key);
    }
  }

  latest(key: string, slot: string): Event | undefined {
    return this.#objects.get(key)?.slots.get(slot);
  }

  /** The staged birth or end of the object's life; undefined when neither is staged. */
  life(key: string): { readonly id: EventId | undefined } | undefined {
    return this.#objects.get(key)?.life;
  }

  clear(): void {
    this.#objects.clear();
  }
}

interface StagedObject {
  readonly slots: Map<string, Event>;
  life: { readonly id: EventId | undefined; readonly by: Event } | undefined;
}
