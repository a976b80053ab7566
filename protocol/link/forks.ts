/**
 * Telling a restart from a clone. A process mints a boot id when it starts and keeps it while it lives, so a boot id
 * that comes back after another has taken over belongs to a process that was alive all the while.
 *
 * It happens once when an old and a new process of one node overlap. Twice is the third alternation (A, B, A, B): two
 * living holders of one log, which only a person can resolve.
 */

/** What is remembered of one node's connections. Plain values, for the shell to keep. */
export interface BootHistory {
  /** Boot ids in the order in which they last took over; the last one holds the node now. At most `maxBootIds`. */
  readonly bootIds: readonly string[];
  /** How often one came back since a fresh one was seen. */
  readonly returns: number;
  readonly forked: boolean;
}

export type BootDecision =
  /** The process that holds the node already, or the first one. */
  | "accept"
  /** Another process: accept it, and close the session of the one before with SESSION_SUPERSEDED. */
  | "supersede"
  /** Refuse with NODE_FORKED, and close the session there is with it too. */
  | "forked";

const maxBootIds = 8;
const returnsOfFork = 2;

export const noBoots: BootHistory = { bootIds: [], returns: 0, forked: false };

/**
 * Decides about a connection that says `bootId`. A forked node stays so until a fresh boot id comes (somebody
 * restarted one of the two) or the history is set back to `noBoots`.
 */
export function decideBoot(
  history: BootHistory,
  bootId: string,
): { readonly history: BootHistory; readonly decision: BootDecision } {
  const known = history.bootIds.includes(bootId);
  if (!known) {
    const bootIds = [...history.bootIds, bootId].slice(-maxBootIds);
    const decision = history.bootIds.length === 0 ? "accept" : "supersede";
    return { history: { bootIds, returns: 0, forked: false }, decision };
  }
  if (history.forked) return { history, decision: "forked" };
  if (history.bootIds.at(-1) === bootId) return { history, decision: "accept" };
  const returns = history.returns + 1;
  const forked = returns >= returnsOfFork;
  const bootIds = [...history.bootIds.filter((id) => id !== bootId), bootId];
  return { history: { bootIds, returns, forked }, decision: forked ? "forked" : "supersede" };
}
