/** How long a node waits before it connects again. */
import type { ErrorCode } from "../../core/errors.ts";
import { maxRetryAfterMs } from "./limits.ts";

const firstCeilingMs = 500;
const lastCeilingMs = 30_000;
/** For a node whose place another process has taken: coming back at once would only take it back. */
const standAsideMs = 60_000;

const standsAside: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["SESSION_SUPERSEDED", "NODE_FORKED"]);

export interface Attempt {
  /** Connections that have failed since a session was last established. */
  readonly failures: number;
  /** Uniform in [0, 1), from the Random port. */
  readonly fraction: number;
  /** Why the last session ended; undefined when the transport just broke. */
  readonly code: ErrorCode | undefined;
  /** What the close asked for; 0 says come back at once. */
  readonly retryAfterMs: number | undefined;
}

/**
 * Ms to wait: anywhere below a ceiling that doubles from 0.5 s to 30 s, so that a thousand nodes that lost one cloud
 * do not come back together. A close that asks to resume is followed at once, but only the first time in a row.
 */
export function reconnectDelayMs({ failures, fraction, code, retryAfterMs }: Attempt): number {
  const ceiling = Math.min(lastCeilingMs, firstCeilingMs * 2 ** Math.min(failures, 16));
  const jitter = Math.floor(fraction * ceiling);
  if (code !== undefined && standsAside.has(code)) {
    return Math.max(standAsideMs, Math.min(retryAfterMs ?? 0, maxRetryAfterMs)) + jitter;
  }
  if (retryAfterMs === 0 && failures === 0) return 0;
  return Math.min(retryAfterMs ?? 0, maxRetryAfterMs) + jitter;
}
