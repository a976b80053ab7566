import type { Test } from "tap";
import type { LogId } from "../../core/event.ts";
import type { Store } from "../../core/store-port.ts";

/** Where stores keep what they hold: a directory, a disk. */
export interface Medium {
  /** A store on it, not open yet. */
  store(): Store;
  /** Flips a bit in a record; its index entry stands. Nobody has the medium open. */
  damage(log: LogId, position: number): Promise<void>;
  /** Takes a record away; its index entry stands. Nobody has the medium open. */
  lose(log: LogId, position: number): Promise<void>;
}

export type MakeMedium = (t: Test) => Medium;

export async function opened(t: Test, medium: Medium): Promise<Store> {
  const store = medium.store();
  await store.open();
  t.teardown(() => store.close());
  return store;
}
