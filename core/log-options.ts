import type { Committer } from "./committer.ts";
import type { Event, LogId, Side } from "./event.ts";
import type { Environment } from "./ports.ts";
import type { Segment } from "./segment.ts";

export interface LogOptions {
  readonly id: LogId;
  readonly side: Side;
  readonly committer: Committer;
  readonly environment: Environment;
  /** The cloud's key: its segments carry a MAC, so that a node can give them back to a cloud that lost them. */
  readonly macKey?: Uint8Array | undefined;
  /** Which side may author which event. What may not is kept, and never applied. */
  readonly mayApply?: ((event: Event) => boolean) | undefined;
  readonly onProgress?: ((events: number) => void) | undefined;
  /** A checkpoint is written after so many events. */
  readonly checkpointEvery?: number | undefined;
}

/** Takes each segment as it becomes durable, with its events. */
export type VisibleListener = (events: readonly Event[], segment: Segment) => void;
