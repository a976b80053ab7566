import type { Event } from "./event.ts";
import type { Replica } from "./replica.ts";

/** The part of an `AbortSignal` that following needs. */
export interface Cancelled {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** A follower that falls further behind than this reads the log again, instead of holding its events in memory. */
const queuedEventsMax = 8192;

/**
 * Durable events from position `from` on, in batches, and then new ones as they become visible, until `gone` aborts.
 */
export async function* follow(
  replica: Replica,
  from: number,
  gone: Cancelled,
): AsyncGenerator<readonly Event[]> {
  let next = from;
  let queue: Event[] = [];
  let wake: (() => void) | undefined;
  const wakeUp = (): void => wake?.();
  const stop = replica.onVisible((events) => {
    if (queue.length < queuedEventsMax) queue.push(...events);
    wake?.();
  });
  gone.addEventListener("abort", wakeUp);
  try {
    while (!gone.aborted) {
      const live = queue[0]?.position === next;
      if (!live && next > replica.position) {
        queue = [];
        await new Promise<void>((resolve) => (wake = resolve));
        wake = undefined;
        continue;
      }
      const batch = live ? queue : await replica.read(next);
      const contiguous = live ? batch.findIndex((event, index) => event.position !== next + index) : -1;
      const whole = contiguous === -1 ? batch : batch.slice(0, contiguous);
      next = (whole.at(-1)?.position ?? replica.position) + 1;
      queue = live ? [] : queue.filter((event) => event.position >= next);
      if (whole.length > 0) yield whole;
    }
  } finally {
    stop();
    gone.removeEventListener("abort", wakeUp);
  }
}
