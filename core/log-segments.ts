/** What a log does with one segment: makes it of a group, judges one that came, and carries an origin's chain over it. */
import { cutCover, withoutPlaces } from "./cover.ts";
import { TidemarkError, messageOf } from "./errors.ts";
import { type Incarnation, sideOf } from "./event.ts";
import type { Group } from "./group.ts";
import type { History } from "./history.ts";
import type { LogOptions } from "./log-options.ts";
import type { Digest } from "./ports.ts";
import { absorbBeyond } from "./replay.ts";
import { type Segment, chainHash, encodeSegment, isMine, lastOf, zeroHash } from "./segment.ts";

export interface Sealed {
  readonly segment: Segment;
  /** The chain hash after it; undefined where what comes before it is not known. */
  readonly hash: Uint8Array | undefined;
}

/** A segment, and the chain hash after it. */
interface Judged {
  readonly segment: Segment;
  readonly hash: Uint8Array;
}

/**
 * What is taken of a segment that came: of a cover what lies above what is held.
 * @throws SEGMENT_CORRUPT when a cover follows other events than those that are held
 */
export function fitted(segment: Segment, history: History, digest: Digest): Segment {
  const { stagedEnd: end, stagedHash } = history;
  if (segment.cover === undefined || lastOf(segment) <= end) return segment;
  if (segment.lo <= end) return cutCover(segment, end, stagedHash, digest);
  history.checkEdge(segment);
  return withoutPlaces(segment, digest);
}

/** Of those that wait for the disk, in order, the first with which all of the segment is there. */
export function holderOf<Waiting extends { readonly segment: Segment }>(
  segment: Segment,
  waiting: readonly Waiting[],
): Waiting | undefined {
  const to = lastOf(segment);
  return waiting.find((each) => each.segment.origin === segment.origin && lastOf(each.segment) >= to);
}

/** Makes a segment of the group, whose first event is `lo`, and stages it. */
export function sealGroup(group: Group, lo: number, history: History, options: LogOptions): Sealed {
  const { seen, events, bytes } = group;
  const draft = { origin: history.origin, lo, seen, count: events.length, events: [bytes] };
  // While the disk's own hole before it is not filled, the chain hash is not known: the MAC is of this segment alone.
  const isNext = lo === history.stagedEnd + 1;
  const macKey = options.side === "cloud" ? options.macKey : undefined;
  const before = isNext ? history.stagedHash : zeroHash;
  const { segment, hash } = encodeSegment(draft, before, options.environment.digest, macKey);
  group.release();
  if (isNext) history.stage(segment, hash);
  return { segment, hash: isNext ? hash : undefined };
}

/**
 * Why a segment of another origin, or one of the live incarnation that came back, is not taken.
 * @param live this side's incarnation
 * @returns LOG_FORKED or AUTHORITY; undefined when it is taken
 */
export function refuseSegment(
  { segment, hash }: Judged,
  history: History,
  live: Incarnation,
  { side, macKey, environment }: LogOptions,
): TidemarkError | undefined {
  const { origin, lo } = segment;
  const last = lastOf(segment);
  const isAhead = origin === live && (history.hole === undefined || last > history.top);
  if (last > (history.closedAt ?? last) || isAhead) {
    return new TidemarkError("LOG_FORKED", `${origin}/${last} is past the end of that incarnation`, {
      data: { origin, end: history.closedAt ?? history.end },
    });
  }
  // A cloud takes its own events back only when it can tell that it wrote them.
  if (side !== "cloud" || sideOf(origin) !== "cloud") return undefined;
  if (macKey !== undefined && isMine(segment, hash, environment.digest, macKey)) return undefined;
  return new TidemarkError("AUTHORITY", `${origin}/${lo} was not written by this cloud`, {
    data: { origin },
  });
}

/**
 * Takes a segment that is durable into its origin's history.
 * @returns resolves when what lies past a hole that it filled is a part of it too; undefined where that is so already
 */
export function settleSegment(
  { segment, hash }: Sealed,
  history: History,
  { committer, id, environment }: LogOptions,
): Promise<void> | undefined {
  const { digest, logger } = environment;
  if (segment.lo > history.end + 1) {
    history.extendBeyond(segment);
    return undefined;
  }
  history.settle(segment, hash ?? chainHash(history.hash, segment, digest));
  if (history.beyond.length === 0 || history.hole !== undefined) return undefined;
  return absorbBeyond({ store: committer.store, log: id, digest, history }).catch((error: unknown) => {
    const fields = { log: id, reason: messageOf(error) };
    logger.log("error", "what lies past a hole that was filled could not be read", fields);
  });
}
