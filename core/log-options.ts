import type { BulkPace } from "./bulk.ts";
import type { Committer } from "./committer.ts";
import type { TidemarkError } from "./errors.ts";
import type { Draft, Event, LogId, Side } from "./event.ts";
import type { Range } from "./history.ts";
import type { Digest, Environment } from "./ports.ts";
import type { Authority } from "./rules.ts";
import type { Segment } from "./segment.ts";
import type { Store } from "./store-port.ts";

export interface LogOptions {
  readonly id: LogId;
  readonly side: Side;
  readonly committer: Committer;
  readonly environment: Environment;
  /** The cloud's key: its segments carry a MAC, so that a node can give them back to a cloud that lost them. */
  readonly macKey?: Uint8Array | undefined;
  /** Which side may author which event; without it all events count. */
  readonly authority?: Authority | undefined;
  /** Why there is no room for these now; undefined where there is. Not asked for what the log appends of itself. */
  readonly refuses?: ((drafts: readonly Draft[]) => TidemarkError | undefined) | undefined;
  readonly onProgress?: ((events: number) => void) | undefined;
  readonly bulk?: BulkPace | undefined;
  /** A checkpoint is written after so many events. */
  readonly checkpointEvery?: number | undefined;
}

/** What a walk over the stored log needs. */
export interface StoredLog {
  readonly store: Store;
  readonly digest: Digest;
  /** Positions that were taken out on purpose. */
  readonly removed: readonly Range[];
  readonly mayApply: (event: Event) => boolean;
}

/** Takes each segment as it becomes durable, with its events. */
export type VisibleListener = (events: readonly Event[], segment: Segment) => void;
