/** When the next snapshot is due: by what would have to be read again without it. */
import type { Segment } from "./segment.ts";

const eventsDefault = 100_000;
const bytesDefault = 16 * 1024 * 1024;
/** A large snapshot is not worth taking for little: of all that is written it is a fifth at most. */
const snapshotShare = 4;

export class CheckpointPace {
  readonly #everyEvents: number;
  #events: number;
  #bytes = 0;
  #snapshotBytes = 0;

  /** @param events that were read after the last snapshot already */
  constructor(everyEvents: number = eventsDefault, events = 0) {
    this.#everyEvents = everyEvents;
    this.#events = events;
  }

  /** Whether there is anything that the last snapshot does not say. */
  get hasMore(): boolean {
    return this.#events > 0;
  }

  get isDue(): boolean {
    const isLong = this.#bytes >= Math.max(bytesDefault, this.#snapshotBytes * snapshotShare);
    return this.#events >= this.#everyEvents || (isLong && this.hasMore);
  }

  note(events: number, { bytes }: Pick<Segment, "bytes">): void {
    this.#events += events;
    this.#bytes += bytes.length;
  }

  /** @param snapshotBytes how large it was */
  taken(snapshotBytes: number): void {
    this.#events = 0;
    this.#bytes = 0;
    this.#snapshotBytes = snapshotBytes;
  }
}
