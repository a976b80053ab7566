/** How short a store is of room, by what was measured. */
import type { DiskSpace } from "./ports.ts";

/**
 * 0: ample. 1: what the peer has may be forgotten before its age. 2: also what the peer lacks may be. 3: appends are
 * refused.
 */
export type Pressure = 0 | 1 | 2 | 3;

/** The pressure; 4 where there is none left even for what is taken at 3. */
export type RoomLevel = Pressure | 4;

/** What is not known was not to be measured: it says nothing. */
export interface Measured {
  readonly usedBytes: number | undefined;
  readonly space: DiskSpace | undefined;
}

const mebi = 1024 * 1024;
/** A level ends where so much less than its share of the limit is used. */
const slackShare = 0.03;
/** A level ends where so many times its bytes are free. */
const slackFactor = 1.25;

/**
 * Bytes used from which each level begins. Beyond the limit is a margin: what forgetting and LevelDB write before they
 * take away, and what the peer was granted already.
 */
function usedFrom(level: RoomLevel, limitBytes: number): number {
  const margin = clamp(limitBytes / 10, 16 * mebi, 256 * mebi);
  return [0, 0.8 * limitBytes, 0.9 * limitBytes, limitBytes, limitBytes + margin][level] ?? 0;
}

/**
 * Free bytes at which appends begin to be refused: LevelDB writes a table before it takes others away, tens of MiB at a
 * time, and so may a neighbour between two looks. Of a small disk it is a twentieth.
 */
export function softBytes({ totalBytes }: DiskSpace): number {
  return clamp(totalBytes / 20, 16 * mebi, 128 * mebi);
}

const freeFactors = [Number.POSITIVE_INFINITY, 3, 2, 1, 0.5] as const;

/** Free bytes up to which a level goes. */
export function freeUpTo(level: RoomLevel, space: DiskSpace): number {
  return softBytes(space) * freeFactors[level];
}

/** @param current so that it does not change to and fro: a level begins earlier than it ends */
export function levelOf(measured: Measured, limitBytes: number | undefined, current: RoomLevel): RoomLevel {
  for (const level of [4, 3, 2, 1] as const) {
    const stands = level <= current;
    if (isUsedUp(level, measured, limitBytes, stands) || isDiskLow(level, measured, stands)) return level;
  }
  return 0;
}

export function isUsedUp(
  level: RoomLevel,
  { usedBytes }: Measured,
  limitBytes: number | undefined,
  stands: boolean,
): boolean {
  if (usedBytes === undefined || limitBytes === undefined) return false;
  const slack = stands ? slackShare * limitBytes : 0;
  return usedBytes >= usedFrom(level, limitBytes) - slack;
}

export function isDiskLow(level: RoomLevel, { space }: Measured, stands: boolean): boolean {
  if (space === undefined) return false;
  return space.freeBytes <= freeUpTo(level, space) * (stands ? slackFactor : 1);
}

/** Whether the disk has room for so many bytes more, and is then not low. */
export function hasRoomFor(bytes: number, space: DiskSpace): boolean {
  return space.freeBytes - bytes > freeUpTo(1, space) * slackFactor;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
