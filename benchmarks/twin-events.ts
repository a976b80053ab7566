/** Reports as they come from a plant: 100 devices of five properties, values that drift, ten events a second. */
import type { Draft, EventId } from "../core/event.ts";

export const devices = 100;
const properties = ["temperature", "humidity", "pressure", "voltage", "valve"] as const;

export function deviceKey(device: number): string {
  return `devices/default/sensor-${String(device).padStart(3, "0")}`;
}

export class TwinEvents {
  /** Of the event made last, ms since the epoch. */
  time = 1_788_220_800_000;
  readonly #values = new Map<number, number>();
  readonly #lives: readonly EventId[];
  #state = 1;

  constructor(lives: readonly EventId[]) {
    this.#lives = lives;
  }

  next(): Draft {
    const device = Math.floor(this.#chance() * devices);
    const property = Math.floor(this.#chance() * properties.length);
    this.time += Math.floor(this.#chance() * 200);
    return {
      type: "twin.reported",
      class: "twin",
      key: deviceKey(device),
      slot: `reported/${properties[property]}`,
      life: this.#lives[device],
      body: [this.#value(device, property), this.time - Math.floor(this.#chance() * 20)],
    };
  }

  #value(device: number, property: number): string {
    if (property === 4) return this.#chance() < 0.9 ? "open" : "closed";
    const place = device * properties.length + property;
    const value = (this.#values.get(place) ?? 20 + property * 200) + (this.#chance() - 0.5) * 0.4;
    this.#values.set(place, value);
    return value.toFixed(property === 3 ? 3 : 1);
  }

  #chance(): number {
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (this.#state >>> 8) / 0x80_0000;
  }
}
