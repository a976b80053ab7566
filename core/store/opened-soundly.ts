import { damageNoted } from "./level-rebuild.ts";

/**
 * Starts what uses a store. Where damage was found on the way, it is closed, and started once more: the store is rebuilt
 * then, before anything is written to it.
 */
export async function openedSoundly<T>(
  directory: string,
  closers: { close(): Promise<void> },
  start: () => Promise<T>,
): Promise<T> {
  let failure: unknown;
  const started = await start().catch((error: unknown) => {
    failure = error;
    return undefined;
  });
  if ((await damageNoted(directory)).length === 0) {
    if (started === undefined) throw failure;
    return started;
  }
  await closers.close().catch(() => undefined);
  return start();
}
