/** What the simulator looks at, and what it found there. */
export const checkers = {
  process: "a process starts, ends when told to, and leaves nothing open or unanswered",
  transport: "no message or socket is handed more than it may hold",
  ack: "nobody is told that something is durable before it is",
  step: "both sides of each node come to be connected, and to hold the same",
  states: "both sides' registers are equal",
  winners: "both sides say the same of each device: what is wanted, and what lost",
  policies: "each winner is the one that the policies make of all that was said",
  conflicts: "each pair of values in conflict is recorded, once, and nothing else is",
  devices: "the cloud's events in a node's log say what the cluster log wants there",
  deltas: "each wish that stands was told to its device",
  fold: "registers, lives and winners are what a plain reading of all events says",
  seen: "each event says what its writer had seen, no more and no less",
  clock: "times go back only where a correction says so, and follow nobody far ahead",
  lost: "nothing acknowledged is lost",
  repeated: "nothing is in the log twice",
  order: "each publisher's values are in the order in which it published them",
  gaps: "each origin is dense",
  forgotten: "what is forgotten is past retention, and later events say all that it said",
  past: "from where on a log calls its past whole, it knows all of it",
  log: "what is stored is what the log says, and whole",
  promises: "what the API answered is so",
} as const;

export type Checker = keyof typeof checkers;

/** One thing that is not as it should be. */
export interface Finding {
  readonly checker: Checker;
  readonly reason: string;
}

export function* found(checker: Checker, reasons: Iterable<string>): Generator<Finding> {
  for (const reason of reasons) yield { checker, reason };
}
