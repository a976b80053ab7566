import { type Context, printNote } from "./context.ts";
import { exitCode } from "./exit-codes.ts";

/** Says it where an answer is known to lack something. @returns the exit code */
export async function completeness(context: Context, complete: boolean): Promise<number> {
  if (complete) return 0;
  const advice = "not complete: something of the log is missing here; `npx tidemark status` says what";
  if (!context.json) await printNote(context, `${context.paintError("yellow", "warning:")} ${advice}\n`);
  return exitCode.incomplete;
}
