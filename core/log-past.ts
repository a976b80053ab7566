/** The past of a log that is kept in a store. */
import type { Cut } from "./cut.ts";
import { TidemarkError } from "./errors.ts";
import type { Event, Incarnation } from "./event.ts";
import type { Cancelled } from "./follow.ts";
import { lastAt, stateOfSide } from "./history-read.ts";
import type { History, Range } from "./history.ts";
import type { Log } from "./log.ts";
import type { PastLog } from "./past.ts";
import type { Registers } from "./registers.ts";
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
      if (gone?.aborted === true) throw noLongerAwaited();
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

  async lastAt(origin: Incarnation, timeMs: number): Promise<number> {
    const { top = 0 } = this.histories.get(origin) ?? {};
    return (await lastAt(this.#log, origin, top, timeMs)) ?? 0;
  }

  async stateOf(key: string, cut: Cut, gone?: Cancelled): Promise<readonly Event[]> {
    const events: Event[] = [];
    for (const side of ["cloud", "node"] as const) {
      if (gone?.aborted === true) throw noLongerAwaited();
      events.push(...(await stateOfSide(this.#log, key, side, cut[side])));
    }
    return events;
  }
}

function noLongerAwaited(): TidemarkError {
  return new TidemarkError("LOG_CLOSED", "nobody waits for this any more");
}
