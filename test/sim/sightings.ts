/**
 * What a writer could see at the moment at which it appended, noted from outside: what its events say of it must be
 * just that. And what its wall clock said.
 */
import type { Draft, Event, EventId, Incarnation } from "../../core/event.ts";
import { eventId, otherSide, parseEventId, sideOf } from "../../core/event.ts";
import { clockCorrected } from "../../core/clock.ts";
import type { Done } from "../../core/group.ts";
import type { Log } from "../../core/log.ts";
import type { Clock } from "../../core/ports.ts";
import { conflictResolved } from "../../protocol/devices/conflicts.ts";
import type { Model } from "./model.ts";

/** One append. */
interface Sighting {
  /** Of each incarnation of the other side, the latest event that was visible. */
  readonly heads: ReadonlyMap<Incarnation, number>;
  readonly wallMs: number;
}

/** A clock that was never set says less than this: 2026-01-01. */
const plausibleFromMs = 1_767_225_600_000;
/** A clock follows its peer a minute, and a jump of less than a minute is no jump. */
const aheadMaxMs = 121_000;

export class Sightings {
  /** Of one id there may be several: a machine that was put back uses sequences again. */
  readonly #byEvent = new Map<EventId, (Sighting | undefined)[]>();
  /** The first sequence of which nobody has noted how it came, by incarnation. */
  readonly #unnoted = new Map<Incarnation, number>();

  /**
   * Notes each append to this log from now on. What it appended while it opened nobody has noted: those events may have
   * seen anything.
   */
  watch(log: Log, clock: Clock): void {
    const notedHere = new Set<EventId>();
    const append = log.append.bind(log);
    log.append = (drafts: readonly Draft[], done?: Done): readonly EventId[] => {
      const sighting = { heads: headsOf(log), wallMs: clock.now() };
      const ids = append(drafts, done);
      for (const id of ids) {
        notedHere.add(id);
        this.#note(id, sighting);
      }
      return ids;
    };
    const { top = 0 } = log.histories.get(log.incarnation) ?? {};
    const reached = this.#unnoted.get(log.incarnation) ?? top + 1;
    for (let seq = reached; seq <= top; seq += 1) this.#note(eventId(log.incarnation, seq), undefined);
    this.#unnoted.set(log.incarnation, top + 1);
    log.onVisible((events) => {
      for (const { origin, seq, cause } of events) {
        if (origin !== log.incarnation) continue;
        const id = eventId(origin, seq);
        if (this.#unnoted.get(origin) === seq) this.#unnoted.set(origin, seq + 1);
        const isAgain = cause !== undefined && this.#byEvent.has(cause);
        if (!notedHere.has(id) && !isAgain) this.#note(id, undefined);
      }
    });
  }

  #note(id: EventId, sighting: Sighting | undefined): void {
    this.#byEvent.set(id, [...(this.#byEvent.get(id) ?? []), sighting]);
  }

  /** Events that say they had seen what they had not, or not what they had. */
  *falseSeen(events: readonly Event[], model: Model): Generator<string> {
    const ends = endsOf(events);
    for (const event of events) {
      const sightings = this.#of(event);
      if (sightings === undefined || sightings.some(({ heads }) => isSeen(event, heads, { model, ends })))
        continue;
      const { origin, seq } = event.seen[0] ?? { origin: "nothing", seq: 0 };
      const could = sightings.map(
        ({ heads }) => [...heads].map((head) => head.join("/")).join(" ") || "nothing",
      );
      yield `${eventId(event.origin, event.seq)} says it had seen ${origin}/${seq}, and its writer could see ${could.join(" or ")}`;
    }
  }

  /** The appends that this event may be of; undefined where one was not noted. */
  #of({ type, origin, seq, cause }: Event): readonly Sighting[] | undefined {
    // What is appended again says what it said the first time; a record of a conflict was not there before.
    const again = type === conflictResolved ? undefined : cause;
    const noted = this.#byEvent.get(eventId(origin, seq)) ?? (again && this.#byEvent.get(again));
    const sightings = (noted ?? []).filter((sighting) => sighting !== undefined);
    return sightings.length === 0 || sightings.length !== noted?.length ? undefined : sightings;
  }

  /** Times that go back within one era, or are far ahead of the writer's own clock. @param events of one replica */
  *wrongTimes(events: readonly Event[]): Generator<string> {
    const last = new Map<Incarnation, Event>();
    const origins = new Set<string>(events.map(({ origin }) => origin));
    for (const event of [...events].sort((a, b) => a.seq - b.seq)) {
      const { origin, seq, time, type, cause } = event;
      const before = last.get(origin);
      // What is appended again keeps its time.
      if (cause !== undefined && origins.has(parseEventId(cause)?.origin ?? "")) continue;
      last.set(origin, event);
      if (before !== undefined && time < before.time && type !== clockCorrected) {
        yield `${eventId(origin, seq)} is of ${time}, and ${before.seq} before it of ${before.time}`;
      }
      const sightings = this.#of(event);
      const isRight = sightings?.some(
        ({ wallMs }) => wallMs < plausibleFromMs || time <= wallMs + aheadMaxMs,
      );
      if (sightings !== undefined && isRight === false) {
        yield `${eventId(origin, seq)} is of ${time}, when the clock said ${sightings.map(({ wallMs }) => wallMs).join(" or ")}`;
      }
    }
  }
}

function headsOf(log: Log): ReadonlyMap<Incarnation, number> {
  const heads = new Map<Incarnation, number>();
  for (const { origin, top } of log.histories.values()) {
    if (sideOf(origin) === otherSide(log.side) && top > 0) heads.set(origin, top);
  }
  return heads;
}

function endsOf(events: readonly Event[]): ReadonlyMap<Incarnation, number> {
  const ends = new Map<Incarnation, number>();
  for (const { origin, seq } of events) ends.set(origin, Math.max(seq, ends.get(origin) ?? 0));
  return ends;
}

interface Known {
  readonly model: Model;
  /** The last event of each incarnation. */
  readonly ends: ReadonlyMap<Incarnation, number>;
}

/**
 * Whether what the event says it had seen is the latest of these, by generation; and whether all of the older ones was
 * there, since having seen an event of a newer one counts as having seen that.
 */
function isSeen({ seen }: Event, heads: ReadonlyMap<Incarnation, number>, { model, ends }: Known): boolean {
  const said = seen[0];
  if (said === undefined || heads.size === 0) return said === undefined && heads.size === 0;
  if (heads.get(said.origin) !== said.seq) return false;
  const rank = (origin: Incarnation): number => model.generation(origin) ?? Number.POSITIVE_INFINITY;
  const older = [...ends].filter(([origin]) => {
    return sideOf(origin) === sideOf(said.origin) && rank(origin) < rank(said.origin);
  });
  if (older.some(([origin, end]) => (heads.get(origin) ?? 0) < end)) return false;
  return [...heads.keys()].every((origin) => rank(origin) <= rank(said.origin));
}
