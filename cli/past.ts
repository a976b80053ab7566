/** What commands that ask for the past have in common. */
import type { PastAnswer } from "../protocol/rest/past-source.ts";
import { type Context, printJson, printNote, printText } from "./context.ts";
import { exitCode } from "./exit-codes.ts";
import { logsOf } from "./log-choice.ts";
import { type DeviceName, resolveEventId } from "./names.ts";
import type { Target } from "./target.ts";
import { printable } from "./text.ts";

/** For the help of an option. */
export const instants = "2026-09-01T12:00:00Z, ms since the epoch, -15m, now, or ORIGIN/SEQ";

/** Where a device's past is: in the log of the node that --node names, else wherever the device is or was. */
export function pastPath({ node }: Context, { namespace, name }: DeviceName, verb = ""): string {
  const [ns, device] = [encodeURIComponent(namespace), encodeURIComponent(name)];
  const path =
    node === undefined
      ? `/tidemark/v1/namespaces/${ns}/devices/${device}`
      : `/tidemark/v1/nodes/${encodeURIComponent(node)}/devices/${ns}/${device}`;
  return verb === "" ? path : `${path}/${verb}`;
}

export function isEventId(text: string): boolean {
  return /^[cn][0-9a-z]*\/[0-9]+$/.test(text);
}

/** The instant as the server takes it: an origin that was shortened is written out. @throws USAGE, NOT_FOUND */
export async function resolveInstant(target: Target, text: string): Promise<string> {
  if (!isEventId(text)) return text;
  const { origin, seq } = resolveEventId(text, await originsOf(target));
  return `${origin}/${seq}`;
}

export async function originsOf(target: Target): Promise<string[]> {
  return (await logsOf(target)).flatMap(({ vector }) => Object.keys(vector));
}

/** Prints an answer and, for people, what is to be said about it. @returns the exit code */
export async function printPast(context: Context, answer: PastAnswer, text: () => string): Promise<number> {
  if (context.json) {
    await printJson(context, answer);
  } else {
    await printText(context, text());
    await printNote(context, notes(context, answer));
  }
  return answer.complete ? 0 : exitCode.incomplete;
}

function notes({ paintError }: Context, { warnings, gaps }: PastAnswer): string {
  const lines = [
    ...warnings,
    ...gaps.map(({ from, to, reason }) => {
      const since = from === null ? "" : ` from ${from}`;
      const until = to === null ? "" : ` to ${to}`;
      return `not complete${since}${until}: ${reason}`;
    }),
  ];
  return lines.map((line) => `${paintError("yellow", "warning:")} ${printable(line)}\n`).join("");
}
