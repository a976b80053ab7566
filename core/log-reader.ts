import { withoutPlaces } from "./cover.ts";
import { TidemarkError } from "./errors.ts";
import type { Event, Incarnation } from "./event.ts";
import type { History, Range } from "./history.ts";
import type { LogOptions } from "./log-options.ts";
import type { Mark } from "./marks.ts";
import { readable, readableEvents } from "./replay.ts";
import type { ReadRecord } from "./store-port.ts";
import { type Segment, chainHash, lastOf, zeroHash } from "./segment.ts";

export const readBytesDefault: number = 1024 * 1024;

/** Reads what is durable of one log. */
export class LogReader {
  readonly #options: LogOptions;
  readonly #onDamage: (history: History, found: TidemarkError) => void;

  /** @param onDamage called when something that is said to be held can't be read */
  constructor(options: LogOptions, onDamage: (history: History, found: TidemarkError) => void) {
    this.#options = options;
    this.#onDamage = onDamage;
  }

  /**
   * Events at positions `from` to `to`, in order; whole segments up to about `maxBytes`. Damaged records are passed
   * over: what they held was reported when the log was opened, or has come back since, at another position.
   */
  async events(from: number, to: number, maxBytes: number): Promise<Event[]> {
    const { environment } = this.#options;
    const events: Event[] = [];
    // Where all that was read is damaged, what comes after it is what was asked for.
    for (let next = from; next <= to && events.length === 0;) {
      const records = await this.#records(next, maxBytes);
      const last = records.at(-1);
      if (last === undefined) break;
      for (const record of records) {
        if (record.position > to) break;
        for (const event of readableEvents(record, environment.digest) ?? []) {
          if (event.position >= from) events.push(event);
        }
      }
      next = last.position + (last.count ?? 1);
    }
    // What was covered together is stored an origin after the other.
    return events.sort((a, b) => a.position - b.position);
  }

  /** Records from a position on; what was covered together comes together. */
  async #records(from: number, maxBytes: number): Promise<ReadRecord[]> {
    const { store } = this.#options.committer;
    const { id } = this.#options;
    const found = await store.read(id, from, maxBytes);
    const start = Math.min(from, this.#spanOf(found[0])?.from ?? from);
    const records = start < from ? await store.read(id, start, maxBytes) : found;
    for (;;) {
      const last = records.at(-1);
      const next = (last?.position ?? 0) + (last?.count ?? 1);
      const to = this.#spanOf(last)?.to ?? 0;
      const more = next <= to ? await store.read(id, next, 1) : [];
      if (more.length === 0) return records;
      records.push(...more);
    }
  }

  #spanOf(record: ReadRecord | undefined): Range | undefined {
    if (record === undefined) return undefined;
    return readable(record, this.#options.environment.digest)?.cover?.places?.span;
  }

  /** One event, wherever it lies: past a hole too. */
  async event(origin: Incarnation, seq: number): Promise<Event | undefined> {
    const { committer, id, environment } = this.#options;
    const [record] = await committer.store.readOrigin(id, origin, seq, 1);
    if (record?.segment === undefined || record.lo > seq) return undefined;
    return readableEvents(record, environment.digest)?.find((event) => event.seq === seq);
  }

  /**
   * Segments of one origin from the one that holds `seq` on, up to its first hole.
   * @throws LOG_GAP when what is said to be held can't be read
   */
  async segments(history: History | undefined, seq: number, maxBytes: number): Promise<Segment[]> {
    if (history === undefined || seq > history.end) return [];
    const { committer, id, environment } = this.#options;
    const segments: Segment[] = [];
    let next = seq;
    for (const record of await committer.store.readOrigin(id, history.origin, seq, maxBytes)) {
      const segment = readable(record, environment.digest);
      if (segment === undefined || segment.lo > Math.min(next, history.end)) break;
      // What was covered again, for a hole before it, is behind the cover.
      if (lastOf(segment) < next) continue;
      segments.push(withoutPlaces(segment, environment.digest));
      next = lastOf(segment) + 1;
    }
    if (segments.length > 0) return segments;
    const { origin } = history;
    const found = new TidemarkError("LOG_GAP", `${origin}/${seq} is damaged on the disk`, {
      data: { origin, expected: seq },
    });
    this.#onDamage(history, found);
    throw found;
  }

  /** Commit boundaries after `from` and up to `to`: the first one, and others evenly spaced, at most `max`. */
  async boundaries(history: History | undefined, { from, to }: Range, max: number): Promise<Mark[]> {
    const before = history?.marks.before(from) ?? { seq: 0, hash: zeroHash };
    let { seq: at, hash } = before;
    const found: Mark[] = [];
    while (at < to) {
      const segments = await this.segments(history, at + 1, readBytesDefault);
      if (segments.length === 0) break;
      for (const segment of segments) {
        hash = chainHash(hash, segment, this.#options.environment.digest);
        at = lastOf(segment);
        if (at > from && at <= to) found.push({ seq: at, hash });
      }
    }
    const step = Math.ceil(found.length / max);
    return found.filter((_, index) => index % step === 0);
  }

  async hashAt(history: History | undefined, seq: number): Promise<Uint8Array | undefined> {
    if (history === undefined || seq > history.end) return undefined;
    let { seq: at, hash } = history.marks.before(seq) ?? { seq: 0, hash: zeroHash };
    while (at < seq) {
      const segments = await this.segments(history, at + 1, readBytesDefault);
      if (segments.length === 0) return undefined;
      for (const segment of segments) {
        if (at >= seq) break;
        hash = chainHash(hash, segment, this.#options.environment.digest);
        at = lastOf(segment);
      }
    }
    return at === seq ? hash : undefined;
  }
}
