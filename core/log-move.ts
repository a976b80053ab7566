/**
 * Puts a rolled-back side right: what it appended past the point that others share is taken out of the old incarnation
 * and appended again under the new one, with its old time and `seen`, and a `cause` that names the old id.
 *
 * A crash in between is taken up where it stopped: the identity says that a move is under way, and what was moved
 * already names its old id.
 */
import { encodeIdentity, identityName } from "./checkpoint.ts";
import type { Draft, Event, EventId, Incarnation } from "./event.ts";
import { eventId } from "./event.ts";
import { cutHistory } from "./history-cut.ts";
import type { LogOptions } from "./log-options.ts";
import { type LogState, dropCheckpoints } from "./log-open.ts";
import { beginsLife } from "./registers.ts";
import { readableEvents } from "./replay.ts";
import type { ReadRecord } from "./store-port.ts";

const moveBytes = 4 * 1024 * 1024;

/** Stages an event again. @returns its new id */
export type StageAgain = (draft: Draft, event: Event) => EventId;

export async function moveTail(options: LogOptions, state: LogState, stage: StageAgain): Promise<void> {
  const { committer, id } = options;
  const { moving } = state.identity;
  if (moving === undefined) return;
  const { store } = committer;
  // Snapshots hold what is about to be taken out.
  committer.put(identityName(id), encodeIdentity(state.identity));
  await dropCheckpoints(options);
  await cutHistory(committer, id, moving.origin, moving.after);
  const renamed = await renamedBefore(options, state.identity.live, moving.origin);
  for (let next = moving.after + 1; ;) {
    const records = await store.readOrigin(id, moving.origin, next, moveBytes);
    const past = records.filter(({ lo }) => lo !== undefined && lo >= next);
    for (const record of past) {
      moveRecord(record, options, renamed, stage);
      next = Math.max(next, (record.lo ?? next) + (record.count ?? 1));
    }
    if (past.length === 0) break;
    const removed = past.filter(({ position }) => position > 0).map(positionsOf);
    state.identity = { ...state.identity, removed: [...state.identity.removed, ...removed] };
    committer.put(identityName(id), encodeIdentity(state.identity));
    // In one batch: what is appended again, and what is taken out.
    await committer.flush();
  }
  state.identity = { ...state.identity, moving: undefined };
  committer.put(identityName(id), encodeIdentity(state.identity));
  await committer.flush();
}

function moveRecord(
  record: ReadRecord,
  { committer, environment }: LogOptions,
  renamed: Map<EventId, EventId>,
  stage: StageAgain,
): void {
  committer.remove(record);
  for (const event of readableEvents(record, environment.digest) ?? []) {
    const id = stage(redrafted(event, renamed), event);
    if (beginsLife(event)) renamed.set(eventId(event.origin, event.seq), id);
  }
}

/** What was under a life that was renamed in the move goes with it. */
function redrafted(event: Event, renamed: ReadonlyMap<EventId, EventId>): Draft {
  const { type, class: kind, key, slot, body, deletes } = event;
  const life = event.life === undefined ? undefined : (renamed.get(event.life) ?? event.life);
  return { type, class: kind, key, slot, life, body, deletes, cause: eventId(event.origin, event.seq) };
}

/** The lives that a move which was cut short has renamed. */
async function renamedBefore(
  options: LogOptions,
  live: Incarnation,
  from: Incarnation,
): Promise<Map<EventId, EventId>> {
  const renamed = new Map<EventId, EventId>();
  let next = 1;
  for (;;) {
    const records = await options.committer.store.readOrigin(options.id, live, next, moveBytes);
    const fresh = records.filter((record) => record.lo !== undefined && record.lo >= next);
    if (fresh.length === 0) return renamed;
    for (const record of fresh) {
      for (const event of readableEvents(record, options.environment.digest) ?? []) {
        if (event.cause?.startsWith(`${from}/`) === true && beginsLife(event)) {
          renamed.set(event.cause, eventId(event.origin, event.seq));
        }
      }
      next = Math.max(next, (record.lo ?? next) + (record.count ?? 1));
    }
  }
}

function positionsOf(record: ReadRecord): { from: number; to: number } {
  return { from: record.position, to: record.position + (record.count ?? 1) - 1 };
}
