import type { LogShape } from "../store-port.ts";

export type GrowingShape = { -readonly [Field in keyof LogShape]: number };

export function emptyShape(): GrowingShape {
  return {
    segments: 0,
    segmentEvents: 0,
    segmentBytes: 0,
    blocks: 0,
    blockEvents: 0,
    blockSegmentBytes: 0,
    blockBytes: 0,
  };
}

/** What an index entry by position says. */
interface Listed {
  readonly count: number;
  readonly sizeBytes: number;
  readonly packedBytes: number;
  /** Undefined for a segment. */
  readonly runs: unknown;
}

export function addToShape(shape: GrowingShape, { count, sizeBytes, packedBytes, runs }: Listed): void {
  if (runs === undefined) {
    shape.segments += 1;
    shape.segmentEvents += count;
    shape.segmentBytes += sizeBytes;
  } else {
    shape.blocks += 1;
    shape.blockEvents += count;
    shape.blockSegmentBytes += sizeBytes;
    shape.blockBytes += packedBytes;
  }
}
