/** Whether the past that a log calls whole is: what it says of each object at a moment, against all that was ever said. */
import { type Event, type EventId, type Incarnation, eventId, sideOf } from "../../core/event.ts";
import type { Log } from "../../core/log.ts";
import { Model } from "./model.ts";
import type { Release } from "./versions.ts";

/** Moments that are asked about, of each origin. */
const cutsEach = 3;

/** @param all every event of the log, forgotten or not */
export async function wrongPast(log: Log, all: readonly Event[], release: Release): Promise<string[]> {
  const found: string[] = [];
  const model = new Model(all);
  for (const [origin, { end, wholeFrom, thin, beyond }] of log.histories) {
    // A gap in what is thin elsewhere is said to be one.
    if (beyond.length > 0 || thin.length > (wholeFrom > 0 ? 1 : 0)) continue;
    const ofOrigin = all.filter((event) => event.origin === origin && log.applies(event));
    for (let nth = 0; nth < cutsEach; nth += 1) {
      const cut = Math.floor(Math.max(wholeFrom, 1) + ((end - Math.max(wholeFrom, 1)) * nth) / cutsEach);
      if (cut > end) continue;
      for (const key of new Set(ofOrigin.map((event) => event.key)))
        found.push(
          ...(await wrongAt(log, { origin, cut, key, life: model.currentLife(key), ofOrigin }, release)),
        );
    }
  }
  return found;
}

interface Asked {
  readonly origin: Incarnation;
  readonly cut: number;
  readonly key: string;
  /** The one that goes on. */
  readonly life: EventId | undefined;
  readonly ofOrigin: readonly Event[];
}

async function wrongAt(
  log: Log,
  { origin, cut, key, life, ofOrigin }: Asked,
  release: Release,
): Promise<string[]> {
  const events = await release.stateOfSide(log, key, sideOf(origin), { origin, seq: cut });
  const said = bySlot(events.filter((event) => event.origin === origin));
  // Of lives that are over less is kept.
  const ofKey = ofOrigin.filter((event) => event.key === key && event.seq <= cut);
  const should = latest(ofKey, life);
  const found: string[] = [];
  for (const [facet, event] of should) {
    if (nameOf(said.get(facet)) === nameOf(event)) continue;
    found.push(
      `${log.id} of the ${log.side}: ${key} ${facet} was ${nameOf(event)} at ${origin}/${cut}, and the log says ${nameOf(said.get(facet))}`,
    );
  }
  return found;
}

/** The latest of each slot of a life. */
function latest(events: readonly Event[], life: EventId | undefined): Map<string, Event> {
  const found = new Map<string, Event>();
  for (const event of events) {
    if (event.slot === undefined || lifeOf(event) !== life) continue;
    const isState =
      event.life !== undefined || (event.class === "resource" && sideOf(event.origin) === "cloud");
    const facet = `${lifeOf(event)} ${event.slot}`;
    if (isState && event.seq > (found.get(facet)?.seq ?? 0)) found.set(facet, event);
  }
  return found;
}

function bySlot(events: readonly Event[]): Map<string, Event> {
  return new Map(events.map((event) => [`${lifeOf(event)} ${event.slot}`, event]));
}

function lifeOf({ life, origin, seq }: Event): EventId {
  return life ?? eventId(origin, seq);
}

function nameOf(event: Event | undefined): string {
  return event === undefined ? "nothing" : eventId(event.origin, event.seq);
}
