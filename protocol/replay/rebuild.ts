/**
 * Rebuilds a projection from an export, event by event. Nothing else happens: no reactor runs, and nothing is written.
 */
import { decodeCheckpoint } from "../../core/checkpoint.ts";
import { calibratedTime } from "../../core/clock.ts";
import { eventsOf } from "../../core/cover.ts";
import { TidemarkError } from "../../core/errors.ts";
import { type Event, clusterLog, sideOf } from "../../core/event.ts";
import type { ExportEnd, ExportHeader, ExportPart } from "../../core/export-format.ts";
import type { Digest } from "../../core/ports.ts";
import { canonical } from "../../core/projection.ts";
import { type Registers, emptyRegisters } from "../../core/registers-state.ts";
import { hex } from "../../core/segment.ts";
import { rfc3339 } from "../../core/time.ts";
import { checkAuthority } from "../link/authority.ts";
import type { Fold, Replayable } from "./projections.ts";

/** Where a replay ends. */
export type Until =
  /** With this position. */
  | { readonly position: number }
  /** Ms since the epoch: later events are left out, by their calibrated times, wherever they stand. */
  | { readonly time: number }
  /** With this event, `ORIGIN/SEQ`, whose origin may be shortened. */
  | { readonly event: string };

/** What `replay` prints at each checkpoint. */
export interface ReplayRow {
  /** Of the last event that was applied, or, before the first, the position before it. */
  readonly position: number;
  readonly time: string | null;
  /** How many events there were yet. */
  readonly events: number;
  readonly projection: string;
  /** Hexadecimal SHA-256 of the state's canonical encoding. */
  readonly stateHash: string;
  readonly state?: unknown;
}

export interface RebuildOptions {
  readonly projection: Replayable;
  readonly digest: Digest;
  readonly until?: Until | undefined;
}

/** Events in batches, as they are read; ends where the replay does. */
export class Rebuild {
  readonly #parts: AsyncIterable<readonly ExportPart[]>;
  readonly #options: RebuildOptions;
  #header: ExportHeader | undefined;
  #end: ExportEnd | undefined;
  #fold: Fold | undefined;
  #last: Event | undefined;
  #events = 0;
  #isOver = false;

  constructor(parts: AsyncIterable<readonly ExportPart[]>, options: RebuildOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** Known once the first batch is there. */
  get header(): ExportHeader | undefined {
    return this.#header;
  }

  /** Known when all was read, and undefined where the replay ended before. */
  get end(): ExportEnd | undefined {
    return this.#end;
  }

  /** How many events were applied yet. */
  get events(): number {
    return this.#events;
  }

  get position(): number {
    return this.#last?.position ?? (this.#header?.from ?? 1) - 1;
  }

  /**
   * The events to apply, each of which the caller gives to `apply` before it takes the next.
   * @throws what reading an export throws; NOT_FOUND when the event to end with is not there; SNAPSHOT_INVALID
   */
  async *batches(): AsyncGenerator<readonly Event[]> {
    for await (const parts of this.#parts) {
      for (const part of parts) {
        if (part.kind === "header") this.#begin(part.header, emptyRegisters());
        else if (part.kind === "state") this.#resume(part.checkpoint);
        else if (part.kind === "end") this.#end = part.end;
        else {
          const { segment, position } = part;
          const all = part.events ?? eventsOf(segment, position);
          const events = this.#wanted(all);
          if (events.length > 0) yield events;
          if (this.#isOver) return;
        }
      }
    }
    const { until } = this.#options;
    if (until !== undefined && "event" in until)
      throw new TidemarkError("NOT_FOUND", `there is no event ${until.event} here`);
  }

  apply(event: Event): void {
    this.#last = event;
    this.#events += 1;
    if (this.#mayApply(event)) this.#open.apply(event);
  }

  row(withState: boolean): ReplayRow {
    const { projection, digest } = this.#options;
    return {
      position: this.position,
      time: this.#last === undefined ? null : rfc3339(this.#last.time),
      events: this.#events,
      projection: projection.name,
      stateHash: hex(digest.sha256(canonical(this.#open.encoded()))),
      ...(withState && { state: this.#open.shown() }),
    };
  }

  shown(): unknown {
    return this.#open.shown();
  }

  shownOf(key: string): unknown {
    return this.#open.shownOf(key);
  }

  get #open(): Fold {
    if (this.#fold === undefined) throw new Error("nothing was read yet");
    return this.#fold;
  }

  #begin(header: ExportHeader, registers: Registers): void {
    this.#header = header;
    this.#fold = this.#options.projection.begin(registers, header.log);
  }

  #resume(bytes: Uint8Array): void {
    const checkpoint = decodeCheckpoint(bytes);
    if (checkpoint === undefined || this.#header === undefined) {
      throw new TidemarkError(
        "SNAPSHOT_INVALID",
        "this export begins in the middle, with a state of another version of Tidemark: replay it with that version, or export the log from its beginning",
      );
    }
    this.#begin(this.#header, checkpoint.state);
  }

  #wanted(events: readonly Event[]): readonly Event[] {
    const { until } = this.#options;
    if (until === undefined) return events;
    if ("time" in until) {
      const eras = this.#header?.eras ?? new Map();
      return events.filter((event) => calibratedTime(eras, event) <= until.time);
    }
    const isLast =
      "position" in until
        ? (event: Event): boolean => event.position >= until.position
        : isEvent(until.event);
    const last = events.findIndex(isLast);
    this.#isOver = last !== -1;
    return last === -1
      ? events
      : events.slice(0, last + 1).filter(({ position }) => position <= limitOf(until));
  }

  /** As the log's own replicas: what a side may not author is never applied. */
  #mayApply(event: Event): boolean {
    return this.#header?.log === clusterLog || checkAuthority(sideOf(event.origin), event) === undefined;
  }
}

function limitOf(until: Until): number {
  return "position" in until ? until.position : Infinity;
}

function isEvent(id: string): (event: Event) => boolean {
  const [origin = "", seq] = id.split("/");
  return (event) => event.seq === Number(seq) && event.origin.startsWith(origin);
}
