/** The past of a log that is kept in a store. */
import { type Cut, isWithin } from "./cut.ts";
import { TidemarkError } from "./errors.ts";
import { type Event, type Incarnation, sideOf } from "./event.ts";
import type { Cancelled } from "./follow.ts";
import type { History, Range } from "./history.ts";
import type { Log } from "./log.ts";
import { type PastLog, lastByHalves } from "./past.ts";
import { type Registers, lifeOf } from "./registers.ts";
import { type Problem, readableEvents } from "./replay.ts";

const readBytes = 256 * 1024;

/** Reads the past of a log. It is cheap to make, and follows the log. */
export function pastOf(log: Log): PastLog {
  return new LogPast(log);
}

class LogPast implements PastLog {
  readonly id: PastLog["id"];
  readonly side: PastLog["side"];
  readonly applies: PastLog["applies"];
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
    this.id = log.id;
    this.side = log.side;
    this.applies = log.applies;
  }

  get position(): number {
    return this.#log.position;
  }

  get registers(): Registers {
    return this.#log.registers;
  }

  get histories(): ReadonlyMap<Incarnation, History> {
    return this.#log.histories;
  }

  get problems(): readonly Problem[] {
    return this.#log.problems;
  }

  eventAt(origin: Incarnation, seq: number): Promise<Event | undefined> {
    return this.#log.eventAt(origin, seq);
  }

  async *events(
    origin: Incarnation,
    { from, to }: Range,
    gone?: Cancelled,
  ): AsyncGenerator<readonly Event[]> {
    const { store, digest } = this.#log.stored;
    for (let next = from; next <= to;) {
      if (gone?.aborted === true) throw new TidemarkError("LOG_CLOSED", "nobody waits for this any more");
      const records = await store.readOrigin(this.id, origin, next, readBytes);
      const before = next;
      for (const record of records) {
        if (record.lo === undefined) continue;
        if (record.lo > to) return;
        const events = readableEvents(record, digest) ?? [];
        yield events.filter(({ seq }) => seq >= from && seq <= to);
        next = Math.max(next, record.lo + (record.count ?? 1));
      }
      if (next === before) return;
    }
  }

  lastAt(origin: Incarnation, timeMs: number, gone?: Cancelled): Promise<number> {
    return lastByHalves(this, origin, timeMs, gone);
  }

  stateOf(key: string, cut: Cut, gone?: Cancelled): Promise<readonly Event[]> {
    return walkState(this, key, cut, gone);
  }
}

/** The state of an object by a walk over all that the cut counts in. */
export async function walkState(
  log: PastLog,
  key: string,
  cut: Cut,
  gone?: Cancelled,
): Promise<readonly Event[]> {
  const { generations } = log.registers;
  const latest = new Map<string, Event>();
  for (const { origin, top } of log.histories.values()) {
    const last = cut[sideOf(origin)];
    if (last === undefined || !isWithin(cut, { origin, seq: 1 }, generations)) continue;
    const to = last.origin === origin ? last.seq : top;
    for await (const events of log.events(origin, { from: 1, to }, gone)) {
      for (const event of events) {
        const life = event.key === key && log.applies(event) ? lifeOf(event) : undefined;
        if (life === undefined) continue;
        // What ends a life has a slot too, which is not what it writes.
        latest.set(`${origin} ${life} ${event.deletes === true ? "" : `=${event.slot}`}`, event);
      }
    }
  }
  return [...latest.values()];
}
