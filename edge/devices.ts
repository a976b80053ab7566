/** The devices of this node, read from its own log: with or without a cloud. */
import type { Event } from "../core/event.ts";
import type { Clock } from "../core/ports.ts";
import { rfc3339 } from "../core/time.ts";
import { type AsOf, type DeviceView, deviceList, deviceView } from "../protocol/devices/twin-view.ts";
import type { DeviceSource } from "../protocol/rest/device-api.ts";
import type { Edge } from "./edge.ts";

export class EdgeDevices implements DeviceSource {
  readonly #edge: Pick<Edge, "node" | "log">;
  readonly #clock: Clock;
  /** Desired values are set at the cloud or, on the node, by MQTT. */
  readonly setDesired = undefined;

  constructor(edge: Pick<Edge, "node" | "log">, clock: Clock) {
    this.#edge = edge;
    this.#clock = clock;
  }

  list(namespace: string | undefined): DeviceView[] {
    const all = deviceList(this.#edge.log.registers, this.#edge.node);
    return namespace === undefined ? all : all.filter((device) => device.namespace === namespace);
  }

  get(namespace: string, name: string): DeviceView | undefined {
    return deviceView(this.#edge.log.registers, namespace, name, this.#edge.node);
  }

  asOf(): AsOf {
    return { time: rfc3339(this.#clock.now()), vector: this.#edge.log.vector() };
  }

  complete(): boolean {
    return this.#edge.log.problems.length === 0;
  }

  onEvents(listener: (node: string, events: readonly Event[]) => void): () => void {
    return this.#edge.log.onVisible((events) => {
      listener(this.#edge.node, events);
    });
  }
}
