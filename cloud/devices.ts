/** All devices of the cluster, wherever they are: each read from its node's log or, while it has none, as declared. */
import { TidemarkError } from "../core/errors.ts";
import type { Event, Incarnation } from "../core/event.ts";
import { currentLife } from "../core/registers.ts";
import { rfc3339 } from "../core/time.ts";
import { deviceKey, parseDeviceKey } from "../protocol/devices/topics.ts";
import { type AsOf, type DeviceView, deviceView } from "../protocol/devices/twin-view.ts";
import type { DesiredValue, DeviceSource } from "../protocol/rest/device-api.ts";
import { isFailure } from "../protocol/rest/status.ts";
import { deviceKind } from "./api/device-kinds.ts";
import { nodeOf } from "./api/device-objects.ts";
import { setDesired } from "./api/set-desired.ts";
import type { Cloud } from "./cloud.ts";

/** What of the cloud the devices are read from. */
export type DevicesOf = Pick<Cloud, "cluster" | "nodes" | "resources" | "environment" | "logs" | "onNode">;

export class CloudDevices implements DeviceSource {
  readonly #cloud: DevicesOf;

  constructor(cloud: DevicesOf) {
    this.#cloud = cloud;
  }

  list(namespace: string | undefined): DeviceView[] {
    const views: DeviceView[] = [];
    for (const key of [...this.#cloud.cluster.registers.objects.keys()].toSorted()) {
      const device = parseDeviceKey(key);
      if (device === undefined || (namespace !== undefined && device.namespace !== namespace)) continue;
      const view = this.get(device.namespace, device.name);
      if (view !== undefined) views.push(view);
    }
    return views;
  }

  get(namespace: string, name: string): DeviceView | undefined {
    const declared = this.#cloud.resources.get(deviceKind, { namespace, name });
    if (declared === undefined) return undefined;
    const node = nodeOf(declared) ?? null;
    const log = node === null ? undefined : this.#cloud.nodes.get(node);
    const there = log !== undefined && currentLife(log.registers, deviceKey(namespace, name)) !== undefined;
    return deviceView(there ? log.registers : this.#cloud.cluster.registers, namespace, name, node);
  }

  asOf(): AsOf {
    const vector: Record<Incarnation, number> = {};
    for (const log of this.#cloud.nodes.values()) Object.assign(vector, log.vector());
    return { time: rfc3339(this.#cloud.environment.clock.now()), vector };
  }

  complete(): boolean {
    return [...this.#cloud.logs()].every((log) => log.problems.length === 0);
  }

  onEvents(listener: (node: string, events: readonly Event[]) => void): () => void {
    const stops: (() => void)[] = [];
    stops.push(
      this.#cloud.onNode((node, log) => {
        stops.push(
          log.onVisible((events) => {
            listener(node, events);
          }),
        );
      }),
    );
    return () => {
      for (const stop of stops) stop();
    };
  }

  readonly setDesired = async ({ namespace, name, ...change }: DesiredValue): Promise<void> => {
    const { resources, environment } = this.#cloud;
    const written = await setDesired(resources, environment.clock, { namespace, name }, change);
    if (!isFailure(written)) return;
    const code = written.code === 404 ? "NOT_FOUND" : written.code === 409 ? "CONFLICT" : "INVALID";
    throw new TidemarkError(code, written.message, { data: { ...written.details } });
  };
}
