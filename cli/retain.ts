import { InvalidArgumentError, Option } from "commander";
import { type EventClass, eventClasses } from "../core/event.ts";
import { type RetentionPolicy, retentionDefault, retentionTexts } from "../core/retention.ts";
import { parseDuration } from "../core/time.ts";

/** `--retain`: how long what was replaced is kept, by class. */
export function retainOption(): Option {
  const kept = Object.entries(retentionTexts(retentionDefault)).map(([of, age]) => `${of}=${age}`);
  const what = `how long what was replaced is kept, by class, or "forever" (default: ${kept.join(",")})`;
  return new Option("--retain <class=age,...>", what).argParser(parseRetain);
}

/** @throws InvalidArgumentError */
export function parseRetain(text: string): RetentionPolicy {
  const ages: Record<EventClass, number> = { ...retentionDefault };
  for (const part of text.split(",")) {
    const [name = "", age = ""] = part.split("=").map((word) => word.trim());
    const of = eventClasses.find((each) => each === name);
    if (of === undefined)
      throw new InvalidArgumentError(`"${name}" is no class: there are ${eventClasses.join(", ")}.`);
    const ms = age === "forever" ? Number.POSITIVE_INFINITY : parseDuration(age);
    if (ms === undefined)
      throw new InvalidArgumentError(`"${age}" is no age for ${of}: write 12h, 30d or forever.`);
    ages[of] = ms;
  }
  return ages;
}
