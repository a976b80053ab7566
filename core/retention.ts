/** For how long events are kept though later ones replaced them: by class, counted from their arrival in the replica. */
import type { EventClass } from "./event.ts";

/** Ms, by class. */
export type RetentionPolicy = Readonly<Record<EventClass, number>>;

const dayMs = 86_400_000;

/** What a small board has room for at some events a second. */
export const retentionDefault: RetentionPolicy = {
  resource: 90 * dayMs,
  twin: 30 * dayMs,
  telemetry: 7 * dayMs,
  message: 7 * dayMs,
  audit: 365 * dayMs,
};
