import { hasCode } from "./errors.ts";
import type { Store } from "./store-port.ts";

/** A value whose bytes are damaged is as good as none: it is derived again. */
export async function undamaged(store: Store, name: string): Promise<Uint8Array | undefined> {
  try {
    return await store.get(name);
  } catch (error) {
    if (hasCode(error, "SEGMENT_CORRUPT")) return undefined;
    throw error;
  }
}
