/** How much goes into a block. */

/** A block holds about so much before it is compressed. */
export const blockBytesDefault: number = 256 * 1024;

/** Of a segment in a block, less than this is not its events: what its envelope comes to, less what the table keeps. */
const envelopeBytes = 60;
const memberBytesMin = 16;

/** What a segment counts for in a block. */
export function memberBytes(segment: Uint8Array): number {
  return weightOf(segment.length);
}

/** What a segment of so many bytes counts for in a block. */
export function weightOf(segmentBytes: number): number {
  return Math.max(segmentBytes - envelopeBytes, memberBytesMin);
}
