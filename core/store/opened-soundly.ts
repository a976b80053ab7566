import type { Logger } from "../ports.ts";
import { LevelStore } from "./level.ts";
import { damageNoted } from "./level-rebuild.ts";
import { endOpening } from "./opening.ts";

const settleMsDefault = 5000;

/** `Closers` of a process. */
interface StepClosers {
  add(close: () => Promise<unknown>): void;
  close(): Promise<void>;
}

/**
 * Starts what uses a store. Where damage was found on the way, it is closed, and started once more: the store is rebuilt
 * then, before anything is written to it.
 * @param settleMs after so long the store counts as opened well: LevelDB begins to put tables in order when it is opened,
 * and trips over what is damaged a little later
 */
export async function openedSoundly<T>(
  directory: string,
  closers: StepClosers,
  start: () => Promise<T>,
  settleMs: number = settleMsDefault,
): Promise<T> {
  let failure: unknown;
  let started = await start().catch((error: unknown) => {
    failure = error;
    return undefined;
  });
  if ((await damageNoted(directory)).length > 0) {
    await closers.close().catch(() => undefined);
    started = await start();
  } else if (started === undefined) throw failure;
  const timer = setTimeout(() => void endOpening(directory), settleMs);
  timer.unref();
  closers.add(async () => clearTimeout(timer));
  return started;
}

/** Opens a process's store, and says where it could not be opened as it was. */
export async function openStore(
  directory: string,
  closers: Pick<StepClosers, "add">,
  logger: Logger,
): Promise<LevelStore> {
  const store = new LevelStore(directory);
  await store.open();
  closers.add(() => store.close());
  if (store.salvagedFor !== undefined) {
    const what = "the store could not be opened as it was, and was made anew of what could be read";
    logger.log("error", what, { code: "SEGMENT_CORRUPT", directory, reason: store.salvagedFor });
  }
  return store;
}
