/** Where a log begins, and the state at any position of it. */
import { type Checkpoint, checkpointPrefix, decodeCheckpoint } from "./checkpoint.ts";
import { OwnTime, fold } from "./log-open.ts";
import type { Log } from "./log.ts";
import { registersProjection } from "./registers.ts";
import { replay } from "./replay.ts";
import { undamaged } from "./undamaged.ts";

/** The state before the segment that holds `position`: from the newest checkpoint before it on. */
export async function stateBefore(log: Log, position: number): Promise<Checkpoint> {
  const { store, digest, removed, mayApply } = log.stored;
  const [record] = await store.read(log.id, position, 1);
  // What is before the first segment is in a checkpoint, where this log is itself a slice.
  const begin = Math.max(await beginningOf(log), Math.min(position, record?.position ?? position));
  const checkpoint = await checkpointBefore(log, begin);
  const { state, histories } = checkpoint;
  const own = new OwnTime(checkpoint, log.side, log.incarnation);
  const end = begin - 1;
  if (checkpoint.position < end) {
    await replay({
      store,
      log: log.id,
      digest,
      from: checkpoint.position + 1,
      to: end,
      removed,
      histories,
      take: (events) => {
        for (const event of events) if (mayApply(event)) fold(state, histories, event);
        own.take(events);
      },
    });
  }
  return { position: end, state, histories, time: own.time };
}

/** Position of the first event: 1, but of a log that is a copy of a slice. */
export async function beginningOf(log: Log): Promise<number> {
  const { store, removed } = log.stored;
  const [first] = await store.read(log.id, 1, 1);
  const before = (first?.position ?? 1) - 1;
  return removed.some(({ from, to }) => from === 1 && to >= before) ? before + 1 : 1;
}

/** The newest checkpoint before a position, or the empty state. */
export async function checkpointBefore(log: Log, position: number): Promise<Checkpoint> {
  const { store } = log.stored;
  const names = await store.names(checkpointPrefix(log.id));
  for (const name of names.toReversed()) {
    const bytes = await undamaged(store, name);
    const checkpoint = bytes === undefined ? undefined : decodeCheckpoint(bytes);
    if (checkpoint !== undefined && checkpoint.position < position) return checkpoint;
  }
  return { position: 0, state: registersProjection.initial(), histories: new Map(), time: 0 };
}
