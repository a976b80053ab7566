/** A log for questions about the past, made of events in order of arrival. */
import * as fc from "fast-check";
import type { Body, Draft, Event, EventId, Incarnation, LogId, Seen } from "../../core/event.ts";
import { eventId, parseEventId, sideOf } from "../../core/event.ts";
import { type Ended, endedDraft, joinEnded, readEnded } from "../../core/ended.ts";
import { calibratedTime, clockCorrected } from "../../core/clock.ts";
import { originOpened } from "../../core/generations.ts";
import { type Cut, isWithin } from "../../core/cut.ts";
import { TidemarkError } from "../../core/errors.ts";
import type { Cancelled } from "../../core/follow.ts";
import { History, type Range } from "../../core/history.ts";
import type { PastLog } from "../../core/past.ts";
import { type Registers, lifeOf, registersProjection } from "../../core/registers.ts";
import type { Problem } from "../../core/replay.ts";
import { c1, c2, n1, n2 } from "./drafts.ts";
import { applied, deleted, desired, node1, reported } from "./log-site.ts";

export interface Place {
  readonly time?: number;
  readonly seen?: readonly Seen[];
}

export class MadeLog implements PastLog {
  readonly id: LogId;
  readonly side: "cloud" | "node";
  readonly all: Event[] = [];
  readonly registers: Registers = registersProjection.initial();
  readonly histories: Map<Incarnation, History> = new Map();
  problems: Problem[] = [];
  /** Events that may not be authored. */
  readonly refused: Set<EventId> = new Set();
  /** How many events a page has. */
  pageEvents = 3;
  reads = 0;

  constructor(events: readonly Event[] = [], id: LogId = node1, side: "cloud" | "node" = "cloud") {
    this.id = id;
    this.side = side;
    for (const event of events) this.take(event);
  }

  get position(): number {
    return this.all.length;
  }

  /** The next event of an origin. @returns its id */
  add(origin: Incarnation, draft: Draft, { time, seen = [] }: Place = {}): EventId {
    const seq = (this.histories.get(origin)?.end ?? 0) + 1;
    const body = draft.body ?? null;
    this.take({ ...draft, body, origin, seq, time: time ?? this.position + 1, seen, position: 0 });
    return eventId(origin, seq);
  }

  take(event: Event): void {
    const placed = { ...event, position: this.position + 1 };
    const history = this.histories.get(event.origin) ?? new History(event.origin);
    history.end = Math.max(history.end, event.seq);
    this.histories.set(event.origin, history);
    this.all.push(placed);
    if (this.applies(placed)) registersProjection.apply(this.registers, placed);
  }

  readonly applies = ({ origin, seq }: Event): boolean => !this.refused.has(eventId(origin, seq));

  async *events(
    origin: Incarnation,
    { from, to }: Range,
    gone?: Cancelled,
  ): AsyncGenerator<readonly Event[]> {
    const held = this.all
      .filter((event) => event.origin === origin && event.seq >= from && event.seq <= to)
      .toSorted((a, b) => a.seq - b.seq);
    for (let at = 0; at < held.length; at += this.pageEvents) {
      if (gone?.aborted === true) throw new TidemarkError("LOG_CLOSED", "nobody waits for this any more");
      this.reads += 1;
      yield held.slice(at, at + this.pageEvents);
    }
  }

  lastAt(origin: Incarnation, timeMs: number): Promise<number> {
    const early = this.all.filter(
      (event) => event.origin === origin && calibratedTime(this.registers.eras, event) <= timeMs,
    );
    return Promise.resolve(Math.max(0, ...early.map(({ seq }) => seq)));
  }

  stateOf(key: string, cut: Cut, gone?: Cancelled): Promise<readonly Event[]> {
    return walkState(this, key, cut, gone);
  }

  eventAt(origin: Incarnation, seq: number): Promise<Event | undefined> {
    return Promise.resolve(this.all.find((event) => event.origin === origin && event.seq === seq));
  }
}

export function opened(incarnation: Incarnation, generation: number): Draft {
  const body: Body = { incarnation, generation, previous: null, end: 0 };
  return { type: originOpened, class: "audit", key: `origins/${incarnation}`, body };
}

export function corrected(offset: number, since: number): Draft {
  return { type: clockCorrected, class: "audit", key: "clock", body: { from: 0, to: 0, offset, since } };
}

/** One thing that a side does. */
interface Deed {
  readonly what: "apply" | "delete" | "end" | "desire" | "report" | "state" | "correct";
  readonly value: number;
  /** Which life of those begun so far. */
  readonly life: number;
  readonly property: string;
  /** How much later than the one before. */
  readonly later: number;
}

function deeds(...what: Deed["what"][]): fc.Arbitrary<Deed[]> {
  const deed = fc.record({
    what: fc.constantFrom(...what),
    value: fc.nat(5),
    life: fc.nat(3),
    property: fc.constantFrom("temperature", "mode"),
    later: fc.integer({ min: 0, max: 20 }),
  });
  return fc.array(deed, { maxLength: 12 });
}

/**
 * Events of two incarnations of each side, in any order of arrival that keeps each origin's own: lives that begin, end
 * and begin again, values of both sides, clocks that are put right.
 */
export const anyEvents: fc.Arbitrary<Event[]> = fc
  .record({
    deeds: fc.record({
      [c1]: deeds("apply", "apply", "delete", "end", "desire", "correct"),
      [c2]: deeds("apply", "delete", "end", "desire"),
      [n1]: deeds("report", "report", "desire", "state", "correct"),
      [n2]: deeds("report", "desire", "state", "correct"),
    }),
    order: fc.array(fc.nat(3), { minLength: 60, maxLength: 60 }),
  })
  .map(({ deeds, order }) => {
    const lives: EventId[] = [];
    const written = new Map(
      [c1, c2, n1, n2].map((origin) => [origin, write(origin, deeds[origin] ?? [], lives)]),
    );
    return arrive([...written.values()], order);
  });

function write(origin: Incarnation, todo: readonly Deed[], lives: EventId[]): Event[] {
  const events: Event[] = [];
  let time = origin === c2 || origin === n2 ? 60 : 10;
  let ended: Ended = new Map();
  const say = (draft: Draft): void => {
    const seq = events.length + 1;
    events.push({ ...draft, body: draft.body ?? null, origin, seq, time, seen: [], position: 0 });
  };
  if (origin === c1) for (const each of [opened(c1, 1), opened(n1, 1)]) say(each);
  if (origin === c2) for (const each of [opened(c2, 2), opened(n2, 2)]) say(each);
  for (const deed of todo) {
    // A clock goes back where it is put right, and nowhere else.
    const back = deed.what === "correct" ? deed.value * 9 : 0;
    time = Math.max(0, time + deed.later - back);
    const life = lives[deed.life % Math.max(1, lives.length)];
    if (deed.what === "correct") say(corrected(deed.value * 7 - 15, time - deed.value * 3));
    else if (deed.what === "apply") {
      if (deed.value < 3 || life === undefined) {
        lives.push(eventId(origin, events.length + 1));
        say(applied({ spec: deed.value }));
      } else say(applied({ spec: deed.value }, life));
    } else if (life === undefined) continue;
    else if (deed.what === "end") {
      // Whatever is under it: what an origin says of lives, it says again of those that it said before.
      ended = joinEnded(ended, beganAt(life));
      say(endedDraft(ended));
    } else say(draftOf(deed, life));
  }
  return events;
}

function beganAt(life: EventId): Ended {
  const began = parseEventId(life);
  return new Map(began && [[began.origin, [{ from: began.seq, to: began.seq }]]]);
}

function draftOf({ what, value, property }: Deed, life: EventId): Draft {
  if (what === "delete") return deleted(life);
  if (what === "desire") return desired(String(value), life, property);
  if (what === "report") return reported(String(value), life, property);
  const body = [value % 2 === 0 ? "online" : "offline"];
  return { ...reported("", life), type: "device.state", slot: "state", body };
}

function arrive(lists: readonly (readonly Event[])[], order: readonly number[]): Event[] {
  const next = lists.map(() => 0);
  const all: Event[] = [];
  const take = (index: number): void => {
    const event = lists[index]?.[next[index] ?? 0];
    if (event === undefined) return;
    next[index] = (next[index] ?? 0) + 1;
    all.push({ ...event, position: all.length + 1 });
  };
  for (const index of order) take(index);
  for (const [index, list] of lists.entries()) for (const _ of list) take(index);
  return all;
}

/** A side's events, in its own order. */
export function inOrder(events: readonly Event[], side: "cloud" | "node"): Event[] {
  const rank = (origin: Incarnation): number => (origin === c1 || origin === n1 ? 1 : 2);
  return events
    .filter(({ origin }) => sideOf(origin) === side)
    .toSorted((a, b) => rank(a.origin) - rank(b.origin) || a.seq - b.seq);
}

/** The state of an object by a walk over all that the cut counts in. */
async function walkState(log: PastLog, key: string, cut: Cut, gone?: Cancelled): Promise<readonly Event[]> {
  const { generations } = log.registers;
  const latest = new Map<string, Event>();
  for (const { origin, top } of log.histories.values()) {
    const last = cut[sideOf(origin)];
    if (last === undefined || !isWithin(cut, { origin, seq: 1 }, generations)) continue;
    const to = last.origin === origin ? last.seq : top;
    for await (const events of log.events(origin, { from: 1, to }, gone)) {
      for (const event of events) {
        if (event.key !== key || !log.applies(event)) continue;
        const life = readEnded(event) === undefined ? lifeOf(event) : "all";
        if (life === undefined) continue;
        // What ends a life has a slot too, which is not what it writes.
        latest.set(`${origin} ${life} ${event.deletes === true ? "" : `=${event.slot}`}`, event);
      }
    }
  }
  return [...latest.values()];
}
