/** What a log lets go that the other side never had: it says so itself, in an event. */
import type { Body, Draft, EventClass, Incarnation, LogId } from "./event.ts";

const logDropped = "log.dropped";

export interface Dropped {
  /** Null where only positions are known. */
  readonly origin: Incarnation | null;
  /** Sequences; positions where no origin is known. */
  readonly from: number;
  readonly to: number;
  /** `damage`: the disk lost all of the range. `retention`: there was no room for some of it. */
  readonly reason: "damage" | "retention";
  /** Of what there was no room for: its class, and how many events. */
  readonly class?: EventClass;
  readonly count?: number;
}

export function droppedDraft(log: LogId, dropped: Dropped): Draft {
  const body: Body = { ...dropped };
  return { type: logDropped, class: "audit", key: `logs/${log}`, body };
}
