/** Brings a log's state up from what is stored: the newest usable checkpoint, then the tail. */
import { withdrawAcks } from "./acks.ts";
import {
  type Identity,
  checkpointName,
  checkpointPrefix,
  decodeCheckpoint,
  decodeIdentity,
  edgesName,
  encodeCheckpoint,
  encodeIdentity,
  identityName,
  noteEdges,
} from "./checkpoint.ts";
import type { Event, Incarnation, Seen, Side } from "./event.ts";
import { otherSide, sideOf } from "./event.ts";
import { generationOf, readOpened } from "./generations.ts";
import type { History, Range } from "./history.ts";
import { mintIncarnation } from "./incarnation.ts";
import type { LogOptions } from "./log-options.ts";
import { type Registers, registersProjection } from "./registers.ts";
import { type Problem, historyOf, rangeText, replay } from "./replay.ts";
import { RulesNote, anyAuthor, isBeginning } from "./rules.ts";
import { undamaged } from "./undamaged.ts";

export interface LogState {
  identity: Identity;
  readonly rules: RulesNote;
  readonly registers: Registers;
  readonly histories: Map<Incarnation, History>;
  readonly problems: readonly Problem[];
  /** Position of the last event. */
  readonly position: number;
  /**
   * Time of the live incarnation's newest durable event; while it has none, of what this side last said under an older
   * name, or 0. Not the clock's, whose corrections may not be appended yet.
   */
  time: number;
  /** The other side's latest event. */
  readonly seen: Seen | undefined;
  /** Events read after the checkpoint. */
  readonly replayed: number;
  /** Names of the checkpoints kept, oldest first. */
  readonly checkpoints: string[];
}

/** @throws FORMAT_NEWER, and what the store throws */
export async function openLog(options: LogOptions): Promise<LogState> {
  const { id, committer, environment, authority = anyAuthor } = options;
  const { store } = committer;
  const { logger, digest } = environment;
  const stored = await undamaged(store, identityName(id));
  let identity = stored === undefined ? undefined : decodeIdentity(stored);
  const removed = identity?.removed ?? [];
  const rules = await RulesNote.read(id, committer, authority.rules);
  const { start, checkpoints } = await newestCheckpoint(options, (name) => {
    return !rules.isOther || isBeginning(name, id, removed);
  });
  const { histories, state } = start;
  const own = new OwnTime(start, options.side, identity?.live);
  const result = await replay({
    store,
    log: id,
    digest,
    from: start.position + 1,
    removed,
    histories,
    onProgress: options.onProgress,
    take: (events) => {
      for (const event of events) {
        if (authority.mayApply(event)) fold(state, histories, event);
        else rules.skip(event);
      }
      own.take(events);
    },
  });
  for (const problem of result.problems) {
    logger.log(
      "error",
      "damage was found in the log; it is fetched again from the peer where that is possible",
      {
        log: id,
        ...problem,
      },
    );
    await store.suspect(`${id} ${rangeText(problem)}`);
  }
  // Not before all of it was read: what a newer version wrote is not changed.
  await rules.adopt(removed);
  identity ??= freshIdentity(options);
  noteEdges(await undamaged(store, edgesName(id)), histories);
  await withdrawAcks(committer, id, histories);
  return {
    identity,
    rules,
    registers: state,
    histories,
    problems: result.problems,
    // Positions that were taken out are not given again.
    position: Math.max(result.position, ...identity.removed.map(({ to }) => to)),
    time: own.time,
    seen: latestOf(otherSide(options.side), state, histories),
    replayed: result.events,
    checkpoints,
  };
}

/** The time up to which a side has written, as `LogState` says it, while segments are replayed. */
export class OwnTime {
  time: number;
  readonly #side: Side;
  readonly #live: Incarnation | undefined;
  #newest: number;

  /** @param live undefined where the log does not say who it is */
  constructor(
    start: { readonly time: number; readonly histories: ReadonlyMap<Incarnation, History> },
    side: Side,
    live: Incarnation | undefined,
  ) {
    this.time = start.time;
    this.#side = side;
    this.#live = live;
    this.#newest = live === undefined ? 0 : (start.histories.get(live)?.top ?? 0);
  }

  /** Takes a segment's events in. */
  take(events: readonly Event[]): void {
    const last = events.at(-1);
    // The peer's clock may be wrong; and the own one may have been ahead once, and been put right.
    if (last === undefined || sideOf(last.origin) !== this.#side) return;
    // What came back from the peer, of an older incarnation or for a hole, is older than its position says.
    const isLive = last.origin === this.#live;
    if (isLive ? last.seq < this.#newest : this.#newest > 0) return;
    this.time = last.time;
    if (isLive) this.#newest = last.seq;
  }
}

async function newestCheckpoint(
  options: LogOptions,
  isUsable: (name: string) => boolean,
): Promise<{
  start: { position: number; state: Registers; histories: Map<Incarnation, History>; time: number };
  checkpoints: string[];
}> {
  const { store } = options.committer;
  const checkpoints = (await store.names(checkpointPrefix(options.id))).filter(isUsable);
  for (const name of checkpoints.toReversed()) {
    const bytes = await undamaged(store, name);
    const start = bytes === undefined ? undefined : decodeCheckpoint(bytes);
    if (start !== undefined) return { start, checkpoints };
    options.environment.logger.log(
      "warn",
      "a snapshot can't be used, an older one or the whole log is read instead",
      {
        code: "SNAPSHOT_INVALID",
        snapshot: name,
      },
    );
  }
  const state = registersProjection.initial();
  return { start: { position: 0, state, histories: new Map(), time: 0 }, checkpoints };
}

/** Takes an event that may be applied into the registers, and closes the incarnation that it says is over. */
export function fold(state: Registers, histories: Map<Incarnation, History>, event: Event): void {
  registersProjection.apply(state, event);
  const opened = readOpened(event);
  if (opened?.previous === undefined) return;
  const history = historyOf(histories, opened.previous);
  history.closedAt = Math.min(history.closedAt ?? opened.end, opened.end);
}

/** A log that does not say who it is, is new, or has lost more than its identity: either way, a new incarnation. */
function freshIdentity({ id, side, committer, environment }: LogOptions): Identity {
  const live = mintIncarnation(side, environment.random);
  const identity: Identity = { live, removed: [], moving: undefined };
  committer.put(identityName(id), encodeIdentity(identity));
  return identity;
}

function latestOf(
  side: Side,
  { generations }: Registers,
  histories: ReadonlyMap<Incarnation, History>,
): Seen | undefined {
  let latest: History | undefined;
  for (const history of histories.values()) {
    if (sideOf(history.origin) !== side || history.top === 0) continue;
    if (
      latest === undefined ||
      generationOf(generations, history.origin) > generationOf(generations, latest.origin)
    ) {
      latest = history;
    }
  }
  return latest === undefined ? undefined : { origin: latest.origin, seq: latest.top };
}

const checkpointsKept = 2;

/** Puts a checkpoint of the visible state with the next batch, and lets the oldest go. @returns its size, bytes */
export function checkpoint(
  options: LogOptions,
  state: LogState,
  position: number,
  kept: number = checkpointsKept,
): number {
  const { committer, id } = options;
  const name = checkpointName(id, position);
  const { registers, histories, time, checkpoints } = state;
  const encoded = encodeCheckpoint({ position, state: registers, histories, time });
  committer.put(name, encoded);
  if (checkpoints.at(-1) !== name) checkpoints.push(name);
  while (checkpoints.length > kept) committer.put(checkpoints.shift() as string, undefined);
  return encoded.length;
}

/** Removes all checkpoints: the next time, the log is read from its start. */
export async function dropCheckpoints({ committer, id }: LogOptions): Promise<void> {
  for (const name of await committer.store.names(checkpointPrefix(id))) committer.put(name, undefined);
  await committer.flush();
}

/** Commits what waits, and removes all checkpoints. */
export async function readFromStart(options: LogOptions): Promise<void> {
  await options.committer.flush();
  await dropCheckpoints(options);
}

/** Notes positions as taken out. Resolves when that is on the disk. */
export async function noteRemoved(
  { committer, id }: LogOptions,
  state: LogState,
  positions: readonly Range[],
): Promise<void> {
  state.identity = { ...state.identity, removed: [...state.identity.removed, ...positions] };
  committer.put(identityName(id), encodeIdentity(state.identity));
  await committer.flush();
}
