/**
 * What was promised to whom: each value that a device was told is safe, and each write that the API answered. And what
 * may be gone all the same, because every disk that held it lost it.
 */
import { type Registers, currentLife } from "../../core/registers.ts";
import { conflictPolicyAnnotation } from "../../protocol/devices/conflict-policy.ts";

/** A value that a device published; no two are the same. */
export interface Published {
  readonly value: string;
  readonly node: string;
  /** The machine and the device: what one publishes is in order. */
  readonly publisher: string;
  readonly order: number;
  acked: boolean;
  /** Every disk that held it has lost it. */
  mayBeLost: boolean;
}

interface Assignment {
  /** Undefined: the object is deleted, or the value withdrawn. */
  readonly value: string | undefined;
  acked: boolean;
}

/** One write to the API, which sets several fields of one object. Where the cloud dies with the answer, neither comes. */
export interface Write {
  acked(): void;
  refused(): void;
}

export const markerField = "marker";
/** What the object says of conflicts. */
export const policyField = "policy";

export class Ledger {
  readonly published: Map<string, Published> = new Map();
  /** By `KEY field`: what it was set to, in order. */
  readonly #fields = new Map<string, Assignment[]>();
  #values = 0;
  #isForgotten = false;

  /** A text, or a number in a text, that was never used before. */
  nextValue(prefix = ""): string {
    this.#values += 1;
    return `${prefix}${this.#values}`;
  }

  publish(said: Omit<Published, "acked" | "mayBeLost" | "order">): Published {
    const published = { ...said, order: this.#values, acked: false, mayBeLost: false };
    this.published.set(said.value, published);
    return published;
  }

  /** After a disk has lost something. @param safe the values that some disk still holds, by node */
  disksHold(safe: (node: string) => ReadonlySet<string>): void {
    for (const published of this.published.values()) {
      if (published.acked && !safe(published.node).has(published.value)) published.mayBeLost = true;
    }
  }

  /** @param fields what it sets each field to */
  write(key: string, fields: ReadonlyMap<string, string | undefined>): Write {
    const assignments = new Map<string, Assignment>();
    for (const [field, value] of fields) {
      const name = `${key} ${field}`;
      const assignment = { value, acked: false };
      assignments.set(name, assignment);
      this.#fields.set(name, [...(this.#fields.get(name) ?? []), assignment]);
    }
    return {
      acked: () => {
        for (const assignment of assignments.values()) assignment.acked = true;
      },
      refused: () => {
        for (const [name, refused] of assignments) {
          const others = this.#fields.get(name)?.filter((assignment) => assignment !== refused);
          if (others !== undefined) this.#fields.set(name, others);
        }
      },
    };
  }

  /** The cloud's disk was put back: what it says now is what was promised. */
  clusterHolds(registers: Registers, keys: Iterable<string>): void {
    this.#fields.clear();
    for (const key of keys) this.write(key, fieldsOf(registers, key)).acked();
  }

  /**
   * The cluster log has lost something in its middle, of which there is no copy: a deletion perhaps, and then what was
   * deleted is there again. Nothing is promised from now on.
   */
  forgetCluster(): void {
    this.#isForgotten = true;
  }

  /** Fields of the cluster's objects that are not as the last acknowledged write, or a later one, set them. */
  *brokenPromises(registers: Registers): Generator<string> {
    if (this.#isForgotten) return;
    for (const [name, assignments] of this.#fields) {
      const [key = "", field = ""] = name.split(" ");
      const actual = fieldsOf(registers, key).get(field);
      const last = assignments.findLastIndex(({ acked }) => acked);
      // Before the first acknowledged write there is nothing that must be so.
      if (last === -1 || assignments.slice(last).some(({ value }) => value === actual)) continue;
      const promised = assignments.slice(last).map(({ value }) => value ?? "absent");
      yield `${name} is ${actual ?? "absent"}, where the API had promised ${promised.join(" or ")}`;
    }
  }
}

interface ObjectBody {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: {
    readonly properties?: readonly { readonly name: string; readonly desired?: { readonly value: string } }[];
  };
}

/** The fields of an object, as the cluster log's registers have it. */
function fieldsOf(registers: Registers, key: string): Map<string, string | undefined> {
  const body = currentLife(registers, key)?.slots.get("spec")?.cloud?.body;
  const { metadata, spec } = (body ?? { metadata: {}, spec: {} }) as unknown as ObjectBody;
  const fields = new Map<string, string | undefined>([
    [markerField, metadata.annotations?.["sim"]],
    [policyField, metadata.annotations?.[conflictPolicyAnnotation]],
  ]);
  for (const { name, desired } of spec.properties ?? []) fields.set(name, desired?.value);
  return fields;
}
