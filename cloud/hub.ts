/**
 * CloudHub: one session for each node. Decides who a node is and whether it may speak, gives generations, and keeps a
 * newer session from meeting an older one.
 */
import type { Incarnation } from "../core/event.ts";
import type { Log } from "../core/log.ts";
import type { Environment } from "../core/ports.ts";
import type { Compressor } from "../protocol/link/batch.ts";
import { type Answer, Endpoint, type LinkRoom } from "../protocol/link/endpoint.ts";
import { type BootHistory, decideBoot, noBoots } from "../protocol/link/forks.ts";
import type { Hello } from "../protocol/link/frames.ts";
import type { Acceptance, Closed, Refusal } from "../protocol/link/session.ts";
import { type LinkMemory, compareOwn, emptyMemory, noteNamed, stateLog } from "../protocol/link/statement.ts";
import type { Transport } from "../protocol/transport.ts";
import { appendReset, isOutranked, openOrigins } from "./origins.ts";

export interface HubOptions {
  readonly environment: Environment;
  /** Version of the product. */
  readonly product: string;
  /** Opens the log of a node, once. */
  readonly nodeLog: (node: string) => Promise<Log>;
  readonly compressor?: Compressor;
  /** A node said how far it has an origin of the cloud durable. */
  readonly onAcked?: (node: string) => void;
  /** While it is full, nodes are asked to wait. */
  readonly room?: LinkRoom | undefined;
}

export type LinkState = "Connected" | "Disconnected" | "Forked";

/** What the cloud knows of one node's link. */
export interface NodeLink {
  readonly state: LinkState;
  /** Ms since the epoch. */
  readonly since: number;
  /** What the node has durable of each cloud origin, as far as it said. */
  readonly acked: ReadonlyMap<Incarnation, number>;
  /** Why the last session ended. */
  readonly reason: string | undefined;
}

interface Link {
  state: LinkState;
  since: number;
  reason: string | undefined;
  boots: BootHistory;
  readonly memory: LinkMemory;
  readonly acked: Map<Incarnation, number>;
  /** Cloud origins that the node holds and this cloud did not write, or can't prove to have written. */
  readonly foreign: Set<Incarnation>;
  endpoint: Endpoint | undefined;
  /** Number of the connection that said hello last. */
  arrival: number;
}

/** One connection, and its number in the order in which they came. */
interface Arrived {
  readonly endpoint: Endpoint;
  readonly arrival: number;
}

const superseded = {
  code: "SESSION_SUPERSEDED",
  message: "a newer session of this node has taken over",
} as const;

export class CloudHub {
  readonly #options: HubOptions;
  readonly #links = new Map<string, Link>();
  /** With the node that each is for. */
  readonly #endpoints = new Map<Endpoint, string>();
  #arrivals = 0;
  #sessions = 0;
  #closing = false;

  constructor(options: HubOptions) {
    this.#options = options;
  }

  /** @returns undefined for a node that has not connected since this process began */
  link(node: string): NodeLink | undefined {
    return this.#links.get(node);
  }

  /** Takes a connection whose certificate is `node`'s. */
  accept(transport: Transport, node: string): void {
    const { environment, product, compressor, room } = this.#options;
    if (this.#closing) {
      transport.close("SHUTTING_DOWN");
      return;
    }
    let log: Log | undefined;
    const link = this.#linkOf(node);
    this.#arrivals += 1;
    const arrival = this.#arrivals;
    const endpoint = new Endpoint({
      environment,
      transport,
      session: {
        role: "cloud",
        expectedNode: node,
        product,
        digest: environment.digest,
        ...(compressor && { compressor }),
      },
      verify: async (peer) => {
        log = await this.#options.nodeLog(node);
        return this.#verify(node, { endpoint, arrival }, log, peer as Hello);
      },
      log: () => log as Log,
      room,
      onEstablished: () => {
        this.#changed(link, "Connected", undefined);
        environment.logger.log("info", "a node connected", { node });
      },
      onAcked: (origin, seq) => {
        link.acked.set(origin, seq);
        this.#options.onAcked?.(node);
      },
      onClosed: (closed) => {
        this.#ended(node, endpoint, closed);
      },
    });
    this.#endpoints.set(endpoint, node);
    endpoint.open();
  }

  #linkOf(node: string): Link {
    let link = this.#links.get(node);
    if (link === undefined) {
      link = {
        state: "Disconnected",
        since: this.#options.environment.clock.now(),
        reason: undefined,
        boots: noBoots,
        memory: emptyMemory(),
        acked: new Map(),
        foreign: new Set(),
        endpoint: undefined,
        arrival: 0,
      };
      this.#links.set(node, link);
    }
    return link;
  }

  #changed(link: Link, state: LinkState, reason: string | undefined): void {
    if (link.state !== state) link.since = this.#options.environment.clock.now();
    link.state = state;
    link.reason = reason;
  }

  async #verify(node: string, arrived: Arrived, log: Log, hello: Hello): Promise<Answer> {
    const link = this.#linkOf(node);
    const fenced = this.#fence(link, arrived, hello);
    if (fenced !== undefined) return fenced;
    const { memory, acked } = link;
    acked.clear();
    noteNamed(memory, hello);
    await log.settled();
    const compared = await compareOwn(log, hello, memory);
    const { end = 0 } = log.histories.get(log.incarnation) ?? {};
    // What the node covered of the live incarnation does not prove that this cloud wrote it: it can't heal a hole.
    const isUnprovable = link.foreign.has(log.incarnation);
    const isOver = compared.kind === "agrees" && (isUnprovable || isOutranked(log, hello));
    const verdict = isOver ? ({ kind: "rolledBack", common: end } as const) : compared;
    if (verdict.kind === "rolledBack") {
      this.#options.environment.logger.log(
        "warn",
        "this cloud was rolled back; its lost events are asked back",
        {
          node,
          origin: log.incarnation,
          common: verdict.common,
        },
      );
      memory.focus = undefined;
      await log.reincarnate(verdict.common);
      return {
        kind: "refuse",
        code: "LOG_FORKED",
        message: "the cloud was rolled back, and is put right",
        retryAfterMs: 0,
      };
    }
    memory.focus = verdict.kind === "narrow" ? verdict : undefined;
    // Where histories part, it has something else under these names.
    if (verdict.kind === "agrees") for (const { origin, end } of hello.holdings) acked.set(origin, end);
    const nodeGeneration = verdict.kind === "narrow" ? undefined : await openOrigins(log, hello);
    for (const origin of link.foreign) await appendReset(log, origin);
    const acceptance: Acceptance = {
      sessionId: this.#nextSessionId(),
      log: await this.#statement(log, link, hello),
      nodeGeneration,
      compareOnly: verdict.kind === "narrow",
    };
    return { kind: "accept", acceptance };
  }

  async #statement(log: Log, link: Link, hello: Hello): Promise<Acceptance["log"]> {
    await log.settled();
    const statement = await stateLog(log, link.memory);
    const foreign = hello.holdings.filter(({ origin }) => link.foreign.has(origin));
    // Said to be held and closed where the node's copy ends, so that it is not offered again.
    const closed = foreign.map((holding) => ({ ...holding, marks: [], closedAt: holding.end }));
    const own = statement.holdings.filter(({ origin }) => !link.foreign.has(origin));
    return { ...statement, holdings: [...own, ...closed] };
  }

  /** A newer session takes over from an older one; two living holders of one log are both refused. */
  #fence(link: Link, { endpoint, arrival }: Arrived, hello: Hello): Answer | undefined {
    // On a slow line a process that has ended since may speak after the one that took its place.
    if (arrival < link.arrival) return { kind: "refuse", ...superseded };
    link.arrival = arrival;
    const { history, decision } = decideBoot(link.boots, hello.bootId);
    link.boots = history;
    const previous = link.endpoint;
    if (decision === "forked") {
      const refusal = {
        code: "NODE_FORKED" as const,
        message: `two living processes hold the log of ${hello.node}: stop one of them, erase its data directory if it is a copy, and restart the other`,
      };
      link.endpoint = undefined;
      previous?.close(refusal);
      this.#changed(link, "Forked", refusal.message);
      return { kind: "refuse", ...refusal };
    }
    link.endpoint = endpoint;
    if (previous !== undefined && previous !== endpoint) {
      previous.close(superseded);
    }
    return undefined;
  }

  #nextSessionId(): string {
    this.#sessions += 1;
    return `${this.#options.environment.clock.now().toString(36)}-${this.#sessions}`;
  }

  #ended(node: string, endpoint: Endpoint, closed: Closed): void {
    this.#endpoints.delete(endpoint);
    const link = this.#links.get(node);
    // Of a node that was forgotten.
    if (link === undefined) return;
    if (closed.partial !== undefined) link.memory.partial = closed.partial;
    if (closed.code === "AUTHORITY" && closed.by === "self") this.#noteForeign(link, closed);
    if (link.endpoint !== endpoint) return;
    link.endpoint = undefined;
    if (link.state !== "Forked") this.#changed(link, "Disconnected", closed.message);
    this.#options.environment.logger.log("info", "a node's session ended", {
      node,
      code: closed.code,
      by: closed.by,
      reason: closed.message,
    });
  }

  #noteForeign(link: Link, closed: Closed): void {
    const origin = closed.data?.["origin"];
    if (typeof origin === "string") link.foreign.add(origin as Incarnation);
  }

  /** Ends a node's sessions, and keeps nothing of them. */
  forget(node: string, refusal: Refusal): void {
    this.#links.delete(node);
    for (const [endpoint, of] of this.#endpoints) if (of === node) endpoint.close(refusal);
  }

  /** Ends all sessions. Idempotent. */
  close(): void {
    this.#closing = true;
    for (const endpoint of this.#endpoints.keys()) {
      endpoint.close({ code: "SHUTTING_DOWN", message: "the cloud is shutting down" });
    }
  }
}
