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
    // Emptied, not deleted: a slot that is written to again and again would have its map made anew each time.
    if (object.slots.get(event.slot as string) === event) object.slots.set(event.slot as string, undefined);
    if (object.life?.by === event) object.life = undefined;
    if (this.#objects.size > keptMax) this.#forget(event.key, object);
  }

  #forget(key: string, { slots, life }: StagedObject): void {
    for (const staged of slots.values()) if (staged !== undefined) return;
    if (life === undefined) this.#objects.delete(key);
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
  /** Undefined where what was staged is durable. */
  readonly slots: Map<string, Event | undefined>;
  life: { readonly id: EventId | undefined; readonly by: Event } | undefined;
}
