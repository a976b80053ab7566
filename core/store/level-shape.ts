import type { LogId } from "../event.ts";
import type { LogShape } from "../store-port.ts";
import { positionPrefix, rangeOf } from "./level-keys.ts";
import { type View, foundIn, rowsOf } from "./level-read.ts";
import { addToShape, emptyShape } from "./shape.ts";

export async function shapeOf(log: LogId, view: View): Promise<LogShape> {
  const prefix = positionPrefix(log);
  const shape = emptyShape();
  for await (const rows of rowsOf(rangeOf(prefix), view)) {
    for (const row of rows) {
      const entry = foundIn({ log, prefix, origin: undefined }, row)?.entry;
      if (entry !== undefined) addToShape(shape, entry);
    }
  }
  return shape;
}
