/** What must be so: what devices said and were promised, and what of it each side may have let go. */
import { type Event, type Incarnation, sideOf } from "../../core/event.ts";
import type { Seeded } from "../sim/random.ts";

/** What one device said, in order: the number of the message, and when its events happened. */
interface Said {
  readonly numbers: number[];
  readonly times: number[];
}

interface DroppedRange {
  readonly origin: string;
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

const noise = 1_000_000;
const reportType = "twin.reported";

export class Model {
  /** By device. */
  readonly #said = new Map<string, Said>();
  /** The last event of the node that the model has seen, by incarnation and side of the replica. */
  readonly #seen = { node: new Map<Incarnation, number>(), cloud: new Map<Incarnation, number>() };
  /** The last number that reached the cloud, by device and property. */
  readonly #reached = new Map<string, number>();
  readonly #dropped: DroppedRange[] = [];
  readonly #conflicts = new Set<string>();
  /** Reports of the node that never came to the cloud: sequences, by range. */
  readonly #missing: { readonly origin: Incarnation; readonly from: number; readonly to: number }[] = [];
  readonly failures: string[] = [];
  published = 0;
  acknowledged = 0;
  /** Highest number that was acknowledged. */
  reports = 0;
  arrived = 0;
  conflicts = 0;
  /** Conflicts that the run has brought about, each once. */
  contended = 0;

  /** Events that have become durable on the node. */
  onNode(events: readonly Event[]): void {
    for (const event of events) {
      if (sideOf(event.origin) !== "node" || !this.#isNew("node", event)) continue;
      if (event.type !== reportType) continue;
      this.reports += 1;
      const number = numberOf(event);
      const said = this.#said.get(event.key) ?? { numbers: [], times: [] };
      this.#said.set(event.key, said);
      if (said.numbers.at(-1) === number) continue;
      said.numbers.push(number);
      said.times.push(event.time);
    }
  }

  /** Events that have become durable in the cloud. */
  onCloud(events: readonly Event[]): void {
    for (const event of events) {
      if (event.type === "conflict.resolved") this.#noteConflict(event);
      if (sideOf(event.origin) !== "node") continue;
      const before = this.#seen.cloud.get(event.origin) ?? 0;
      // What fills a hole that the disk had made came before.
      if (!this.#isNew("cloud", event)) continue;
      if (event.seq > before + 1)
        this.#missing.push({ origin: event.origin, from: before + 1, to: event.seq - 1 });
      if (event.type === "log.dropped") this.#dropped.push(event.body as unknown as DroppedRange);
      if (event.type === reportType) this.#noteArrival(event);
    }
  }

  #noteArrival({ key, slot, origin, seq, ...event }: Event): void {
    this.arrived += 1;
    const name = `${key} ${slot}`;
    const number = numberOf({ key, slot, origin, seq, ...event });
    const before = this.#reached.get(name) ?? 0;
    if (number <= before) this.failures.push(`${name}: ${number} came to the cloud after ${before}`);
    this.#reached.set(name, number);
  }

  #noteConflict({ body }: Event): void {
    const { cloud, edge } = body as { cloud: readonly unknown[]; edge: readonly unknown[] };
    const pair = `${String(cloud[0])} ${String(edge[0])}`;
    if (this.#conflicts.has(pair)) this.failures.push(`a conflict was recorded twice: ${pair}`);
    this.#conflicts.add(pair);
    this.conflicts += 1;
  }

  #isNew(side: "node" | "cloud", { origin, seq }: Event): boolean {
    const seen = this.#seen[side];
    if (seq <= (seen.get(origin) ?? 0)) return false;
    seen.set(origin, seq);
    return true;
  }

  /** Every event of the node that the cloud never had is in a range that a `log.dropped` names. */
  get lost(): { readonly events: number; readonly named: number; readonly unnamed: readonly string[] } {
    let events = 0;
    const unnamed: string[] = [];
    for (const { origin, from, to } of this.#missing) {
      events += to - from + 1;
      let next = from;
      const ranges = this.#dropped.filter((range) => range.origin === origin);
      for (const range of ranges.toSorted((a, b) => a.from - b.from))
        if (range.from <= next) next = Math.max(next, range.to + 1);
      if (next <= to) unnamed.push(`${origin}/${from}-${to}`);
    }
    const named = this.#dropped.reduce((sum, { count }) => sum + count, 0);
    return { events, named, unnamed };
  }

  /** What a device said last at an instant; undefined where it had said nothing. */
  saidAt(key: string, timeMs: number): number | undefined {
    const { numbers = [], times = [] } = this.#said.get(key) ?? {};
    let [low, high] = [0, times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((times[middle] ?? 0) <= timeMs) low = middle + 1;
      else high = middle;
    }
    return numbers[low - 1];
  }

  get keys(): string[] {
    return [...this.#said.keys()];
  }
}

/** What a property says in the message of a number: with digits of chance, that no compression takes away. */
export function valueOf(number: number, random: Seeded): number {
  return number * noise + random.between(0, noise - 1);
}

/** The number of the message that a value came with. */
export function numberIn(value: unknown): number {
  return Math.floor(Number(value) / noise);
}

function numberOf({ body }: Event): number {
  return numberIn((body as readonly unknown[])[0]);
}
