/** `imported.json`: says that a directory holds a copy of a log to read, and not a log to go on with. */
import { join } from "node:path";
import { TidemarkError } from "../../core/errors.ts";
import type { Side } from "../../core/event.ts";
import { readTextIfPresent } from "./files.ts";

export interface ImportFile {
  /** `cluster`, or `node/NAME`. */
  readonly log: string;
  /** Whose replica it is a copy of. */
  readonly side: Side;
  /** Positions. */
  readonly from: number;
  readonly to: number;
  /** Whether secrets were left out of it. */
  readonly redacts: boolean;
  readonly origins: readonly string[];
}

export const importFileName = "imported.json";

/** @returns undefined when the directory's log is its own */
export async function readImportFile(directory: string): Promise<ImportFile | undefined> {
  const text = await readTextIfPresent(join(directory, importFileName));
  return text === undefined ? undefined : (JSON.parse(text) as ImportFile);
}

/** @throws CONFIGURATION: a process that went on with a copy would be a second one of the same node */
export async function refuseImported(directory: string): Promise<void> {
  if ((await readImportFile(directory)) === undefined) return;
  throw new TidemarkError(
    "CONFIGURATION",
    `${directory} holds an imported log, which is only to be read: name another data directory with --data-dir`,
    { data: { directory } },
  );
}
