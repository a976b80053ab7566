import type { TidemarkError } from "./errors.ts";
import type { Draft, Event, EventId, Incarnation, LogId, Side } from "./event.ts";
import type { History } from "./history.ts";
import type { Registers } from "./registers.ts";

/** One side's copy of one log, and what is folded from it. */
export interface Replica {
  readonly id: LogId;
  readonly side: Side;
  /** This side's live incarnation. */
  readonly incarnation: Incarnation;
  /** Position of the last visible event; 0 when there is none. */
  readonly position: number;
  /** The durable state. Read it, never change it. */
  readonly registers: Registers;
  /**
   * Stages events of this side, all in one segment, and returns their ids at once. `done` is called when they are
   * durable (after the fsync) and visible in `registers`; or with the error, in which case the log is closed.
   * @throws LOG_OVERLOADED, LOG_FULL, LOG_CLOSED, EVENT_TOO_LARGE: nothing was staged
   */
  append(drafts: readonly Draft[], done?: (error?: TidemarkError) => void): readonly EventId[];
  /** As `append`; resolves when durable. */
  appended(drafts: readonly Draft[]): Promise<readonly EventId[]>;
  /** This side's latest event of a slot of the object's current life, staged ones included: for validation. */
  staged(key: string, slot: string): Event | undefined;
  /** The object's current life, staged births and deletes included: for validation. */
  stagedLife(key: string): EventId | undefined;
  /** Called with each segment's events, in order of position, when they are durable and in `registers`. */
  onVisible(listener: (events: readonly Event[]) => void): () => void;
  /** Durable events from a position on, in order; at least one segment if there is one. */
  read(position: number, maxBytes?: number): Promise<Event[]>;
  /** What is held of each origin of both sides. */
  readonly histories: ReadonlyMap<Incarnation, History>;
  /** The latest contiguous sequence of each origin. */
  vector(): Record<Incarnation, number>;
}
