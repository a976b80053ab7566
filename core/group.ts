import { encodeEvent, maxEventBytes } from "./codec.ts";
import { TidemarkError } from "./errors.ts";
import type { Draft, Event, Seen } from "./event.ts";
import { maxSegmentBytes, maxSegmentEvents, segmentBytesTarget } from "./segment.ts";

export type Done = (error?: TidemarkError) => void;

/** The open commit group: what will be the next segment. All of it had seen the same. */
export class Group {
  readonly seen: readonly Seen[];
  readonly events: Event[] = [];
  readonly bytes: Uint8Array[] = [];
  readonly dones: Done[] = [];
  #size = 0;

  constructor(seen: readonly Seen[]) {
    this.seen = seen;
  }

  /** Whether so many more events, of `size` bytes together, still belong in one segment. */
  fits(size: number, count: number): boolean {
    return this.#size + size <= segmentBytesTarget && this.events.length + count <= maxSegmentEvents;
  }

  add(event: Event, bytes: Uint8Array): void {
    this.events.push(event);
    this.bytes.push(bytes);
    this.#size += bytes.length;
  }
}

/** The name of the old event, which one that is appended again carries as its cause. */
const causeBytesMax = 64;

/** Bytes of events that go into one segment together. */
export interface Encoded {
  readonly bytes: readonly Uint8Array[];
  readonly size: number;
}

/**
 * @param again they were written before, and are appended again
 * @throws EVENT_TOO_LARGE, also where they are too many or too much together; EVENT_INVALID
 */
export function encodeDrafts(
  drafts: readonly Draft[],
  firstSeq: number,
  time: number,
  again = false,
): Encoded {
  const maxBytes = again ? maxEventBytes + causeBytesMax : maxEventBytes;
  const bytes = drafts.map((draft, index) => encodeEvent(draft, firstSeq + index, time, maxBytes));
  const size = bytes.reduce((sum, event) => sum + event.length, 0);
  if (drafts.length > maxSegmentEvents || (drafts.length > 1 && size > maxSegmentBytes / 2)) {
    throw new TidemarkError(
      "EVENT_TOO_LARGE",
      `${drafts.length} events of ${size} bytes are too much for one segment; append them in parts`,
    );
  }
  return { bytes, size };
}
