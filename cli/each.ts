import { messageOf, TidemarkError } from "../core/errors.ts";
import { type Context, printJson, printNote } from "./context.ts";
import { exitCodeOf } from "./exit-codes.ts";
import { type ObjectPlace, Objects } from "./objects.ts";
import { openCloud } from "./target.ts";
import { printable } from "./text.ts";

export interface Done {
  readonly place: ObjectPlace;
  /** `created`, `deleted`, … */
  readonly result: string;
}

/**
 * Does the same to each of several objects of the cloud. One that fails is told of, and the others go on; where the cloud
 * itself is gone, all end.
 * @returns the exit code: that of the first failure
 */
export async function doToEach<Item>(
  context: Context,
  items: readonly Item[],
  act: (item: Item, objects: Objects) => Promise<Done>,
): Promise<number> {
  const target = await openCloud(context);
  const objects = new Objects(target);
  const done: Done[] = [];
  let code = 0;
  try {
    for (const item of items) {
      try {
        done.push(await act(item, objects));
      } catch (error) {
        if (items.length === 1 || !(error instanceof TidemarkError) || error.code === "NOT_REACHABLE")
          throw error;
        code ||= exitCodeOf(error);
        await tell(context, error);
      }
    }
  } finally {
    await target.close();
  }
  if (context.json) await printJson(context, { items: done.map(rowOf) });
  return code;
}

async function tell(context: Context, error: TidemarkError): Promise<void> {
  const { code, message } = error;
  const line = context.json
    ? JSON.stringify({ error: { code, message } })
    : `${context.paintError("red", "error:")} ${printable(messageOf(error))}`;
  await printNote(context, `${line}\n`);
}

function rowOf({ place, result }: Done): Record<string, unknown> {
  const { kind, namespace, name } = place;
  const { apiVersion, kind: kindName, namespaced } = kind;
  return { apiVersion, kind: kindName, ...(namespaced && { namespace }), name, result };
}
