/** The nodes of a cloud, as `tidemark node list` shows them. */
import { rfc3339 } from "../core/time.ts";
import type { NodeListRow, NodeSource } from "../protocol/rest/node-api.ts";
import type { Cloud } from "./cloud.ts";

export function nodeSource(cloud: Cloud): NodeSource {
  return {
    list: () => listOf(cloud),
    remove: (node, by) => cloud.removeNode(node, by),
  };
}

function listOf(cloud: Cloud): NodeListRow[] {
  const devices = new Map<string, number>();
  for (const { node } of cloud.devices.list(undefined)) {
    if (node !== null) devices.set(node, (devices.get(node) ?? 0) + 1);
  }
  const names = new Set([...cloud.nodes.keys(), ...devices.keys(), ...cloud.membership.admissions().keys()]);
  return [...names].toSorted().map((name) => {
    const removal = cloud.membership.removal(name);
    const link = cloud.hub.link(name);
    return {
      name,
      state: removal === undefined ? (link?.state ?? "Disconnected") : "Removed",
      since: rfc3339(removal?.time ?? link?.since ?? 0),
      events: cloud.nodes.get(name)?.position ?? 0,
      devices: devices.get(name) ?? 0,
      by: removal?.by ?? null,
    };
  });
}
