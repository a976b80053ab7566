/**
 * A node without its sockets: its log, its twins, and the link that keeps it in step with the cloud. A process
 * (`edge-process.ts`) puts it on a disk and a network; the simulator puts it on its own.
 */
import { Committer } from "../core/committer.ts";
import type { TidemarkError } from "../core/errors.ts";
import { nodeLog } from "../core/event.ts";
import { Forgetting, type ForgettingPace } from "../core/forgetting.ts";
import { HistoryIndex } from "../core/history-index.ts";
import { Log } from "../core/log.ts";
import { Merging, type MergingPace } from "../core/merging.ts";
import type { Environment } from "../core/ports.ts";
import { Outbox } from "../core/reactor.ts";
import type { Room } from "../core/room.ts";
import type { Store } from "../core/store-port.ts";
import { authority } from "../protocol/link/authority.ts";
import type { Compressor } from "../protocol/link/batch.ts";
import type { Transport } from "../protocol/transport.ts";
import type { DeviceBus } from "./device-twin-port.ts";
import { type DeviceTwin, createDeviceTwin } from "./device-twin.ts";
import { EdgeDevices } from "./devices.ts";
import { EdgeHub } from "./edge-hub.ts";

export interface EdgeOptions {
  readonly environment: Environment;
  readonly node: string;
  /** Open already. */
  readonly store: Store;
  /** The broker that answers go to. */
  readonly bus: DeviceBus;
  /** Opens a connection to the cloud. */
  readonly dial: () => Promise<Transport>;
  /** Random for each process. */
  readonly bootId: string;
  /** Version of the product. */
  readonly product: string;
  readonly compressor?: Compressor;
  /** Without one there is always room. */
  readonly room?: Room | undefined;
  /** How the log is merged in the background. */
  readonly merging?: MergingPace | undefined;
  /** What is kept for how long. */
  readonly forgetting?: ForgettingPace | undefined;
  /** Called once, when the store has failed: the edge must be closed, and opened again. */
  readonly onFailure?: (error: TidemarkError) => void;
  /** Events replayed so far, while it opens. */
  readonly onProgress?: (events: number) => void;
}

export class Edge {
  readonly node: string;
  readonly environment: Environment;
  readonly log: Log;
  readonly twin: DeviceTwin;
  readonly hub: EdgeHub;
  readonly devices: EdgeDevices;
  readonly #committer: Committer;
  readonly #merging: Merging;
  readonly forgetting: Forgetting;
  readonly #outbox: Outbox;
  #closed = false;

  /** Replays the log. The link is not up yet: `start` does that. @throws FORMAT_NEWER and what the store throws */
  static async open(options: EdgeOptions): Promise<Edge> {
    const { environment, node, store, room, onProgress } = options;
    const committer = new Committer(store, environment.timers);
    if (room !== undefined) committer.onCommitted((bytes) => room.noteCommitted(bytes));
    const log = await Log.open({
      id: nodeLog(node),
      side: "node",
      committer,
      environment,
      authority,
      refuses: room && ((drafts) => room.refusal(drafts)),
      bulk: options.merging,
      onProgress,
    });
    await committer.flush();
    return new Edge(options, committer, log);
  }

  private constructor(options: EdgeOptions, committer: Committer, log: Log) {
    const { environment, node, bus, bootId, product, dial, compressor, onFailure } = options;
    const { clock, timers, logger } = environment;
    this.node = node;
    this.environment = environment;
    this.log = log;
    this.#committer = committer;
    const indexOf = HistoryIndex.forAll();
    this.#merging = new Merging({ ...options.merging, committer, environment, indexOf, room: options.room });
    this.#merging.add(log);
    this.twin = createDeviceTwin({ replica: log, node, clock, timers, logger, bus });
    this.devices = new EdgeDevices(this, clock);
    this.hub = new EdgeHub({
      environment,
      node,
      bootId,
      product,
      log,
      dial,
      room: options.room,
      onAcked: () => {
        this.forgetting.noteAcks(log);
      },
      ...(compressor && { compressor }),
    });
    this.forgetting = new Forgetting({ ...options.forgetting, committer, environment, room: options.room });
    this.forgetting.add(log, () => this.hub.link.acked);
    this.#outbox = new Outbox({
      name: "device-twin",
      replica: log,
      committer,
      environment,
      act: (events) => {
        this.twin.onEvents(events);
      },
    });
    committer.onFailure(() => onFailure?.(committer.failure as TidemarkError));
  }

  /** Brings up the reactors and the link. */
  async start(): Promise<void> {
    await this.#outbox.open();
    this.hub.start();
  }

  /** Ends the session, commits what waits, and takes a snapshot. The store stays open. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.hub.close();
    await this.#outbox.close();
    this.twin.close();
    await Promise.all([this.#merging.close(), this.forgetting.close()]);
    if (this.#committer.failure === undefined) await this.log.close();
  }
}
