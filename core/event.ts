/**
 * Events: the facts that everything else is read off.
 *
 * An event is encoded once, by its origin, as a self-contained msgpack positional array (`codec.ts`);
 * those bytes are stored, shipped and stored at the peer, and nobody encodes them again.
 */

/** A side of a node's log: each appends only its own events. */
export type Side = "cloud" | "node";

declare const brand: unique symbol;

/**
 * One life of one side's log: the side's letter (`c` or `n`), then 13 base-32 digits that carry 64 random bits.
 * It is minted when that side's log is created, or found to have been rolled back.
 */
export type Incarnation = string & { readonly [brand]: "Incarnation" };

/** `INCARNATION/SEQUENCE`: names one event for ever. */
export type EventId = string & { readonly [brand]: "EventId" };

/** Which log: `cluster`, or `node/NAME`. */
export type LogId = string & { readonly [brand]: "LogId" };

/** What retention, compaction and priorities go by. The order is the wire's: append only. */
export const eventClasses = ["resource", "twin", "telemetry", "message", "audit"] as const;
export type EventClass = (typeof eventClasses)[number];

/** Plain data that msgpack carries unchanged. */
export type Body =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Body[]
  | { readonly [key: string]: Body };

/** One entry of a vector clock: the latest event of another origin that the writer could see. */
export interface Seen {
  readonly origin: Incarnation;
  readonly seq: number;
}

/** What a writer says; the log adds origin, sequence and time. */
export interface Draft {
  /** What happened, past tense: `twin.reported`. */
  readonly type: string;
  readonly class: EventClass;
  /** The object it is about: `devices/default/thermo-1`. */
  readonly key: string;
  /** The facet of the object that this event replaces whole: `reported/temp`. Without one it replaces nothing. */
  readonly slot?: string | undefined;
  /** The id of the cloud event that made the object live in this log. */
  readonly life?: EventId | undefined;
  readonly body?: Body;
  /** The event that led to this one. */
  readonly cause?: EventId | undefined;
  /** Ends the life it names: everything under it is over. */
  readonly deletes?: boolean | undefined;
}

/** An event as it stands in one replica of a log. */
export interface Event extends Draft {
  readonly origin: Incarnation;
  /** The origin's own counter, dense from 1. */
  readonly seq: number;
  /** Hybrid time in ms since the epoch; for people and ranges, never for causality. */
  readonly time: number;
  readonly body: Body;
  /** What its writer had seen of the other side; the same for all events of a segment. */
  readonly seen: readonly Seen[];
  /** Its place in this replica's arrival order, dense from 1. */
  readonly position: number;
}

export function sideOf(origin: Incarnation): Side {
  return origin.charCodeAt(0) === 99 /* c */ ? "cloud" : "node";
}

export function otherSide(side: Side): Side {
  return side === "cloud" ? "node" : "cloud";
}

export function eventId(origin: Incarnation, seq: number): EventId {
  return `${origin}/${seq}` as EventId;
}

/** @returns undefined when the text is not `INCARNATION/SEQUENCE`. */
export function parseEventId(text: string): Seen | undefined {
  const match = /^([cn][0-9a-hjkmnp-tv-z]{13})\/([1-9][0-9]{0,15})$/.exec(text);
  if (match === null) return undefined;
  return { origin: match[1] as Incarnation, seq: Number(match[2]) };
}

export function isIncarnation(text: unknown): text is Incarnation {
  return typeof text === "string" && /^[cn][0-9a-hjkmnp-tv-z]{13}$/.test(text);
}

export const incarnationLength = 14;

export const clusterLog: LogId = "cluster" as LogId;

export function nodeLog(node: string): LogId {
  return `node/${node}` as LogId;
}

/** @returns the node's name, or undefined for the cluster log. */
export function nodeOfLog(log: LogId): string | undefined {
  return log.startsWith("node/") ? log.slice(5) : undefined;
}
