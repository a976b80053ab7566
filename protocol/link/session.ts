/**
 * One connection between a node and the cloud, as a state machine without I/O (`docs/wire-format.md`).
 *
 * The shell owns the socket, the clock and the log: it feeds inputs to `step` and carries out the outputs, in order,
 * and an input that arises while it does so waits until it is through: frames would overtake one another. Its duties:
 * - `open` when the transport is connected; `tick` about once a second; `lost` when the transport is gone;
 * - `send`: hand the bytes to the socket as one message; say `writable` when it has less than 62 KiB unsent again;
 * - `verify`: compare the peer's claims with the log (`heads.ts`), give generations, answer with `verified`;
 * - `read`: answer with `read`, even with nothing; say `available` whenever the log has more;
 * - `deliver`: check each event's authority and the MACs of returned segments, store, and say `durable` after the sync;
 * - `closed`: the last output. Send what is in the socket, close it, keep `partial` for the next session.
 */
import { type ErrorCode, TidemarkError } from "../../core/errors.ts";
import type { Incarnation } from "../../core/event.ts";
import type { Digest } from "../../core/ports.ts";
import type { Compressor } from "./batch.ts";
import {
  type CloseFrame,
  type Frame,
  type Hello,
  type Statement,
  type Welcome,
  decodeFrame,
  encodeFrame,
} from "./frames.ts";
import type { Holding } from "./heads.ts";
import { type Delivery, Inbox } from "./inbox.ts";
import {
  defaultDeadAfterMs,
  defaultHelloWithinMs,
  defaultPingAfterMs,
  defaultWindowBytes,
  unsentForControlBytes,
  unsentForLogBytes,
} from "./limits.ts";
import { Outbox, type PeerAck, type ReadRequest, type StoredBytes } from "./outbox.ts";
import { type PartialSegment, claimOf } from "./reassembly.ts";

/** What one side says of its log when a session begins. */
export interface LogStatement {
  /** The live incarnation. */
  readonly incarnation: Incarnation;
  readonly generation: number | undefined;
  /** Of every incarnation of both sides. */
  readonly holdings: readonly Holding[];
  /** What the last session left of a large segment. */
  readonly partial?: PartialSegment | undefined;
}

interface CommonOptions {
  /** Version of the product, for people: at most 64 characters. */
  readonly product: string;
  readonly digest: Digest;
  readonly compressor?: Compressor;
  /** Bytes of segments to take beyond what is durable. */
  readonly windowBytes?: number;
  readonly pingAfterMs?: number;
  readonly deadAfterMs?: number;
}

export interface NodeOptions extends CommonOptions {
  readonly role: "node";
  readonly node: string;
  /** Random for each process: at most 64 characters. */
  readonly bootId: string;
  readonly log: LogStatement;
}

export interface CloudOptions extends CommonOptions {
  readonly role: "cloud";
  /** The node that the certificate names. */
  readonly expectedNode: string;
  readonly helloWithinMs?: number;
}

export type SessionOptions = NodeOptions | CloudOptions;

/** The cloud's answer to a hello: all that goes into the welcome. */
export interface Acceptance {
  readonly sessionId: string;
  readonly log: LogStatement;
  /** For the node's live incarnation; undefined: nothing of it is taken. */
  readonly nodeGeneration: number | undefined;
  /** The cloud was rolled back: the welcome only names commits, for the node's next hello to answer; then it closes. */
  readonly compareOnly?: boolean;
}

export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  /** Ms; 0: come back at once. */
  readonly retryAfterMs?: number | undefined;
  /** What the error said, for this side's shell. */
  readonly data?: Readonly<Record<string, unknown>>;
}

export type Input =
  | { readonly kind: "open" }
  | { readonly kind: "frame"; readonly bytes: Uint8Array }
  /** Some bytes of a message came, which is not complete yet. */
  | { readonly kind: "heard" }
  | { readonly kind: "tick" }
  /** The answer to `verify`: in the cloud with what it accepts the node with. */
  | { readonly kind: "verified"; readonly acceptance?: Acceptance }
  /** Ends the session, at any time: the answer to `verify` that refuses, a newer session, a shutdown, a full disk. */
  | ({ readonly kind: "close" } & Refusal)
  /** An origin is durable here up to `end`; `segments` may carry the newest, to save reading them back. */
  | {
      readonly kind: "available";
      readonly origin: Incarnation;
      readonly end: number;
      readonly segments?: readonly StoredBytes[];
    }
  | { readonly kind: "read"; readonly origin: Incarnation; readonly segments: readonly StoredBytes[] }
  /** Delivered segments of an origin are durable up to `seq`. */
  | { readonly kind: "durable"; readonly origin: Incarnation; readonly seq: number }
  /** Whether the log takes more of the peer: while it is full, the peer is granted nothing. At any time. */
  | { readonly kind: "room"; readonly isFull: boolean }
  /** The socket was full, and has room again. */
  | { readonly kind: "writable" }
  | { readonly kind: "lost"; readonly reason?: string };

export interface Closed {
  /** Undefined when the transport just went. */
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly retryAfterMs: number | undefined;
  readonly by: "self" | "peer" | "transport";
  /** For the next session of this node. */
  readonly partial: PartialSegment | undefined;
  /** What the error said, when this side closed over one. */
  readonly data?: Readonly<Record<string, unknown>> | undefined;
}

export type Output =
  | { readonly kind: "send"; readonly bytes: Uint8Array; readonly priority: "control" | "log" }
  | { readonly kind: "verify"; readonly peer: Hello | Welcome }
  | { readonly kind: "established"; readonly peer: Hello | Welcome; readonly sessionId: string }
  | ({ readonly kind: "read" } & ReadRequest)
  | ({ readonly kind: "deliver" } & Delivery)
  | ({ readonly kind: "peerAcked" } & PeerAck)
  | ({ readonly kind: "closed" } & Closed);

type Phase =
  | { readonly name: "idle" }
  /** The cloud waits for the hello, the node for the welcome. */
  | { readonly name: "greeting" }
  | { readonly name: "verifying"; readonly peer: Hello | Welcome }
  | { readonly name: "established"; readonly inbox: Inbox; readonly outbox: Outbox }
  | { readonly name: "closed" };

/** The state of one connection: only `step` changes it. */
export interface Session {
  readonly options: SessionOptions;
  phase: Phase;
  /** Bytes that the socket has not sent, those of this step included. */
  buffered: number;
  openedMs: number;
  heardMs: number;
  sentMs: number;
  /** The peer's first ack may come before this side has verified it. */
  earlyCredit: number;
  isFull: boolean;
  /** How far own origins have grown while the session was not established. */
  readonly ends: Map<Incarnation, number>;
  partial: PartialSegment | undefined;
}

export function createSession(options: SessionOptions): Session {
  return {
    options,
    phase: { name: "idle" },
    buffered: 0,
    openedMs: 0,
    heardMs: 0,
    sentMs: 0,
    earlyCredit: 0,
    isFull: false,
    ends: new Map(),
    partial: options.role === "node" ? options.log.partial : undefined,
  };
}

/** What the shell sees when it hands in an input. */
export interface Moment {
  /** Monotonic. */
  readonly nowMs: number;
  /** Bytes that the socket was handed and has not sent. */
  readonly buffered: number;
}

/** Takes one input in and says what to do, in order. */
export function step(session: Session, input: Input, { nowMs, buffered }: Moment): Output[] {
  const out: Output[] = [];
  if (session.phase.name === "closed") return out;
  session.buffered = buffered;
  try {
    take(session, input, nowMs, out);
    pump(session, nowMs, out);
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    refuse(session, { code: error.code, message: error.message, data: error.data }, out);
  }
  return out;
}

function take(session: Session, input: Input, nowMs: number, out: Output[]): void {
  const { phase } = session;
  switch (input.kind) {
    case "open":
      if (phase.name === "idle") open(session, nowMs, out);
      return;
    case "frame":
      session.heardMs = nowMs;
      takeFrame(session, decodeFrame(input.bytes), out);
      return;
    case "heard":
      session.heardMs = nowMs;
      return;
    case "writable":
      return;
    case "tick":
      tick(session, nowMs, out);
      return;
    case "verified":
      if (phase.name === "verifying") establish(session, phase.peer, input.acceptance, out);
      return;
    case "close":
      refuse(session, input, out);
      return;
    case "available":
      if (phase.name === "established") phase.outbox.available(input.origin, input.end, input.segments ?? []);
      else session.ends.set(input.origin, Math.max(input.end, session.ends.get(input.origin) ?? 0));
      return;
    case "read":
      if (phase.name === "established") phase.outbox.answer(input.origin, input.segments);
      return;
    case "durable":
      if (phase.name === "established") phase.inbox.durable(input.origin, input.seq);
      return;
    case "room":
      session.isFull = input.isFull;
      if (phase.name === "established") phase.inbox.withhold(input.isFull);
      return;
    case "lost":
      finish(session, { by: "transport", message: input.reason ?? "the connection is gone" }, out);
      return;
    default:
      input satisfies never;
  }
}

function open(session: Session, nowMs: number, out: Output[]): void {
  const { options } = session;
  session.openedMs = nowMs;
  session.heardMs = nowMs;
  session.sentMs = nowMs;
  session.phase = { name: "greeting" };
  if (options.role === "cloud") return;
  const { node, bootId } = options;
  send(session, { type: "hello", node, bootId, ...statement(options, options.log) }, out);
}

function statement(options: SessionOptions, log: LogStatement): Statement {
  const { product, digest, windowBytes = defaultWindowBytes } = options;
  const { incarnation, generation, holdings } = log;
  const partial = log.partial && claimOf(log.partial, digest);
  return { product, incarnation, generation, holdings, partial, window: windowBytes };
}

function takeFrame(session: Session, frame: Frame, out: Output[]): void {
  const { phase, options } = session;
  if (phase.name === "idle") throw unexpected(frame, "the transport is not open");
  if (frame.type === "close") {
    finish(session, { by: "peer", ...frame }, out);
    return;
  }
  const greeting = options.role === "cloud" ? "hello" : "welcome";
  if (frame.type === greeting) {
    if (phase.name !== "greeting") throw unexpected(frame, "there was one already");
    greet(session, frame, out);
    return;
  }
  // A cloud that is long about its welcome says that it is alive; nobody speaks before the hello.
  if (phase.name === "greeting" && (frame.type !== "ping" || options.role === "cloud")) {
    throw unexpected(frame, `the ${greeting} comes first`);
  }
  switch (frame.type) {
    case "ping":
      return;
    case "ack":
      takeAck(session, frame, out);
      return;
    case "segments":
    case "part": {
      if (phase.name !== "established") throw unexpected(frame, "nothing was granted yet");
      const { inbox } = phase;
      const deliveries = frame.type === "part" ? inbox.part(frame) : inbox.segments(frame);
      for (const delivery of deliveries) out.push({ kind: "deliver", ...delivery });
      return;
    }
    case "hello":
    case "welcome":
      throw unexpected(frame, `a ${options.role} does not get one`);
    default:
      frame satisfies never;
  }
}

function takeAck(session: Session, frame: Frame & { type: "ack" }, out: Output[]): void {
  const { phase, options } = session;
  if (phase.name === "established") {
    for (const ack of phase.outbox.acked(frame)) out.push({ kind: "peerAcked", ...ack });
  } else if (options.role === "node" && frame.durable.length === 0) {
    session.earlyCredit = Math.max(session.earlyCredit, frame.credit);
  } else {
    throw unexpected(frame, "nothing was sent yet");
  }
}

function greet(session: Session, peer: Hello | Welcome, out: Output[]): void {
  const { options } = session;
  if (options.role === "cloud" && peer.type === "hello" && peer.node !== options.expectedNode) {
    throw new TidemarkError(
      "NODE_MISMATCH",
      `the node says it is ${peer.node}, and its certificate is for ${options.expectedNode}; use that node's own files`,
    );
  }
  session.phase = { name: "verifying", peer };
  out.push({ kind: "verify", peer });
}

function establish(
  session: Session,
  peer: Hello | Welcome,
  acceptance: Acceptance | undefined,
  out: Output[],
): void {
  const { options, ends } = session;
  const isWelcome = peer.type === "welcome";
  const accepted = isWelcome ? undefined : needed(acceptance);
  const log = accepted?.log ?? (options as NodeOptions).log;
  const { sessionId, nodeGeneration } = isWelcome ? peer : needed(acceptance);
  const generation = isWelcome ? nodeGeneration : log.generation;
  const peerGeneration = isWelcome ? peer.generation : nodeGeneration;
  if (accepted?.compareOnly === true) {
    send(session, { type: "welcome", sessionId, nodeGeneration, ...statement(options, log) }, out);
    refuse(session, { code: "LOG_FORKED", message: "the cloud compares histories", retryAfterMs: 0 }, out);
    return;
  }
  checkNotRolledBack(log, ends, peer);
  const { digest, compressor, windowBytes: window = defaultWindowBytes, role: side } = options;
  const common = { side, peer, digest, compressor, incarnation: log.incarnation, holdings: log.holdings };
  const inbox = new Inbox({ ...common, peerGeneration, window, partial: log.partial });
  inbox.withhold(session.isFull);
  const outbox = new Outbox({ ...common, generation, ends });
  outbox.acked({ type: "ack", credit: session.earlyCredit, durable: [] });
  if (accepted !== undefined) {
    session.partial = log.partial;
    send(session, { type: "welcome", sessionId, nodeGeneration, ...statement(options, log) }, out);
  }
  session.phase = { name: "established", inbox, outbox };
  out.push({ kind: "established", peer, sessionId });
}

function needed(acceptance: Acceptance | undefined): Acceptance {
  if (acceptance === undefined)
    throw new Error("broken invariant: a cloud verifies a hello with an acceptance");
  return acceptance;
}

/** The shell has looked already; but sending past a history that is not one's own would end in two of them. */
function checkNotRolledBack(
  log: LogStatement,
  ends: ReadonlyMap<Incarnation, number>,
  peer: Statement,
): void {
  const { incarnation, holdings } = log;
  const claim = peer.holdings.find(({ origin }) => origin === incarnation);
  const held = holdings.find(({ origin }) => origin === incarnation);
  const end = Math.max(held?.end ?? 0, ends.get(incarnation) ?? 0);
  const isHealing = held?.missingTo !== undefined && (claim?.end ?? 0) > end;
  const isPart = claim === undefined || (claim.end <= end && claim.closedAt === undefined);
  if (isPart || isHealing) return;
  throw new TidemarkError(
    "LOG_FORKED",
    `the peer holds ${incarnation} up to ${claim.end}, closed: ${claim.closedAt ?? "no"}; this side up to ${end}`,
  );
}

function tick(session: Session, nowMs: number, out: Output[]): void {
  const { options, phase, openedMs, heardMs, sentMs } = session;
  if (phase.name === "idle") return;
  const silentMs = nowMs - heardMs;
  if (silentMs > (options.deadAfterMs ?? defaultDeadAfterMs)) throw silence(silentMs, "heard");
  const isCloud = options.role === "cloud";
  if (phase.name === "greeting" && isCloud) {
    const waitedMs = nowMs - openedMs;
    if (waitedMs > (options.helloWithinMs ?? defaultHelloWithinMs)) throw silence(waitedMs, "said hello");
    return;
  }
  if (
    nowMs - sentMs >= (options.pingAfterMs ?? defaultPingAfterMs) &&
    session.buffered <= unsentForControlBytes
  ) {
    send(session, { type: "ping" }, out);
  }
}

/** Hands the socket what there is and what it has room for: acks first, then log frames; then asks the log for more. */
function pump(session: Session, nowMs: number, out: Output[]): void {
  const { phase } = session;
  if (phase.name === "established") {
    const { inbox, outbox } = phase;
    const ack = session.buffered <= unsentForControlBytes ? inbox.ack() : undefined;
    if (ack !== undefined) {
      send(session, ack, out);
      inbox.acked(ack);
    }
    while (session.buffered <= unsentForLogBytes) {
      const frame = outbox.next();
      if (frame === undefined) break;
      send(session, frame, out, "log");
    }
    for (const request of outbox.reads()) out.push({ kind: "read", ...request });
  }
  if (out.some(({ kind }) => kind === "send")) session.sentMs = nowMs;
}

function send(session: Session, frame: Frame, out: Output[], priority: "control" | "log" = "control"): void {
  const bytes = encodeFrame(frame);
  session.buffered += bytes.length;
  out.push({ kind: "send", bytes, priority });
}

/** Ends the session from this side, and tells the peer why. */
function refuse(session: Session, { code, message, retryAfterMs, data }: Refusal, out: Output[]): void {
  const close: CloseFrame = { type: "close", code, message, retryAfterMs };
  if (session.phase.name !== "idle") send(session, close, out);
  finish(session, { by: "self", code, message, retryAfterMs, data }, out);
}

/** Codes after which what was received of a large segment is not to be trusted. */
const spoils: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "FRAME_INVALID",
  "FRAME_TOO_LARGE",
  "SEGMENT_CORRUPT",
  "LOG_FORKED",
]);

function finish(
  session: Session,
  end: Pick<Closed, "by" | "message" | "data"> & { code?: ErrorCode; retryAfterMs?: number | undefined },
  out: Output[],
): void {
  const { by, code, message, retryAfterMs, data } = end;
  const { phase } = session;
  const kept = phase.name === "established" ? phase.inbox.partial : session.partial;
  const partial = code !== undefined && spoils.has(code) ? undefined : kept;
  session.phase = { name: "closed" };
  out.push({ kind: "closed", by, code, message, retryAfterMs, partial, data });
}

function unexpected(frame: Frame, reason: string): TidemarkError {
  return new TidemarkError("FRAME_INVALID", `a ${frame.type} came out of turn: ${reason}`);
}

function silence(ms: number, what: string): TidemarkError {
  return new TidemarkError("SESSION_TIMEOUT", `the peer has not ${what} for ${Math.floor(ms / 1000)} s`);
}
