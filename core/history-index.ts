/**
 * Writes the history index, for what is merged for the first time: where the sequences of a time are, and which events
 * the state of an object is read from. It is a pure function of each origin's own events, so it does not matter when
 * what of the other side arrived.
 */
import { clockCorrected } from "./clock.ts";
import type { Event, Incarnation } from "./event.ts";
import {
  type Lives,
  type Ref,
  type Span,
  addRef,
  anyHistoryPrefix,
  copyOf,
  decodeEntry,
  decodeGaps,
  decodeSpan,
  encodeEntry,
  encodeGaps,
  encodeSpan,
  gapsName,
  historyPrefix,
  livesAt,
  numberOfName,
  numberedName,
  spanPrefix,
} from "./history-entries.ts";
import { isLetGo } from "./history-prune.ts";
import { refOf } from "./history-refs.ts";
import type { Range } from "./history.ts";
import type { Log } from "./log.ts";
import type { MergeIndex } from "./merger.ts";
import { readable, soundEvents } from "./replay.ts";
import { lastOf } from "./segment.ts";
import type { Store, StoredSegment } from "./store-port.ts";

/** What an entry holds of: the life going on, and the one before it, which is over by then. */
const livesKept = 2;
/** Objects of which the last entry is remembered, of all logs. */
const recentMax = 4096;

/** What is about to be written, and can't be read yet. */
interface Batch {
  readonly written: ReadonlyMap<string, Recent>;
  readonly values: Values;
  /** Of what is indexed of the origin. */
  readonly end: number;
}

type Values = Map<string, Uint8Array | undefined>;

/** Of one origin, in order of sequence: events, and ranges of which not all are kept. */
interface Found {
  readonly events: readonly Event[];
  readonly covers: readonly Range[];
}

interface Recent {
  readonly seq: number;
  readonly lives: Lives;
}

export class HistoryIndex implements MergeIndex {
  readonly #log: Log;
  readonly #store: Store;
  readonly #recent: Map<string, Recent>;

  /** @param recent what the indexes of a process remember, together */
  constructor(log: Log, recent: Map<string, Recent>) {
    this.#log = log;
    this.#store = log.stored.store;
    this.#recent = recent;
    // What was appended again under another name is not what the index goes on from.
    log.onReset(() => {
      const prefix = anyHistoryPrefix(log.id);
      for (const name of recent.keys()) if (name.startsWith(prefix)) recent.delete(name);
    });
  }

  /** Indexes for all logs of a process. */
  static forAll(): (log: Log) => HistoryIndex {
    const recent = new Map<string, Recent>();
    return (log) => new HistoryIndex(log, recent);
  }

  async valuesOf(members: readonly StoredSegment[]): Promise<Values> {
    const values: Values = new Map();
    const { digest } = this.#log.stored;
    const byOrigin = new Map<Incarnation, { events: Event[]; covers: Range[] }>();
    for (const member of members) {
      const { events, covers } = byOrigin.get(member.origin) ?? { events: [], covers: [] };
      byOrigin.set(member.origin, { events, covers });
      const segment = readable(member, digest);
      if (segment === undefined) continue;
      events.push(...(soundEvents(segment, member.position) ?? []));
      if (segment.cover !== undefined) covers.push({ from: segment.lo, to: lastOf(segment) });
    }
    for (const [origin, { events, covers }] of byOrigin) {
      events.sort((a, b) => a.seq - b.seq);
      // What came again, because it could not be read once, may be there twice.
      const once = events.filter(({ seq }, nth) => seq !== events[nth - 1]?.seq);
      await this.#addOrigin(origin, { events: once, covers }, values);
    }
    return values;
  }

  async #addOrigin(origin: Incarnation, { events, covers }: Found, values: Values): Promise<void> {
    const prefix = spanPrefix(this.#log.id, origin);
    const last = decodeSpan(await this.#store.floor(prefix, numberedName(prefix, Number.MAX_SAFE_INTEGER)));
    const fresh = await this.#unindexed(prefix, events, last);
    const [first] = fresh;
    if (first === undefined) return;
    const end = last?.hi ?? 0;
    await this.#noteGaps(origin, { events: fresh, covers }, end, values);
    const written = new Map<string, Recent>();
    for (const span of spansOf({ events: fresh, covers })) {
      values.set(numberedName(prefix, span.lo), encodeSpan(span));
      for (const [key, refs] of this.#byKey(fresh, span)) {
        const named = historyPrefix(this.#log.id, key, origin);
        const first = refs[0]?.seq ?? 0;
        const entry = { before: await this.#livesBefore(named, first, { written, values, end }), refs };
        values.set(numberedName(named, first), encodeEntry(entry, first));
        const seq = refs.at(-1)?.seq ?? 0;
        const after = { seq, lives: livesAt(entry, seq).slice(-livesKept) };
        written.set(named, after);
        if (span.lo <= end) await this.#amend(named, refs, values);
        else this.#remember(named, after);
      }
    }
  }

  #byKey(events: readonly Event[], { lo, hi }: Span): Map<string, Ref[]> {
    const byKey = new Map<string, Ref[]>();
    for (const event of events) {
      const ref = event.seq < lo || event.seq > hi ? undefined : refOf(event);
      if (ref === undefined || !this.#log.applies(event)) continue;
      const ofKey = byKey.get(event.key) ?? [];
      byKey.set(event.key, ofKey);
      ofKey.push(ref);
    }
    return byKey;
  }

  /** The events that no span covers: all of them, but where it is not known any more how far merging was. */
  async #unindexed(prefix: string, events: readonly Event[], last: Span | undefined): Promise<Event[]> {
    const first = events[0]?.seq ?? 0;
    if (last === undefined || last.hi < first) return [...events];
    const spans: Span[] = [];
    for (let at = events.at(-1)?.seq ?? 0; at >= first;) {
      const span = decodeSpan(await this.#store.floor(prefix, numberedName(prefix, at)));
      if (span === undefined) break;
      spans.push(span);
      at = span.lo - 1;
    }
    return events.filter(({ seq }) => !spans.some(({ lo, hi }) => seq >= lo && seq <= hi));
  }

  async #noteGaps(
    origin: Incarnation,
    { events: fresh, covers }: Found,
    end: number,
    values: Values,
  ): Promise<void> {
    const name = gapsName(this.#log.id, origin);
    let next = end + 1;
    const found: Range[] = [];
    for (const { seq } of fresh) {
      const gap = { from: next, to: seq - 1 };
      // A cover that was merged before may have let go what was last in it.
      const isGap = gap.from <= gap.to && !isCovered(covers, gap.from, gap.to);
      if (isGap && !(await isLetGo(this.#log, origin, gap))) found.push(gap);
      next = Math.max(next, seq + 1);
    }
    const isFilling = (fresh[0]?.seq ?? next) <= end;
    if (found.length === 0 && !isFilling) return;
    const before = decodeGaps(await this.#store.get(name));
    const filled = new Set(fresh.map(({ seq }) => seq));
    values.set(name, encodeGaps([...before.flatMap((gap) => without(gap, filled)), ...found]));
  }

  async #livesBefore(prefix: string, seq: number, { written, values, end }: Batch): Promise<Lives> {
    const known = written.get(prefix) ?? this.#recent.get(prefix);
    // What was remembered of a slice that was given up is no good for an earlier place.
    const isBefore = known !== undefined && known.seq < seq;
    if (isBefore && known.seq > end) return copyOf(known.lives);
    // What fills a gap may come before what follows the last entry.
    const found = await this.#store.floor(prefix, numberedName(prefix, seq - 1));
    if (isBefore && known.seq > (found === undefined ? 0 : numberOfName(found))) return copyOf(known.lives);
    const amended = found && { ...found, value: values.get(found.name) ?? found.value };
    const entry = decodeEntry(amended);
    return entry === undefined ? [] : livesAt(entry, seq).slice(-livesKept);
  }

  #remember(prefix: string, recent: Recent): void {
    this.#recent.delete(prefix);
    this.#recent.set(prefix, recent);
    const [oldest] = this.#recent.keys();
    if (this.#recent.size > recentMax && oldest !== undefined) this.#recent.delete(oldest);
  }

  /** Takes events that came late into the entries after them. */
  async #amend(prefix: string, refs: readonly Ref[], values: Values): Promise<void> {
    this.#recent.delete(prefix);
    const last = refs.at(-1)?.seq ?? 0;
    for (const name of await this.#store.names(prefix)) {
      const value = values.get(name) ?? (await this.#store.get(name));
      const entry = decodeEntry(value && { name, value });
      const first = Number.parseInt(name.slice(prefix.length), 16);
      if (entry === undefined || first <= last) continue;
      for (const ref of refs) addRef(entry.before, ref);
      values.set(name, encodeEntry(entry, first));
    }
  }
}

/** Whether all that lacks from one sequence to another was let go, and not lost. */
function isCovered(covers: readonly Range[], from: number, to: number): boolean {
  let next = from;
  for (const cover of covers) if (cover.from <= next) next = Math.max(next, cover.to + 1);
  return next > to;
}

/** Events whose sequences follow, but for what was let go between them, cut where an era of the clock begins. */
function spansOf({ events, covers }: Found): Span[] {
  const spans: Span[] = [];
  for (const { seq, time, type } of events) {
    const last = spans.at(-1);
    const isNext = last !== undefined && (last.hi + 1 === seq || isCovered(covers, last.hi + 1, seq - 1));
    const follows = isNext && type !== clockCorrected;
    if (follows) spans[spans.length - 1] = { ...last, hi: seq, lastTime: time };
    else spans.push({ lo: seq, hi: seq, firstTime: time, lastTime: time });
  }
  return spans;
}

function without({ from, to }: Range, filled: ReadonlySet<number>): Range[] {
  const left: Range[] = [];
  let start: number | undefined;
  for (let seq = from; seq <= to + 1; seq += 1) {
    const isGap = seq <= to && !filled.has(seq);
    if (isGap) start ??= seq;
    else if (start !== undefined) {
      left.push({ from: start, to: seq - 1 });
      start = undefined;
    }
  }
  return left;
}
