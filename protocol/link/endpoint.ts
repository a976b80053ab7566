/**
 * One end of a connection: carries out what the session (`session.ts`) says, on a transport and a log.
 *
 * The order in which inputs are taken is the order in which they came; an output that leads to an input waits its turn.
 */
import { TidemarkError, messageOf } from "../../core/errors.ts";
import type { Incarnation } from "../../core/event.ts";
import type { Log } from "../../core/log.ts";
import { accountLost } from "../../core/log-repair.ts";
import type { Environment } from "../../core/ports.ts";
import type { Room } from "../../core/room.ts";
import type { Segment } from "../../core/segment.ts";
import type { Transport } from "../transport.ts";
import type { Hello, Welcome } from "./frames.ts";
import type { Holding } from "./heads.ts";
import {
  type Acceptance,
  type Closed,
  type Input,
  type Output,
  type Refusal,
  type Session,
  type SessionOptions,
  createSession,
  step,
} from "./session.ts";

const tickMs = 1000;

/** What a link needs of `Room`. */
export type LinkRoom = Pick<Room, "isFull" | "onChange">;

/** The answer to the peer's hello or welcome. */
export type Answer =
  | { readonly kind: "accept"; readonly acceptance?: Acceptance }
  | ({ readonly kind: "refuse" } & Refusal);

export interface EndpointOptions {
  readonly environment: Environment;
  readonly transport: Transport;
  readonly session: SessionOptions;
  /**
   * Compares the peer's claims with the log, and says which log this is: in the cloud only the hello tells. Rejecting
   * ends the session.
   */
  readonly verify: (peer: Hello | Welcome) => Promise<Answer>;
  readonly log: () => Log;
  /** Without one there is always room. */
  readonly room?: LinkRoom | undefined;
  readonly onEstablished?: (peer: Hello | Welcome) => void;
  /** The peer has this much of an origin durable. */
  readonly onAcked?: (origin: Incarnation, seq: number) => void;
  /** Called once, last. */
  readonly onClosed: (closed: Closed) => void;
}

export class Endpoint {
  readonly #options: EndpointOptions;
  readonly #session: Session;
  readonly #inputs: Input[] = [];
  #stepping = false;
  #closed = false;
  #cancelTick: (() => void) | undefined;
  #stopFollowing: (() => void) | undefined;
  #stopMinding: (() => void) | undefined;
  #heard: number;
  #peer: Hello | Welcome | undefined;

  constructor(options: EndpointOptions) {
    this.#options = options;
    this.#session = createSession(options.session);
    this.#heard = options.transport.received;
  }

  open(): void {
    const { transport, room } = this.#options;
    if (room !== undefined) {
      const noteRoom = (): void => this.#take({ kind: "room", isFull: room.isFull });
      this.#stopMinding = room.onChange(noteRoom);
      noteRoom();
    }
    // Messages may have come already: they are the session's once it is open.
    this.#tickLater();
    this.#take({ kind: "open" });
    transport.onWritable(() => {
      this.#take({ kind: "writable" });
    });
    transport.onMessage((bytes) => {
      this.#take({ kind: "frame", bytes });
    });
    transport.onClose(({ message }) => {
      this.#take({ kind: "lost", reason: message });
    });
  }

  /** Ends the session, and tells the peer why. Idempotent. */
  close(refusal: Refusal): void {
    this.#take({ kind: "close", ...refusal });
  }

  #tickLater(): void {
    this.#cancelTick = this.#options.environment.timers.after(tickMs, () => {
      const { received } = this.#options.transport;
      // A large message on a slow line takes longer than silence may: its first bytes count as life.
      if (received !== this.#heard) this.#take({ kind: "heard" });
      this.#heard = received;
      this.#take({ kind: "tick" });
      if (!this.#closed) this.#tickLater();
    });
  }

  #take(input: Input): void {
    this.#inputs.push(input);
    if (this.#stepping) return;
    this.#stepping = true;
    const { environment, transport } = this.#options;
    for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
      const moment = { nowMs: environment.clock.monotonic(), buffered: transport.buffered };
      for (const output of step(this.#session, next, moment)) this.#carryOut(output);
    }
    this.#stepping = false;
  }

  #carryOut(output: Output): void {
    switch (output.kind) {
      case "send":
        this.#options.transport.send(output.bytes);
        return;
      case "verify":
        void this.#verify(output.peer);
        return;
      case "established":
        this.#peer = output.peer;
        this.#follow();
        void this.#accountLost();
        this.#options.onEstablished?.(output.peer);
        return;
      case "read":
        void this.#read(output.origin, output.fromSeq, output.maxBytes);
        return;
      case "deliver":
        this.#receive(output.segments);
        return;
      case "peerAcked":
        this.#options.onAcked?.(output.origin, output.seq);
        return;
      case "closed":
        this.#end(output);
        return;
      default:
        output satisfies never;
    }
  }

  async #verify(peer: Hello | Welcome): Promise<void> {
    try {
      const answer = await this.#options.verify(peer);
      if (answer.kind === "accept") this.#take({ ...answer, kind: "verified" });
      else this.#take({ ...answer, kind: "close" });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Tells the session of what the log makes durable: of either side, as a lost tail given back may grow too. */
  #follow(): void {
    const log = this.#options.log();
    const stops = [
      log.onVisible((_events, segment) => {
        const { origin } = segment;
        // Behind a hole that is not filled yet, the latest event is not the end of what can be sent.
        const end = log.histories.get(origin)?.end ?? 0;
        this.#take({ kind: "available", origin, end, segments: [segment] });
      }),
      log.onReset(() => {
        this.close({
          code: "LOG_GAP",
          message: "damage was found in the log, and what was said of it is not so",
        });
      }),
    ];
    this.#stopFollowing = () => {
      for (const stop of stops) stop();
    };
    for (const { origin, end } of log.histories.values()) {
      if (end > 0) this.#take({ kind: "available", origin, end });
    }
  }

  async #read(origin: Incarnation, fromSeq: number, maxBytes: number): Promise<void> {
    try {
      const segments = await this.#options.log().readOrigin(origin, fromSeq, maxBytes);
      this.#take({ kind: "read", origin, segments });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** One ack for all of a delivery, once each of its segments is durable. */
  #receive(segments: readonly Segment[]): void {
    const log = this.#options.log();
    let waiting = segments.length;
    const done = (error?: TidemarkError): void => {
      waiting -= 1;
      if (error !== undefined) this.#fail(error);
      else if (waiting === 0) void this.#durable(segments.at(-1) as Segment);
    };
    try {
      for (const segment of segments) log.receive(segment, done);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #durable({ origin, lo, count }: Segment): Promise<void> {
    const seq = lo + count - 1;
    this.#take({ kind: "durable", origin, seq });
    const log = this.#options.log();
    if ((log.histories.get(origin)?.beyond.length ?? 0) === 0) {
      await this.#accountLost();
      return;
    }
    try {
      await log.settled();
      this.#filled(log, origin, seq);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Some of what this side's disk had lost is back: what that hid, on either side, is to be compared anew. */
  #filled(log: Log, origin: Incarnation, seq: number): void {
    const { end = 0, hole } = log.histories.get(origin) ?? {};
    const claim = this.#peer?.holdings.find((holding) => holding.origin === origin);
    const claimed = claim?.end ?? 0;
    const isOver = hole === undefined || seq >= claimed;
    const isPeerRolledBack = end > Math.max(claimed, seq);
    if (origin === log.incarnation ? !isOver : !isPeerRolledBack) return;
    this.close({
      code: "LOG_GAP",
      message: "what was lost is back, and may have hidden a difference",
      retryAfterMs: 0,
    });
  }

  /** Where this side has all that the peer said it had, nothing that it lost is missing any more. */
  async #accountLost(): Promise<void> {
    const log = this.#options.log();
    if (!log.problems.some(({ origin }) => origin === undefined)) return;
    const isHere = ({ origin, end, missingTo }: Holding): boolean => {
      const { end: held = 0, closedAt = end } = log.histories.get(origin) ?? {};
      return missingTo === undefined && held >= Math.min(end, closedAt);
    };
    if (this.#peer?.holdings.every(isHere) !== true) return;
    try {
      await accountLost(log);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const code = error instanceof TidemarkError ? error.code : "LOG_COMMIT_FAILED";
    const data = error instanceof TidemarkError ? error.data : {};
    this.#take({ kind: "close", code, message: messageOf(error), data });
  }

  #end(closed: Closed): void {
    this.#closed = true;
    this.#cancelTick?.();
    this.#stopFollowing?.();
    this.#stopMinding?.();
    this.#options.transport.close(closed.code);
    this.#options.onClosed(closed);
  }
}
