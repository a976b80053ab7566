import { maxEventBytes } from "./codec.ts";
import { TidemarkError } from "./errors.ts";
import type { Draft, Event, Seen } from "./event.ts";
import { EventWriter } from "./event-writer.ts";
import { maxSegmentBytes, maxSegmentEvents, segmentBytesTarget } from "./segment.ts";

export type Done = (error?: TidemarkError) => void;

/** The name of the old event, which one that is appended again carries as its cause. */
const causeBytesMax = 64;

/** Writers whose bytes have been copied out: growing a new one for each commit costs as much as filling it. */
const spareWriters: EventWriter[] = [];
const spareWritersMax = 4;
const spareBytesMax = 64 * 1024;

export interface WriteOptions {
  /** Sequence of the first draft. */
  readonly seq: number;
  readonly time: number;
  /** They were written before, and are appended again. */
  readonly again: boolean;
}

/** The open commit group: what will be the next segment. All of it had seen the same. */
export class Group {
  readonly seen: readonly Seen[];
  readonly events: Event[] = [];
  readonly dones: Done[] = [];
  readonly #writer: EventWriter = spareWriters.pop() ?? new EventWriter();
  #count = 0;

  constructor(seen: readonly Seen[]) {
    this.seen = seen;
  }

  /** The events' bytes: a view, good until the next write or `release`. */
  get bytes(): Uint8Array {
    return this.#writer.bytes;
  }

  /** Lets go of the bytes: the group takes no more. */
  release(): void {
    if (spareWriters.length === spareWritersMax || this.#writer.capacity > spareBytesMax) return;
    this.#writer.truncate(0);
    spareWriters.push(this.#writer);
  }

  /**
   * Writes events that belong in one segment.
   * @returns their bytes; undefined when they do not fit behind those that are here: the next group takes them
   * @throws EVENT_TOO_LARGE, also where they are too many or too much together; EVENT_INVALID: nothing was written
   */
  write(drafts: readonly Draft[], { seq, time, again }: WriteOptions): number | undefined {
    const writer = this.#writer;
    const start = writer.length;
    const maxBytes = again ? maxEventBytes + causeBytesMax : maxEventBytes;
    try {
      for (let index = 0; index < drafts.length; index += 1) {
        writer.write(drafts[index] as Draft, seq + index, time, maxBytes);
      }
      const size = writer.length - start;
      checkTogether(drafts.length, size);
      if (this.#count === 0 || this.#fits(drafts.length)) {
        this.#count += drafts.length;
        return size;
      }
    } catch (error) {
      writer.truncate(start);
      throw error;
    }
    writer.truncate(start);
    return undefined;
  }

  #fits(count: number): boolean {
    return this.#writer.length <= segmentBytesTarget && this.#count + count <= maxSegmentEvents;
  }
}

function checkTogether(count: number, size: number): void {
  if (count <= maxSegmentEvents && (count === 1 || size <= maxSegmentBytes / 2)) return;
  throw new TidemarkError(
    "EVENT_TOO_LARGE",
    `${count} events of ${size} bytes are too much for one segment; append them in parts`,
  );
}
