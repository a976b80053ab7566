/** For how long events are kept though later ones replaced them: by class, counted from their arrival in the replica. */
import { TidemarkError } from "./errors.ts";
import { type EventClass, eventClasses } from "./event.ts";

/** Ms, by class. */
export type RetentionPolicy = Readonly<Record<EventClass, number>>;

const unitsMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const dayMs = 86_400_000;

/** What a small board has room for at some events a second. */
export const retentionDefault: RetentionPolicy = {
  resource: 90 * dayMs,
  twin: 30 * dayMs,
  telemetry: 7 * dayMs,
  message: 7 * dayMs,
  audit: 365 * dayMs,
};

/**
 * Reads `twin=30d,message=12h`: what it does not name is as in `retentionDefault`.
 * @throws CONFIGURATION
 */
export function parseRetention(text: string): RetentionPolicy {
  const policy: Record<EventClass, number> = { ...retentionDefault };
  for (const part of text.split(",")) {
    const [, name, count, unit] = /^\s*([a-z]+)=([0-9]{1,6})([mhd])\s*$/.exec(part) ?? [];
    const kind = eventClasses.find((each) => each === name);
    const unitMs = unitsMs[unit ?? ""];
    if (kind === undefined || unitMs === undefined) throw unreadable(part);
    policy[kind] = Number(count) * unitMs;
  }
  return policy;
}

/** As `parseRetention` reads it, with every class. */
export function retentionText(policy: RetentionPolicy): string {
  return eventClasses.map((kind) => `${kind}=${ageText(policy[kind])}`).join();
}

function ageText(ms: number): string {
  const unit = ["d", "h"].find((each) => ms % (unitsMs[each] ?? 1) === 0) ?? "m";
  return `${ms / (unitsMs[unit] ?? 1)}${unit}`;
}

function unreadable(part: string): TidemarkError {
  return new TidemarkError(
    "CONFIGURATION",
    `"${part}" does not say how long a class of events is kept: write CLASS=AGE, as in twin=30d,message=12h, with ` +
      `a class of ${eventClasses.join(", ")}, and an age in m, h or d`,
  );
}
