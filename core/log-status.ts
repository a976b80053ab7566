import { TidemarkError } from "./errors.ts";

export type LogStatus = "open" | "recovering" | "failed" | "closed";

/** Bytes of events that may wait for the disk before a log refuses more. */
export const waitingBytesMax: number = 64 * 1024 * 1024;

/** Why a log takes nothing now; undefined when it does. */
export function refusalOf(status: LogStatus, waitingBytes: number): TidemarkError | undefined {
  if (status === "recovering") {
    return new TidemarkError(
      "LOG_OVERLOADED",
      "the log is being put right after a rollback; try again in a moment",
    );
  }
  if (status !== "open") return new TidemarkError("LOG_CLOSED", "the log is closed");
  if (waitingBytes <= waitingBytesMax) return undefined;
  return new TidemarkError(
    "LOG_OVERLOADED",
    `${waitingBytes} bytes wait for the disk; slow down and try again`,
  );
}
