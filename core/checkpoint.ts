/** What a log keeps beside its segments: who it is, and snapshots to start from. */
import { pack, unpack } from "./codec.ts";
import { TidemarkError } from "./errors.ts";
import { type Incarnation, type LogId, isIncarnation } from "./event.ts";
import { type EncodedHistory, type History, type Range, decodeHistory, encodeHistory } from "./history.ts";
import { decodeSnapshot, encodeSnapshot } from "./projection.ts";
import { zeroHash } from "./segment.ts";
import { type Registers, registersProjection } from "./registers.ts";

const identityVersion = 1;
const checkpointVersion = 1;
const edgesVersion = 1;

type EncodedEdge = readonly [
  origin: Incarnation,
  seq: number,
  hash: Uint8Array,
  thin: readonly (readonly [number, number])[],
];

export interface Identity {
  readonly live: Incarnation;
  /** Positions taken out on purpose, when an origin's divergent tail was appended again under a new incarnation. */
  readonly removed: readonly Range[];
  /** Such a move that is not finished. */
  readonly moving: { readonly origin: Incarnation; readonly after: number } | undefined;
}

export function identityName(log: LogId): string {
  return `identity!${log}`;
}

export function encodeIdentity({ live, removed, moving }: Identity): Uint8Array {
  return pack([
    identityVersion,
    live,
    removed.map(({ from, to }) => [from, to]),
    moving === undefined ? null : [moving.origin, moving.after],
  ]);
}

/** @throws FORMAT_NEWER; undefined when the bytes are no identity */
export function decodeIdentity(bytes: Uint8Array): Identity | undefined {
  let row: unknown;
  try {
    row = unpack(bytes);
  } catch {
    return undefined;
  }
  if (!Array.isArray(row) || row.length < 4) return undefined;
  const [version, live, removed, moving] = row as [
    number,
    unknown,
    [number, number][],
    [Incarnation, number] | null,
  ];
  if (typeof version !== "number") return undefined;
  if (version > identityVersion) {
    throw new TidemarkError(
      "FORMAT_NEWER",
      `this log was written by a newer version (identity format ${version}); use a newer Tidemark`,
    );
  }
  if (!isIncarnation(live)) return undefined;
  return {
    live,
    removed: removed.map(([from, to]) => ({ from, to })),
    moving: moving === null ? undefined : { origin: moving[0], after: moving[1] },
  };
}

/** Of each origin the end of its last cover, and where not everything is kept: a snapshot may be older than that. */
export function edgesName(log: LogId): string {
  return `edges!${log}`;
}

export function encodeEdges(histories: Iterable<History>): Uint8Array {
  const edges: EncodedEdge[] = [];
  for (const { origin, edge, thin } of histories) {
    const ranges = thin.map(({ from, to }): [number, number] => [from, to]);
    edges.push([origin, edge?.seq ?? 0, edge?.hash ?? zeroHash, ranges]);
  }
  return pack([edgesVersion, edges]);
}

/** Tells the histories of the ends of covers. What can't be read, the next compaction finds again. */
export function noteEdges(bytes: Uint8Array | undefined, histories: ReadonlyMap<Incarnation, History>): void {
  const [version, edges = []] = bytes === undefined ? [] : (unpack(bytes) as [number, EncodedEdge[]]);
  if (version !== edgesVersion) return;
  for (const [origin, seq, hash, thin] of edges) {
    const history = histories.get(origin);
    if (seq > 0) history?.noteEdge({ seq, hash: Uint8Array.from(hash) });
    for (const [from, to] of thin) history?.noteThin({ from, to });
  }
}

/** Where a replay may start: the registers' state at a position, and what was held of each origin there. */
export interface Checkpoint {
  readonly position: number;
  readonly state: Registers;
  readonly histories: Map<Incarnation, History>;
  /** Time of this side's newest event, as `LogState` has it; or 0. */
  readonly time: number;
}

export function checkpointPrefix(log: LogId): string {
  return `checkpoint!${log}!`;
}

export function checkpointName(log: LogId, position: number): string {
  return checkpointPrefix(log) + position.toString(16).padStart(14, "0");
}

export function encodeCheckpoint({ position, state, histories, time }: Checkpoint): Uint8Array {
  return pack([
    checkpointVersion,
    time,
    [...histories.values()].map(encodeHistory),
    encodeSnapshot(registersProjection, state, position),
  ]);
}

/** @returns undefined when it can't be used; the log is then replayed from an older one, or from the start */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint | undefined {
  try {
    const [version, time, histories, snapshot] = unpack(bytes) as [
      number,
      number,
      EncodedHistory[],
      Uint8Array,
    ];
    if (version !== checkpointVersion) return undefined;
    const decoded = decodeSnapshot(registersProjection, snapshot);
    if (decoded === undefined) return undefined;
    return {
      position: decoded.position,
      state: decoded.state,
      histories: new Map(histories.map((row) => [row[0], decodeHistory(row)])),
      time,
    };
  } catch {
    return undefined;
  }
}
