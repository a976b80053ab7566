/** For how long events are kept though later ones replaced them: by class, counted from their arrival in the replica. */
import { type Event, type EventClass, type Side, sideOf } from "./event.ts";
import { durationText } from "./time.ts";

/** Ms, by class. */
export type RetentionPolicy = Readonly<Record<EventClass, number>>;

const dayMs = 86_400_000;

/** What a small board has room for at some events a second. */
export const retentionDefault: RetentionPolicy = {
  resource: 90 * dayMs,
  twin: 30 * dayMs,
  telemetry: 7 * dayMs,
  message: 7 * dayMs,
  audit: 365 * dayMs,
};

/** What is to be let go. */
export interface Demand {
  readonly ages: RetentionPolicy;
  /** There is no room for what the other side has not got yet. */
  readonly undelivered: boolean;
}

/** 2020-01-01. No clock that was right said less: what arrived then, arrived nobody knows when. */
const sanityMs = 1_577_836_800_000;

/** How long ago something arrived, ms; 0 where that can't be known. */
export function ageOf(arrivedMs: number | undefined, nowMs: number): number {
  if (arrivedMs === undefined || arrivedMs < sanityMs || arrivedMs > nowMs) return 0;
  return nowMs - arrivedMs;
}

/**
 * Whether an event of this side may go before the other side has it. What the cloud says of a slot, the node needs the
 * latest of; a node's reports go when the disk has no room for them. All else waits.
 */
export function mayGoUndelivered(
  { origin, slot, class: of }: Event,
  side: Side,
  { undelivered }: Demand,
): boolean {
  if (sideOf(origin) !== side) return true;
  return side === "cloud" ? slot !== undefined : undelivered && (of === "twin" || of === "telemetry");
}

/** The least age at which anything is let go, ms. */
export function leastAge(ages: RetentionPolicy): number {
  return Math.min(...Object.values(ages));
}

/** A share of each age. */
export function shortened(ages: RetentionPolicy, share: number): RetentionPolicy {
  const { resource, twin, telemetry, message, audit } = ages;
  return {
    resource: resource * share,
    twin: twin * share,
    telemetry: telemetry * share,
    message: message * share,
    audit: audit * share,
  };
}

/** As people write it: `30d`, `forever`. */
export function retentionTexts(ages: RetentionPolicy): Record<EventClass, string> {
  const { resource, twin, telemetry, message, audit } = ages;
  const text = (ms: number): string => (Number.isFinite(ms) ? durationText(ms) : "forever");
  return {
    resource: text(resource),
    twin: text(twin),
    telemetry: text(telemetry),
    message: text(message),
    audit: text(audit),
  };
}
