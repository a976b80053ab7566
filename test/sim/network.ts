/** The network between the cloud and its nodes: lines with delay, jitter and a rate, that are cut at any moment. */
import { TidemarkError } from "../../core/errors.ts";
import type { Side } from "../../core/event.ts";
import type { Transport } from "../../protocol/transport.ts";
import { Connection } from "./connection.ts";
import type { ProcessWorld, World } from "./world.ts";

/** The way between one node and the cloud. */
export interface Line {
  isUp: boolean;
  /** The side to which nothing gets through: what is sent there is sent again until it does. */
  deafSide: Side | undefined;
  delayMs: number;
  jitterMs: number;
  bytesPerMs: number;
  /** The chance that a message arrives twice: no WebSocket does that, but a hostile peer may. */
  duplicates: number;
}

export function goodLine(): Line {
  return { isUp: true, deafSide: undefined, delayMs: 5, jitterMs: 2, bytesPerMs: 10_000, duplicates: 0 };
}

type Accept = (transport: Transport, node: string) => void;

const dialTimeoutMs = 10_000;

export class Network {
  readonly #world: World;
  readonly #lines = new Map<string, Line>();
  readonly #connections = new Set<Connection>();
  #listener: { readonly owner: ProcessWorld; readonly accept: Accept } | undefined;

  constructor(world: World) {
    this.#world = world;
  }

  line(node: string): Line {
    let line = this.#lines.get(node);
    if (line === undefined) {
      line = goodLine();
      this.#lines.set(node, line);
    }
    return line;
  }

  /** Connections that are not over yet, of one process or of all. */
  openOf(owner?: ProcessWorld): number {
    return [...this.#connections].filter((connection) => owner === undefined || connection.belongsTo(owner))
      .length;
  }

  /** One process at a time has the cloud's port, while it lives. */
  listen(owner: ProcessWorld, accept: Accept): void {
    this.#listener = { owner, accept };
  }

  /** Opens a connection from a node's process. Where nobody answers, that is known after a while. */
  dial(node: string, owner: ProcessWorld): Promise<Transport> {
    const line = this.line(node);
    const world = this.#world;
    return new Promise((resolve, reject) => {
      const refuse = (afterMs: number, message: string): void => {
        owner.timers.after(afterMs, () => {
          reject(new TidemarkError("NOT_REACHABLE", message));
        });
      };
      owner.timers.after(2 * line.delayMs + world.random.between(0, line.jitterMs), () => {
        const listener = this.#listener;
        if (!line.isUp || line.deafSide !== undefined)
          refuse(world.random.between(0, dialTimeoutMs), "the cloud does not answer");
        else if (listener?.owner.alive !== true) refuse(line.delayMs, "the cloud's port is closed");
        else {
          const connection = new Connection(world, line, { node: owner, cloud: listener.owner }, () =>
            this.#connections.delete(connection),
          );
          this.#connections.add(connection);
          world.note(`net ${node} connected (${this.#connections.size} open)`);
          resolve(connection.node);
          listener.accept(connection.cloud, node);
        }
      });
    });
  }

  /** All connections of a node break; each end notices after its own while, or not by itself. */
  cut(node: string, noticeMs: () => number): void {
    for (const connection of this.#connections) {
      if (connection.line === this.line(node)) connection.cut(noticeMs(), noticeMs());
    }
  }

  /**
   * A process is gone. Its kernel, if that lives on, sends what it had been handed and ends the connections; without
   * power nothing more comes, and the other end finds out after `silenceMs`.
   */
  died(owner: ProcessWorld, silenceMs: number | undefined): void {
    for (const connection of this.#connections) connection.died(owner, silenceMs);
  }
}
