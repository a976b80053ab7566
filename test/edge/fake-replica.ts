import type { TidemarkError } from "../../core/errors.ts";
import {
  type Body,
  type Draft,
  type Event,
  type EventId,
  type Incarnation,
  type LogId,
  type Seen,
  type Side,
  eventId,
  nodeLog,
} from "../../core/event.ts";
import type { History } from "../../core/history.ts";
import { type Registers, currentLife, registersProjection } from "../../core/registers.ts";
import type { Replica } from "../../core/replica.ts";
import { Staged } from "../../core/staged.ts";

export const cloudOrigin = "c0000000000001" as Incarnation;
export const nodeOrigin = "n0000000000001" as Incarnation;

interface Group {
  readonly events: Event[];
  readonly dones: ((error?: TidemarkError) => void)[];
}

/** A node's replica in memory: a commit takes a turn of the event loop, or as long as the test holds it. */
export class FakeReplica implements Replica {
  readonly id: LogId = nodeLog("edge-1");
  readonly side: Side = "node";
  readonly incarnation: Incarnation = nodeOrigin;
  readonly registers: Registers = registersProjection.initial();
  readonly histories: Map<Incarnation, History> = new Map();
  /** Every durable event, in order of position. */
  readonly events: Event[] = [];
  /** What the next appends are refused with. */
  refusal: TidemarkError | undefined;
  /** How often `append` was called. */
  appends = 0;
  time = 1_800_000_000_000;
  readonly #staged = new Staged();
  readonly #listeners = new Set<(events: readonly Event[]) => void>();
  #group: Group | undefined;
  #held = false;
  #seen: readonly Seen[] = [];
  #seqs: Record<string, number> = {};

  get position(): number {
    return this.events.length;
  }

  append(drafts: readonly Draft[], done?: (error?: TidemarkError) => void): readonly EventId[] {
    if (this.refusal !== undefined) throw this.refusal;
    this.appends += 1;
    const group = (this.#group ??= this.#open());
    const events = drafts.map((draft) => this.#event(draft, this.incarnation, this.#seen));
    for (const event of events) {
      this.#staged.add(event);
      group.events.push(event);
    }
    if (done !== undefined) group.dones.push(done);
    return events.map((event) => eventId(event.origin, event.seq));
  }

  appended(drafts: readonly Draft[]): Promise<readonly EventId[]> {
    return new Promise((resolve, reject) => {
      const ids = this.append(drafts, (error) => {
        if (error === undefined) resolve(ids);
        else reject(error);
      });
    });
  }

  /** From here on nothing gets durable, until `release`. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#commit();
  }

  /** The disk fails: what waits is not durable, and never will be. */
  fail(error: TidemarkError): void {
    const group = this.#group;
    this.#group = undefined;
    this.refusal = error;
    for (const done of group?.dones ?? []) done(error);
  }

  /** A segment of the cloud arrives. @returns the ids of its events */
  fromCloud(...drafts: readonly Draft[]): EventId[] {
    const seen = [{ origin: nodeOrigin, seq: this.#seqs[nodeOrigin] ?? 0 }];
    const events = drafts.map((draft) => this.#event(draft, cloudOrigin, seen));
    const last = events.at(-1);
    if (last !== undefined) this.#seen = [{ origin: cloudOrigin, seq: last.seq }];
    this.#show(events);
    return events.map((event) => eventId(event.origin, event.seq));
  }

  /** An event of this node's that had seen nothing of the cloud's. @returns its id */
  concurrent(draft: Draft): EventId {
    const event = this.#event(draft, this.incarnation, []);
    this.#show([event]);
    return eventId(event.origin, event.seq);
  }

  staged(key: string, slot: string): Event | undefined {
    return this.#staged.latest(key, slot) ?? currentLife(this.registers, key)?.slots.get(slot)?.node;
  }

  stagedLife(key: string): EventId | undefined {
    const staged = this.#staged.life(key);
    return staged === undefined ? currentLife(this.registers, key)?.id : staged.id;
  }

  onVisible(listener: (events: readonly Event[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  read(position: number): Promise<Event[]> {
    return Promise.resolve(this.events.slice(Math.max(position, 1) - 1));
  }

  vector(): Record<Incarnation, number> {
    return { ...this.#seqs };
  }

  #open(): Group {
    setImmediate(() => {
      if (!this.#held) this.#commit();
    });
    return { events: [], dones: [] };
  }

  #commit(): void {
    const group = this.#group;
    if (group === undefined) return;
    this.#group = undefined;
    for (const event of group.events) this.#staged.settle(event);
    this.#show(group.events);
    for (const done of group.dones) done();
  }

  #show(events: readonly Event[]): void {
    const placed = events.map((event, index) => ({ ...event, position: this.events.length + 1 + index }));
    for (const event of placed) registersProjection.apply(this.registers, event);
    this.events.push(...placed);
    for (const listener of this.#listeners) listener(placed);
  }

  #event(draft: Draft, origin: Incarnation, seen: readonly Seen[]): Event {
    const seq = (this.#seqs[origin] ?? 0) + 1;
    this.#seqs[origin] = seq;
    this.time += 1;
    return { ...draft, body: draft.body ?? null, origin, seq, time: this.time, seen, position: 0 };
  }
}

export function model(name: string, properties: readonly Body[]): Draft {
  return {
    type: "resource.applied",
    class: "resource",
    key: `devicemodels/default/${name}`,
    slot: "spec",
    body: { metadata: { name, namespace: "default" }, spec: { protocol: "modbus", properties } },
  };
}

export function device(
  name: string,
  options: { model?: string; namespace?: string; life?: EventId } = {},
): Draft {
  const namespace = options.namespace ?? "default";
  return {
    type: "resource.applied",
    class: "resource",
    key: `devices/${namespace}/${name}`,
    slot: "spec",
    life: options.life,
    body: {
      metadata: { name, namespace, labels: { description: "hall" } },
      spec: {
        deviceModelRef: { name: options.model ?? "thermo" },
        nodeName: "edge-1",
        properties: [{ name: "temp" }],
      },
    },
  };
}

export function desired(name: string, property: string, value: string | null, life: EventId): Draft {
  return {
    type: "twin.desired",
    class: "twin",
    key: `devices/default/${name}`,
    slot: `desired/${property}`,
    life,
    body: value === null ? null : [value],
  };
}

export const thermo: Draft = model("thermo", [
  { name: "temp", type: "INT", accessMode: "ReadWrite", minimum: "1", maximum: "100" },
  { name: "load", type: "FLOAT", accessMode: "ReadOnly" },
  { name: "mode", type: "STRING", accessMode: "ReadWrite" },
]);

/** A replica that holds the device `default/t1` of model `thermo`. */
export function replicaWithDevice(): { replica: FakeReplica; life: EventId } {
  const replica = new FakeReplica();
  const [, life] = replica.fromCloud(thermo, device("t1"));
  return { replica, life: life as EventId };
}
