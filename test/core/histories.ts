/** Histories to fold, for properties of what is folded. */
import * as fc from "fast-check";
import { clockCorrected } from "../../core/clock.ts";
import { type Body, type Draft, type Event, type Incarnation, type Seen, eventId } from "../../core/event.ts";
import { type Ended, endedDraft, joinEnded } from "../../core/ended.ts";
import { originOpened, originReset } from "../../core/generations.ts";
import { type Registers, registersProjection } from "../../core/registers.ts";
import { anyBody, c1, c2, n1, n2, n3 } from "./drafts.ts";
import { applied, deleted, desired, reported, thermo } from "./log-site.ts";

interface Place {
  readonly time?: number;
  readonly seen?: readonly Seen[];
}

export function event(
  origin: Incarnation,
  seq: number,
  draft: Draft,
  { time = seq, seen = [] }: Place = {},
): Event {
  return { ...draft, body: draft.body ?? null, origin, seq, time, seen, position: 0 };
}

export function opened(incarnation: Incarnation, generation: number, previous?: Incarnation, end = 0): Draft {
  const body: Body = { incarnation, generation, previous: previous ?? null, end };
  return { type: originOpened, class: "audit", key: `origins/${incarnation}`, body };
}

export function fold(events: readonly Event[], state: Registers = registersProjection.initial()): Registers {
  for (const each of events) registersProjection.apply(state, each);
  return state;
}

export const reset: Draft = { type: originReset, class: "audit", key: "origins" };

/** Histories of all origins as they could be: each cloud incarnation opens the node's, and itself. */
export const keys: readonly string[] = [thermo, "devices/default/thermo-2", "__proto__"];
export const anyHistories: fc.Arbitrary<Event[][]> = fc
  .tuple(
    fc.array(fc.tuple(fc.nat(9), fc.nat(2), fc.nat(5), anyBody), { maxLength: 30, size: "max" }),
    fc.array(fc.tuple(fc.nat(4), fc.nat(2), fc.nat(5), anyBody), { maxLength: 30, size: "max" }),
    fc.boolean(),
    fc.boolean(),
  )
  .map(([cloudMoves, nodeMoves, resets, opensAll]) => {
    const lives = keys.map(() => [eventId(c1, 1)]);
    const cloudEvents: Record<string, Event[]> = { [c1]: [], [c2]: [] };
    const nodeEvents: Record<string, Event[]> = { [n1]: [], [n2]: [], [n3]: [] };
    const ended = new Map<Incarnation, Ended>();
    const add = (list: Event[], origin: Incarnation, draft: Draft, seen: readonly Seen[] = []): void => {
      list.push(event(origin, list.length + 1, draft, { seen, time: 1000 + ((list.length * 7919) % 13) }));
    };
    cloudMoves.forEach(([move, which, lifeIndex, body], index) => {
      const origin = index < cloudMoves.length / 2 ? c1 : c2;
      const list = cloudEvents[origin] as Event[];
      const key = keys[which] as string;
      const ids = lives[which] as ReturnType<typeof eventId>[];
      const id = ids[lifeIndex % ids.length] as ReturnType<typeof eventId>;
      if (move < 3) {
        ids.push(eventId(origin, list.length + 1));
        add(list, origin, applied(body, undefined, key));
      } else if (move < 5) add(list, origin, applied(body, id, key));
      else if (move === 9) {
        // It need not be true to be folded; it says all that the one before it said.
        const from = 1 + ((lifeIndex + which * 3) % 8);
        const ranges = [{ from, to: from + (which >> 1) }];
        const said = joinEnded(ended.get(origin) ?? new Map(), new Map([[lifeIndex < 4 ? c1 : c2, ranges]]));
        ended.set(origin, said);
        add(list, origin, endedDraft(said));
      } else if (move < 6) add(list, origin, deleted(id, key));
      else add(list, origin, { ...desired("x", id, `p${lifeIndex % 2}`, key), body });
    });
    nodeMoves.forEach(([move, which, lifeIndex, body], index) => {
      const origin = [n1, n2, n3][Math.floor((index * 3) / nodeMoves.length)] as Incarnation;
      const ids = lives[which] as ReturnType<typeof eventId>[];
      const id = ids[lifeIndex % ids.length] as ReturnType<typeof eventId>;
      const list = nodeEvents[origin] as Event[];
      const key = keys[which] as string;
      const correction: Draft = {
        type: clockCorrected,
        class: "audit",
        key: "clock",
        body: { offset: 5, since: 0 },
      };
      const seen = [{ origin: c1, seq: lifeIndex + 1 }];
      if (move === 0) add(list, origin, correction);
      else
        add(
          list,
          origin,
          { ...(move < 3 ? reported : desired)("x", id, `p${lifeIndex % 2}`, key), body },
          seen,
        );
    });
    const first = cloudEvents[c1] as Event[];
    const second = cloudEvents[c2] as Event[];
    // The peer takes no segment of an incarnation before it has a generation, and that is the cloud's first word.
    first.unshift(event(c1, 0, opened(c1, 1)));
    second.unshift(event(c2, 0, opened(c2, 2, c1, first.length)));
    if (resets) add(second, c2, reset);
    add(first, c1, opened(n1, 1));
    if (opensAll) add(first, c1, opened(n2, 2, n1, 3));
    if (opensAll) add(second, c2, opened(n3, 3, n2, 3));
    return [first, second, ...Object.values(nodeEvents)];
  });

/** One after the other, each history in its own order. */
export function interleaved(histories: readonly (readonly Event[])[], picks: readonly number[]): Event[] {
  const rest = histories.map((history) => [...history]);
  const events: Event[] = [];
  for (let step = 0; rest.some((history) => history.length > 0); step += 1) {
    const left = rest.filter((history) => history.length > 0);
    events.push(left[(picks[step % picks.length] ?? 0) % left.length]?.shift() as Event);
  }
  return events;
}

export const anyPicks: fc.Arbitrary<number[]> = fc.array(fc.nat(60), {
  minLength: 1,
  maxLength: 60,
  size: "max",
});
