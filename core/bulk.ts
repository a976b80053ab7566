/**
 * What the peer sends in bulk is stored as blocks at once: a day's backlog of small commits costs LevelDB three rows
 * each, and the merger the same again to take them out. What this side says itself is not: of a block that the disk
 * damages all is lost, and what came from the peer can be had again.
 */
import { blockBytesDefault, memberBytes } from "./block-size.ts";
import { type Side, sideOf } from "./event.ts";
import { type StoredBlock, type StoredSegment, maxBlockBytes } from "./store-port.ts";

/** What a commit takes of one source. */
export interface Collected {
  readonly segments: readonly StoredSegment[];
  readonly blocks: readonly StoredBlock[];
}

export interface BulkPace {
  /** So many small segments of the peer, committed together, are a block. */
  readonly bulkFrom?: number | undefined;
  /** A block holds about so much before it is compressed. */
  readonly blockBytes?: number | undefined;
}

const bulkFromDefault = 64;

/**
 * @param waiting neighbours, in order of position; those that are stored already have nothing
 * @param side whose replica it is
 */
export function grouped(
  waiting: readonly { readonly stored: StoredSegment | undefined }[],
  side: Side,
  { bulkFrom = bulkFromDefault, blockBytes = blockBytesDefault }: BulkPace = {},
): Collected {
  const segments: StoredSegment[] = [];
  const blocks: StoredBlock[] = [];
  let members: StoredSegment[] = [];
  let bytes = 0;
  let storedBytes = 0;
  const end = (): void => {
    if (members.length < bulkFrom) segments.push(...members);
    else blocks.push(blockOf(members));
    members = [];
    bytes = 0;
    storedBytes = 0;
  };
  for (const { stored } of waiting) {
    if (stored === undefined) continue;
    if (sideOf(stored.origin) === side) {
      end();
      segments.push(stored);
      continue;
    }
    const { length } = stored.segment;
    const more = memberBytes(stored.segment);
    if (bytes + more > blockBytes || storedBytes + length > maxBlockBytes) end();
    members.push(stored);
    bytes += more;
    storedBytes += length;
  }
  end();
  return { segments, blocks };
}

function blockOf(members: readonly StoredSegment[]): StoredBlock {
  const [first] = members as [StoredSegment];
  const last = members.at(-1) ?? first;
  return { log: first.log, from: first.position, to: last.position + last.count - 1, members };
}
