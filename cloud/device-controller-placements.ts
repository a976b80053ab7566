/** Where devices are to be, and which models they need there. */
export interface Placement {
  readonly node: string;
  /** The model's key. */
  readonly model: string | undefined;
}

/** An index over the cluster log's devices, so that a changed model or node need not look at all of them. */
export class Placements {
  readonly #placements = new Map<string, Placement>();
  readonly #byNode = new Map<string, Set<string>>();
  /** By model, then by node: the devices. */
  readonly #byModel = new Map<string, Map<string, Set<string>>>();

  /** @returns where the device was to be until now */
  set(device: string, placement: Placement | undefined): Placement | undefined {
    const before = this.#placements.get(device);
    if (before !== undefined) this.#remove(device, before);
    if (placement !== undefined) this.#add(device, placement);
    return before;
  }

  nodes(): Iterable<string> {
    return this.#byNode.keys();
  }

  /** The keys of the devices that are to be on that node. */
  on(node: string): Iterable<string> {
    return this.#byNode.get(node) ?? [];
  }

  modelOf(device: string): string | undefined {
    return this.#placements.get(device)?.model;
  }

  /** The devices that refer to a model, by node. */
  using(model: string): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#byModel.get(model) ?? new Map();
  }

  #add(device: string, placement: Placement): void {
    this.#placements.set(device, placement);
    entry(this.#byNode, placement.node, () => new Set<string>()).add(device);
    if (placement.model === undefined) return;
    const nodes = entry(this.#byModel, placement.model, () => new Map<string, Set<string>>());
    entry(nodes, placement.node, () => new Set<string>()).add(device);
  }

  #remove(device: string, { node, model }: Placement): void {
    this.#placements.delete(device);
    take(this.#byNode, node, device);
    const nodes = model === undefined ? undefined : this.#byModel.get(model);
    if (model === undefined || nodes === undefined) return;
    take(nodes, node, device);
    if (nodes.size === 0) this.#byModel.delete(model);
  }
}

function entry<Value>(map: Map<string, Value>, key: string, initial: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = initial();
    map.set(key, value);
  }
  return value;
}

function take(map: Map<string, Set<string>>, key: string, device: string): void {
  const devices = map.get(key);
  devices?.delete(device);
  if (devices?.size === 0) map.delete(key);
}
