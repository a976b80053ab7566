/** A replica in memory, whose disk confirms when the test says so. */
import { TidemarkError } from "../../core/errors.ts";
import {
  type Draft,
  type Event,
  type EventId,
  type Incarnation,
  type LogId,
  type Side,
  eventId,
} from "../../core/event.ts";
import type { History } from "../../core/history.ts";
import { type Registers, currentLife, registersProjection } from "../../core/registers.ts";
import type { Replica } from "../../core/replica.ts";
import { Staged } from "../../core/staged.ts";

type Done = (error?: TidemarkError) => void;

export class FakeReplica implements Replica {
  readonly id: LogId;
  readonly side: Side = "cloud";
  readonly incarnation: Incarnation = "c0000000000001" as Incarnation;
  readonly registers: Registers = registersProjection.initial();
  readonly histories: Map<Incarnation, History> = new Map();
  readonly events: Event[] = [];
  /** Whether every append is committed by itself, a turn later. */
  automatic: boolean;
  #staged = new Staged();
  #waiting: { readonly event: Event; readonly done: Done | undefined }[] = [];
  #listeners = new Set<(events: readonly Event[]) => void>();
  #nextSeq: number;
  #refusal: TidemarkError | undefined;

  /** @param durable what an earlier one held: that is all that is left of it */
  constructor(
    id: string,
    { durable = [], automatic = true }: { durable?: readonly Event[]; automatic?: boolean } = {},
  ) {
    this.id = id as LogId;
    this.automatic = automatic;
    for (const event of durable) this.#fold(event);
    this.#nextSeq = durable.filter(({ origin }) => origin === this.incarnation).length + 1;
  }

  get position(): number {
    return this.events.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  append(drafts: readonly Draft[], done?: Done): readonly EventId[] {
    if (this.#refusal !== undefined) throw this.#refusal;
    const ids = drafts.map((draft, index) => {
      const event: Event = {
        ...draft,
        origin: this.incarnation,
        seq: this.#nextSeq,
        time: this.#nextSeq,
        body: draft.body ?? null,
        seen: [],
        position: 0,
      };
      this.#nextSeq += 1;
      this.#staged.add(event);
      this.#waiting.push({ event, done: index === drafts.length - 1 ? done : undefined });
      return eventId(event.origin, event.seq);
    });
    if (this.automatic) setImmediate(() => this.commit());
    return ids;
  }

  appended(drafts: readonly Draft[]): Promise<readonly EventId[]> {
    return new Promise((resolve, reject) => {
      const ids = this.append(drafts, (error) => (error === undefined ? resolve(ids) : reject(error)));
    });
  }

  /** The disk confirms the first `count` events that wait. */
  commit(count: number = this.#waiting.length): void {
    const durable = this.#waiting.splice(0, count);
    if (durable.length === 0) return;
    const events = durable.map(({ event }) => {
      this.#staged.settle(event);
      return this.#fold(event);
    });
    for (const listener of this.#listeners) listener(events);
    for (const { done } of durable) done?.();
  }

  /** An event of the node arrives. */
  receive(draft: Draft, seq: number): void {
    const origin = "n0000000000002" as Incarnation;
    this.#fold({ ...draft, origin, seq, time: seq, body: draft.body ?? null, seen: [], position: 0 });
  }

  /** Refuses appends until it is told otherwise. */
  refuse(error: TidemarkError | undefined): void {
    this.#refusal = error;
  }

  /** The disk fails: what waits is lost, and those who wait are told. */
  fail(): void {
    const error = new TidemarkError("LOG_COMMIT_FAILED", "the disk failed; open the log again");
    const lost = this.#waiting;
    this.#waiting = [];
    this.#staged = new Staged();
    this.#nextSeq -= lost.length;
    for (const { done } of lost) done?.(error);
  }

  #fold(event: Event): Event {
    const placed = { ...event, position: this.events.length + 1 };
    this.events.push(placed);
    registersProjection.apply(this.registers, placed);
    return placed;
  }

  staged(key: string, slot: string): Event | undefined {
    const staged = this.#staged.latest(key, slot);
    if (staged !== undefined) return staged;
    if (this.#staged.life(key) !== undefined) return undefined;
    return currentLife(this.registers, key)?.slots.get(slot)?.cloud;
  }

  stagedLife(key: string): EventId | undefined {
    const staged = this.#staged.life(key);
    return staged === undefined ? currentLife(this.registers, key)?.id : staged.id;
  }

  onVisible(listener: (events: readonly Event[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async read(position: number): Promise<Event[]> {
    return this.events.slice(position - 1, position + 2);
  }

  vector(): Record<Incarnation, number> {
    const own = this.events.findLast(({ origin }) => origin === this.incarnation);
    return own === undefined ? {} : { [own.origin]: own.seq };
  }
}
