/** Fills a log in a process of its own, which may be killed; and opens one with nothing but LevelDB. */
import { Level } from "level";
import { serve } from "./child.ts";
import { fill, fillAndHold } from "./twin-log.ts";

/** @returns the number of rows that the newest one's key tells of */
async function openBare(directory: string): Promise<string | undefined> {
  const database = new Level<string, Uint8Array>(directory, { keyEncoding: "utf8", valueEncoding: "view" });
  await database.open();
  const [key] = await database.keys({ gte: "s!", lt: 's"', reverse: true, limit: 1 }).all();
  await database.close();
  return key;
}

serve({ fill, fillAndHold, openBare });
