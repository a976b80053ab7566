import { type ErrorCode, TidemarkError } from "../core/errors.ts";

/** What the shell is told. 0 is success, 1 any other failure. */
export const exitCode = {
  failed: 1,
  usage: 2,
  notFound: 3,
  /** There was an answer, and it is known to lack something. */
  incomplete: 4,
  notReachable: 69,
  locked: 75,
  /** Also a port that is taken. */
  configuration: 78,
} as const;

const byCode: Partial<Record<ErrorCode, number>> = {
  USAGE: exitCode.usage,
  NOT_FOUND: exitCode.notFound,
  NODE_UNKNOWN: exitCode.notFound,
  NOT_YET: exitCode.notFound,
  DELETED: exitCode.notFound,
  FORGOTTEN: exitCode.notFound,
  NOT_REACHABLE: exitCode.notReachable,
  SHUTTING_DOWN: exitCode.notReachable,
  LOG_LOCKED: exitCode.locked,
  CONFIGURATION: exitCode.configuration,
  PORT_TAKEN: exitCode.configuration,
  CERTIFICATE_MISSING: exitCode.configuration,
  CERTIFICATE_REFUSED: exitCode.configuration,
};

export function exitCodeOf(error: unknown): number {
  return (error instanceof TidemarkError ? byCode[error.code] : undefined) ?? exitCode.failed;
}
