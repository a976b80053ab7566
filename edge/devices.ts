/** The devices of this node, read from its own log: with or without a cloud. */
import { TidemarkError } from "../core/errors.ts";
import type { Event } from "../core/event.ts";
import type { Clock } from "../core/ports.ts";
import { rfc3339 } from "../core/time.ts";
import { readDeclaration } from "../protocol/devices/declaration.ts";
import { draftsOfUpdate } from "../protocol/devices/twin-update.ts";
import { type AsOf, type DeviceView, deviceList, deviceView } from "../protocol/devices/twin-view.ts";
import type { DesiredValue, DeviceSource } from "../protocol/rest/device-api.ts";
import type { Edge } from "./edge.ts";

export class EdgeDevices implements DeviceSource {
  readonly #edge: Pick<Edge, "node" | "log">;
  readonly #clock: Clock;

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

  /** As an application on the node does by MQTT: with or without a cloud. */
  readonly setDesired = async (desired: DesiredValue): Promise<void> => {
    const { namespace, name, property, value, conflict } = desired;
    const { log } = this.#edge;
    const declaration = readDeclaration(log.registers, namespace, name);
    if (declaration === undefined) {
      throw new TidemarkError("NOT_FOUND", `there is no device ${namespace}/${name} on this node`);
    }
    const expected = { value, time: Math.floor(this.#clock.now()) };
    const change = { expected, actual: undefined, type: undefined };
    const drafts = draftsOfUpdate(declaration, new Map([[property, change]]));
    if (typeof drafts === "string") throw new TidemarkError("INVALID", drafts);
    await log.appended(drafts.map((draft) => ({ ...draft, cause: conflict })));
  };

  onEvents(listener: (node: string, events: readonly Event[]) => void): () => void {
    return this.#edge.log.onVisible((events) => {
      listener(this.#edge.node, events);
    });
  }
}
