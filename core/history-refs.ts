/** Which events the past is read from: what the history index tells of, and what a scan looks for. */
import { readEnded } from "./ended.ts";
import { type Event, sideOf } from "./event.ts";
import type { Ref } from "./history-entries.ts";
import { lifeOf } from "./registers.ts";

/**
 * What an event is in the state of its object; undefined where registers are not read from it. That lives are over for
 * good is said under a key of its own, and of no life; the last that an origin said of it says all.
 */
export function refOf(event: Event): Ref | undefined {
  const { seq, slot, origin } = event;
  if (readEnded(event) !== undefined) return { seq, life: "", slot: "" };
  const life = lifeOf(event);
  if (life === undefined) return undefined;
  if (event.deletes === true) return sideOf(origin) === "cloud" ? { seq, life, slot: undefined } : undefined;
  return slot === undefined ? undefined : { seq, life, slot };
}
