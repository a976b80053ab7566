/**
 * Every error code of Tidemark. `docs/errors.md` explains each one; a test compares the two, both ways.
 */
export const errorCodes = {
  // The log
  FORMAT_NEWER: "the data was written by a newer version of Tidemark",
  SEGMENT_CORRUPT: "a stored or received segment does not match its checksum or its format",
  EVENT_INVALID: "an event's bytes are not a valid event",
  EVENT_TOO_LARGE: "one event is larger than the limit",
  LOG_CLOSED: "the log is closed",
  LOG_LOCKED: "another process has this data directory open",
  LOG_COMMIT_FAILED: "a commit did not reach the disk; the log must be opened again",
  LOG_OVERLOADED: "more is waiting to be written than the log's queue holds",
  LOG_GAP: "a sequence number is missing",
  LOG_FORKED: "two histories carry the same origin and sequence",
  DISK_FULL: "there is no room left on the disk",
  LOG_FULL: "the log is at its limit, or the disk too full for it to take more",
  SNAPSHOT_INVALID: "a snapshot can't be used; the log is replayed instead",
  BACKUP_INVALID: "a backup is cut short, damaged, or no backup at all",
  EXPORT_UNKNOWN: "the file is not an export of a log",
  EXPORT_INCOMPLETE: "the file is only a part of an export",
  EXPORT_DAMAGED: "an export's bytes are not what was written",
  LOG_MISMATCH: "the export is of another log than the one that is meant",
  // The link
  FRAME_TOO_LARGE: "a frame, or what it unpacks to, is over the limit",
  FRAME_INVALID: "a frame is not what the protocol says",
  PROTOCOL_VERSION: "the peer speaks another version of the protocol",
  NODE_MISMATCH: "the certificate is for another node than the one named",
  CERTIFICATE_MISSING: "the edge has no certificate for the cloud",
  CERTIFICATE_REFUSED: "the peer's certificate was not accepted",
  AUTHORITY: "a side sent an event that it may not author",
  CREDIT_EXCEEDED: "the peer sent more than it was granted",
  SESSION_SUPERSEDED: "a newer session of the same node has taken over",
  SESSION_TIMEOUT: "nothing was heard from the peer for too long",
  NODE_FORKED: "two living processes hold the same node's log",
  NODE_UNKNOWN: "no such node",
  SHUTTING_DOWN: "the process is shutting down",
  // Requests and configuration
  USAGE: "the command line is not understood",
  CONFIGURATION: "the configuration can't be used",
  PORT_TAKEN: "another process listens on that port",
  NOT_REACHABLE: "no answer from the other process",
  SERVER_FAILED: "the other process met an error that it did not foresee",
  NOT_FOUND: "there is no such thing",
  NOT_YET: "it did not exist yet at that time",
  DELETED: "it had been deleted by that time",
  FORGOTTEN: "what was so at that time is no longer kept",
  INVALID: "the value or object is refused",
  CONFLICT: "the object changed since it was read",
  FORBIDDEN: "the caller may not do that",
  UNSUPPORTED: "the request asks for something this version does not do",
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** The one error class: a stable code, a sentence for people, the cause, and data fields for machines. */
export class TidemarkError extends Error {
  readonly code: ErrorCode;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; data?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "TidemarkError";
    this.code = code;
    this.data = options.data ?? {};
  }
}

export function hasCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof TidemarkError && error.code === code;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A broken invariant ends the process; a node restarts from its log. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${invariant}`);
}
