import type { Era } from "./clock.ts";
import type { Event, EventId, Incarnation, Seen } from "./event.ts";
import type { Range } from "./history.ts";

export interface Register {
  cloud: Event | undefined;
  node: Event | undefined;
  /** Events that may yet turn out to be the later ones, when a generation that is not known becomes known. */
  rivals: readonly Event[] | undefined;
}

export interface Life {
  /** The id of the cloud event that began it. */
  readonly id: EventId;
  /** Whether the cloud's own events under it have been seen; until then the object does not exist. */
  born: boolean;
  /** Whether it has ended. Events under it count for nothing from then on. */
  over: boolean;
  readonly slots: Map<string, Register>;
}

export interface Registers {
  readonly objects: Map<string, Map<EventId, Life>>;
  readonly generations: Map<Incarnation, number>;
  /** Corrections of the origins' clocks, in order of sequence. */
  readonly eras: Map<Incarnation, Era[]>;
  /** The newest `origin.reset`: lives of older generations of the cloud are over. */
  reset: Seen | undefined;
  /** Lives of which nothing is kept any more, as `lives.ended` said: by the sequences of what began them. */
  readonly ended: Map<Incarnation, readonly Range[]>;
}

export function emptyRegisters(): Registers {
  return { objects: new Map(), generations: new Map(), eras: new Map(), reset: undefined, ended: new Map() };
}
