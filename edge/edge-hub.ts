/** EdgeHub: keeps one session with the cloud, and comes back when it ends. */
import { TidemarkError, messageOf } from "../core/errors.ts";
import type { Incarnation } from "../core/event.ts";
import type { Log } from "../core/log.ts";
import type { Environment } from "../core/ports.ts";
import { reconnectDelayMs } from "../protocol/link/backoff.ts";
import type { Compressor } from "../protocol/link/batch.ts";
import { type Answer, Endpoint, type LinkRoom } from "../protocol/link/endpoint.ts";
import type { Statement } from "../protocol/link/frames.ts";
import type { Closed } from "../protocol/link/session.ts";
import { type LinkMemory, compareOwn, emptyMemory, noteNamed, stateLog } from "../protocol/link/statement.ts";
import type { Transport } from "../protocol/transport.ts";

export interface EdgeHubOptions {
  readonly environment: Environment;
  readonly node: string;
  /** Random for each process. */
  readonly bootId: string;
  readonly product: string;
  readonly log: Log;
  /** @throws NOT_REACHABLE, CERTIFICATE_MISSING, CERTIFICATE_REFUSED */
  readonly dial: () => Promise<Transport>;
  readonly compressor?: Compressor;
  /** The cloud said how far it has an origin of this node durable. */
  readonly onAcked?: () => void;
  /** While it is full, the cloud is asked to wait. */
  readonly room?: LinkRoom | undefined;
}

export interface EdgeLink {
  readonly state: "Connected" | "Disconnected" | "Forked";
  /** Ms since the epoch. */
  readonly since: number;
  /** What the cloud has durable of each of this side's origins, as far as it said. */
  readonly acked: ReadonlyMap<Incarnation, number>;
  readonly code: string | undefined;
  /** What is missing, or why the last session ended. */
  readonly reason: string | undefined;
}

/** Rounds of comparing histories before a node that was rolled back stops hurrying. */
const comparisonsMax = 16;

export class EdgeHub {
  readonly #options: EdgeHubOptions;
  readonly #memory: LinkMemory = emptyMemory();
  readonly #acked = new Map<Incarnation, number>();
  #state: EdgeLink["state"] = "Disconnected";
  #since: number;
  #code: string | undefined;
  #reason: string | undefined;
  #endpoint: Endpoint | undefined;
  #failures = 0;
  #comparisons = 0;
  #closed = false;
  #cancelRetry: (() => void) | undefined;
  #connecting: Promise<void> | undefined;

  constructor(options: EdgeHubOptions) {
    this.#options = options;
    this.#since = options.environment.clock.now();
  }

  get link(): EdgeLink {
    return {
      state: this.#state,
      since: this.#since,
      acked: this.#acked,
      code: this.#code,
      reason: this.#reason,
    };
  }

  start(): void {
    this.#connectLater(0);
  }

  #connectLater(delayMs: number): void {
    if (this.#closed) return;
    this.#cancelRetry = this.#options.environment.timers.after(delayMs, () => {
      this.#connecting = this.#connect().finally(() => {
        this.#connecting = undefined;
      });
    });
  }

  async #connect(): Promise<void> {
    let transport: Transport | undefined;
    try {
      transport = await this.#options.dial();
      await this.#begin(transport);
    } catch (error) {
      const code = error instanceof TidemarkError ? error.code : undefined;
      transport?.close(code);
      const message = messageOf(error);
      this.#ended({ by: "transport", code, message, retryAfterMs: undefined, partial: undefined });
    }
  }

  /** @throws what the log failed with */
  async #begin(transport: Transport): Promise<void> {
    const { environment, node, bootId, product, log, compressor, room } = this.#options;
    // What is on its way to the disk is a part of what this side says it has.
    await log.settled();
    const statement = await stateLog(log, this.#memory);
    if (this.#closed) {
      transport.close("SHUTTING_DOWN");
      return;
    }
    const endpoint = new Endpoint({
      environment,
      transport,
      session: {
        role: "node",
        node,
        bootId,
        product,
        digest: environment.digest,
        log: statement,
        ...(compressor && { compressor }),
      },
      verify: (peer) => this.#verify(peer),
      log: () => log,
      room,
      onEstablished: () => {
        this.#established();
      },
      onAcked: (origin, seq) => {
        this.#acked.set(origin, seq);
        this.#options.onAcked?.();
      },
      onClosed: (closed) => {
        this.#ended(closed);
      },
    });
    this.#endpoint = endpoint;
    endpoint.open();
  }

  #established(): void {
    this.#failures = 0;
    this.#comparisons = 0;
    this.#changed("Connected", undefined, undefined);
    this.#options.environment.logger.log("info", "connected to the cloud", { node: this.#options.node });
  }

  /** Whether this node's own log was rolled back, by what the cloud holds of it. */
  async #verify(welcome: Statement): Promise<Answer> {
    const { log, environment } = this.#options;
    noteNamed(this.#memory, welcome);
    this.#acked.clear();
    const verdict = await compareOwn(log, welcome, this.#memory);
    this.#memory.focus = verdict.kind === "narrow" ? verdict : undefined;
    if (verdict.kind === "agrees") {
      for (const { origin, end } of welcome.holdings) this.#acked.set(origin, end);
      return { kind: "accept" };
    }
    if (verdict.kind === "rolledBack") {
      const { common } = verdict;
      environment.logger.log("warn", "this node was rolled back; its lost events are asked back", {
        origin: log.incarnation,
        common,
      });
      await log.reincarnate(common);
    }
    return { kind: "refuse", code: "LOG_FORKED", message: "the node's log was rolled back", retryAfterMs: 0 };
  }

  #ended(closed: Closed): void {
    this.#endpoint = undefined;
    const { environment, node } = this.#options;
    const { code, message, retryAfterMs, partial, by } = closed;
    if (partial !== undefined) this.#memory.partial = partial;
    if (this.#closed) return;
    this.#changed(code === "NODE_FORKED" ? "Forked" : "Disconnected", code, message);
    const delayMs = this.#delayMs(closed);
    environment.logger.log(this.#failures === 0 ? "info" : "debug", "not connected to the cloud", {
      node,
      code,
      by,
      reason: message,
      retryMs: delayMs,
    });
    this.#failures += 1;
    this.#connectLater(retryAfterMs === 0 && this.#comparisons <= comparisonsMax ? 0 : delayMs);
  }

  #delayMs({ code, retryAfterMs }: Closed): number {
    if (code === "LOG_FORKED") this.#comparisons += 1;
    const fraction = this.#options.environment.random.fraction();
    return reconnectDelayMs({ failures: this.#failures, fraction, code, retryAfterMs });
  }

  #changed(state: EdgeLink["state"], code: string | undefined, reason: string | undefined): void {
    if (this.#state !== state) this.#since = this.#options.environment.clock.now();
    this.#state = state;
    this.#code = code;
    this.#reason = reason;
  }

  /** Ends the session, and comes back no more. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry?.();
    await this.#connecting;
    this.#endpoint?.close({ code: "SHUTTING_DOWN", message: "the node is shutting down" });
  }
}
