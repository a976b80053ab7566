/** One large segment that arrives in parts, within a session and across sessions. */
import { TidemarkError } from "../../core/errors.ts";
import type { Incarnation } from "../../core/event.ts";
import type { Digest } from "../../core/ports.ts";
import type { PartFrame, PartialClaim } from "./frames.ts";
import { maxFrameBytes } from "./limits.ts";

/** What is kept of a segment when its session ends, for the next one. At most `maxSegmentBytes`. */
export interface PartialSegment {
  readonly origin: Incarnation;
  readonly lo: number;
  readonly total: number;
  /** Its first bytes. */
  readonly bytes: Uint8Array;
}

export function claimOf(partial: PartialSegment, digest: Digest): PartialClaim {
  const { origin, lo, total, bytes } = partial;
  return { origin, lo, total, received: bytes.length, crc: digest.crc32(bytes) };
}

export class Reassembly {
  readonly origin: Incarnation;
  readonly lo: number;
  readonly total: number;
  #buffer: Uint8Array;
  #received: number;
  /** Kept from an earlier session, and not yet gone on with: the sender may also begin again. */
  #kept: boolean;

  private constructor(start: Omit<PartialSegment, "bytes">, bytes: Uint8Array, kept: boolean) {
    this.origin = start.origin;
    this.lo = start.lo;
    this.total = start.total;
    this.#buffer = bytes;
    this.#received = bytes.length;
    this.#kept = kept;
  }

  static resume(partial: PartialSegment): Reassembly {
    return new Reassembly(partial, partial.bytes, true);
  }

  /** @param current what is under way, which a first part may only replace when it was kept from an earlier session */
  static begin(part: PartFrame, current: Reassembly | undefined): Reassembly {
    if (part.offset !== 0) throw invalid(part, "its beginning never came");
    if (current !== undefined && !current.#kept) throw invalid(part, "another segment is not complete");
    return new Reassembly(part, new Uint8Array(0), false);
  }

  get isComplete(): boolean {
    return this.#received === this.total;
  }

  /** Whether the part says it is of this segment, and does not begin it again. */
  continuesWith(part: PartFrame): boolean {
    return part.origin === this.origin && part.lo === this.lo && !(part.offset === 0 && this.#kept);
  }

  /** @throws FRAME_INVALID when it is not the next part of this segment */
  add(part: PartFrame): void {
    if (part.total !== this.total) {
      throw invalid(part, `its size was ${this.total} bytes before, and is ${part.total} now`);
    }
    if (part.offset !== this.#received) {
      throw invalid(part, `a part at ${part.offset} where ${this.#received} was expected`);
    }
    this.#kept = false;
    this.#grow(this.#received + part.bytes.length);
    this.#buffer.set(part.bytes, this.#received);
    this.#received += part.bytes.length;
  }

  /** The bytes so far: of the whole segment, when it is complete. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#received);
  }

  get partial(): PartialSegment {
    const { origin, lo, total, bytes } = this;
    return { origin, lo, total, bytes };
  }

  /** The memory follows what has come, not what was announced. */
  #grow(needed: number): void {
    if (needed <= this.#buffer.length) return;
    const size = Math.min(this.total, Math.max(needed, this.#buffer.length * 2, maxFrameBytes));
    const larger = new Uint8Array(size);
    larger.set(this.bytes);
    this.#buffer = larger;
  }
}

function invalid(part: PartFrame, reason: string): TidemarkError {
  return new TidemarkError(
    "FRAME_INVALID",
    `the segment at ${part.origin}/${part.lo} can't go on: ${reason}`,
  );
}
