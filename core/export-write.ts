import { encodeCheckpoint } from "./checkpoint.ts";
import { encodeEvent } from "./codec.ts";
import { encodeCover } from "./cover.ts";
import { TidemarkError } from "./errors.ts";
import type { Event, Incarnation } from "./event.ts";
import { type ExportHeader, type ExportPart, FrameWriter, type Heads, preamble } from "./export-format.ts";
import type { History } from "./history.ts";
import { stateBefore } from "./log-start.ts";
import type { Log } from "./log.ts";
import type { Digest } from "./ports.ts";
import { redactRegisters, redactedBody } from "./redaction.ts";
import { historyOf, replay, replaySteps } from "./replay.ts";
import { type Segment, encodeSegment, lastOf, zeroHash } from "./segment.ts";
import type { StoredSegment } from "./store-port.ts";

export interface ExportRequest {
  /** Which version of Tidemark makes it. */
  readonly product: string;
  /** Positions: the first and the last that are wanted. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** Leaves out what is secret (`redactedBody`). */
  readonly redacts: boolean;
}

/** The bytes of an export (`export-format.ts`). */
export async function* writeExport(
  parts: AsyncIterable<readonly ExportPart[]>,
  digest: Digest,
): AsyncGenerator<Uint8Array> {
  const writer = new FrameWriter(digest);
  yield preamble(digest);
  for await (const some of parts) {
    for (const part of some) {
      if (part.kind === "header") yield writer.header(part.header);
      else if (part.kind === "state") yield* writer.state(part.checkpoint);
      else if (part.kind === "segment") yield writer.segment(part);
      else yield writer.end(part.end);
    }
  }
}

/**
 * A slice of a log, part by part: whole segments, as their origins made them, and the state before the first. Holds
 * some of them, and that state.
 * @throws NOT_FOUND when nothing is there in that range
 */
export async function* exportLog(log: Log, request: ExportRequest): AsyncGenerator<ExportPart[]> {
  const { store, digest, removed } = log.stored;
  const to = Math.min(request.to ?? log.position, log.position);
  const start = await stateBefore(log, request.from ?? 1);
  const from = start.position + 1;
  if (from > to && request.from !== undefined) {
    throw new TidemarkError("NOT_FOUND", `the log has no events at positions ${request.from} to ${to}`);
  }
  const { histories } = start;
  const { id, side, incarnation: live } = log;
  const { product, redacts } = request;
  const before = headsOf(histories.values());
  const { eras } = log.registers;
  const header: ExportHeader = { product, log: id, side, live, from, to, before, removed, eras, redacts };
  yield [{ kind: "header", header }];
  if (redacts) redactRegisters(start.state);
  if (start.position > 0) yield [{ kind: "state", checkpoint: encodeCheckpoint(start) }];
  // Where an incarnation ends is said by the log itself: what was past that is not missing.
  for (const { origin, closedAt } of log.histories.values()) historyOf(histories, origin).closedAt = closedAt;
  let parts: ExportPart[] = [];
  // What is damaged counts among what was walked, and not among these.
  const counts = { segments: 0, events: 0, redacted: 0 };
  const take = (events: readonly Event[], segment: Segment, { position, arrived }: StoredSegment): void => {
    const without = redacts ? redactedSegment(events, segment, log) : undefined;
    const place = { kind: "segment", position, arrived } as const;
    if (without === undefined) parts.push({ ...place, segment, isRedacted: false, events });
    else parts.push({ ...place, segment: without.segment, isRedacted: true, events: undefined });
    counts.segments += 1;
    counts.events += events.length;
    counts.redacted += without?.redacted ?? 0;
  };
  const steps = replaySteps({ store, log: id, digest, from, to, removed, histories, take });
  for (;;) {
    const step = await steps.next();
    if (parts.length > 0) yield parts;
    parts = [];
    if (step.done !== true) continue;
    const { position, problems } = step.value;
    const after = headsOf(histories.values());
    yield [{ kind: "end", end: { position, ...counts, after, problems } }];
    return;
  }
}

/** The segment again, as its origin would have made it without its secrets; its chain hash and MAC are other ones. */
function redactedSegment(
  events: readonly Event[],
  segment: Segment,
  log: Log,
): { readonly segment: Segment; readonly redacted: number } | undefined {
  const { digest } = log.stored;
  const bodies = events.map(redactedBody);
  const redacted = bodies.filter((body) => body !== undefined).length;
  if (redacted === 0) return undefined;
  const kept = events.map((event, index) => {
    const body = bodies[index];
    const bytes = encodeEvent(body === undefined ? event : { ...event, body }, event.seq, event.time);
    return { event, bytes };
  });
  const { origin, lo, seen, cover } = segment;
  if (cover !== undefined) {
    const draft = { ...cover, origin, lo, to: lastOf(segment), kept, span: cover.places?.span };
    return { segment: encodeCover(draft, digest), redacted };
  }
  const draft = { origin, lo, seen, events: kept.map(({ bytes }) => bytes) };
  return { segment: encodeSegment(draft, zeroHash, digest).segment, redacted };
}

function headsOf(histories: Iterable<History>): Heads {
  const held = [...histories].filter(({ end }) => end > 0);
  return Object.fromEntries(held.map(({ origin, end, hash }) => [origin, [end, hash]]));
}

/** The positions of the first and the last event that is wanted. @returns undefined where none is */
export async function positionsWithin(
  log: Log,
  wanted: (event: Event) => boolean,
): Promise<{ readonly from: number; readonly to: number } | undefined> {
  const { store, digest } = log.stored;
  let from: number | undefined;
  let to = 0;
  const take = (events: readonly Event[]): void => {
    for (const event of events) {
      if (!wanted(event)) continue;
      from ??= event.position;
      to = event.position;
    }
  };
  const histories = new Map<Incarnation, History>();
  await replay({ store, log: log.id, digest, from: 1, removed: [], histories, take });
  return from === undefined ? undefined : { from, to };
}
