/**
 * The cloud without its sockets: the cluster log, every node's log, and what keeps them in step. A process
 * (`cloud-process.ts`) puts it on a disk and a network; the simulator puts it on its own.
 */
import { identityName } from "../core/checkpoint.ts";
import { Committer } from "../core/committer.ts";
import { TidemarkError } from "../core/errors.ts";
import { type Draft, type Event, type LogId, clusterLog, nodeLog, nodeOfLog, sideOf } from "../core/event.ts";
import { originOpened, originReset } from "../core/generations.ts";
import { Forgetting, type ForgettingPace } from "../core/forgetting.ts";
import { HistoryIndex } from "../core/history-index.ts";
import { Log, type LogOptions } from "../core/log.ts";
import { lostTails } from "../core/lost-tail.ts";
import { Merging, type MergingPace } from "../core/merging.ts";
import type { Environment } from "../core/ports.ts";
import type { Room } from "../core/room.ts";
import type { Store } from "../core/store-port.ts";
import { authority } from "../protocol/link/authority.ts";
import type { Compressor } from "../protocol/link/batch.ts";
import type { Transport } from "../protocol/transport.ts";
import { Resources } from "./api/resources.ts";
import { ConflictReactor } from "./conflict-reactor.ts";
import { type DeviceController, createDeviceController } from "./device-controller.ts";
import { CloudDevices } from "./devices.ts";
import { CloudHub } from "./hub.ts";
import { findLost, noteLost, renameAfter } from "./lost-tail.ts";
import { Membership, firstAdmission, isMembership } from "./membership.ts";
import { openVersionBase } from "./version-base.ts";

export interface CloudOptions {
  readonly environment: Environment;
  /** Open already. */
  readonly store: Store;
  /** For the MACs of the cloud's segments. */
  readonly macKey: Uint8Array;
  /** Version of the product. */
  readonly product: string;
  readonly compressor?: Compressor;
  /** Without one there is always room. */
  readonly room?: Room | undefined;
  /** How logs are merged in the background. */
  readonly merging?: MergingPace | undefined;
  /** What is kept for how long. */
  readonly forgetting?: ForgettingPace | undefined;
  /** Called once, when the store has failed: the cloud must be closed, and opened again. */
  readonly onFailure?: (error: TidemarkError) => void;
  /** Events replayed so far, while it opens. */
  readonly onProgress?: (events: number) => void;
  /** Tells whoever issues certificates of which admission a node's next one must be. */
  readonly noteAdmission?: (node: string, admission: number) => Promise<void>;
}

interface Opened {
  readonly committer: Committer;
  readonly cluster: Log;
}

export class Cloud {
  readonly cluster: Log;
  readonly resources: Resources;
  readonly devices: CloudDevices;
  readonly hub: CloudHub;
  readonly membership: Membership;
  readonly #options: CloudOptions;
  readonly #committer: Committer;
  readonly #merging: Merging;
  readonly forgetting: Forgetting;
  readonly #nodes = new Map<string, Log>();
  readonly #opening = new Map<string, Promise<Log>>();
  readonly #conflicts = new Map<string, ConflictReactor>();
  /** Settles when all logs are open: what reactors have to catch up on must not hold that up. */
  readonly #started: Promise<void>;
  #setStarted: () => void = () => {};
  /** Nodes whose logs are being erased. */
  readonly #erasing = new Map<string, Promise<void>>();
  readonly #nodeListeners = new Set<(node: string, log: Log) => void>();
  #controller: DeviceController | undefined;
  #closed = false;

  /** @throws FORMAT_NEWER and what the store throws */
  static async open(options: CloudOptions): Promise<Cloud> {
    const { store, environment, room } = options;
    const committer = new Committer(store, environment.timers);
    if (room !== undefined) committer.onCommitted((bytes) => room.noteCommitted(bytes));
    // To remove a node makes room: it is never too late for that.
    const refuses = refusalBy(room, (draft) => !isMembership(draft) && draft.type !== originOpened);
    const cluster = await Log.open({ id: clusterLog, side: "cloud", committer, environment, refuses });
    const cloud = new Cloud(options, { committer, cluster });
    try {
      await cloud.#begin();
    } catch (error) {
      // What has begun already would go on for itself, and keep the process from ending.
      await cloud.close().catch(() => undefined);
      throw error;
    }
    return cloud;
  }

  private constructor(options: CloudOptions, { committer, cluster }: Opened) {
    const { environment, product, compressor, onFailure } = options;
    this.#options = options;
    this.#started = new Promise((resolve) => (this.#setStarted = resolve));
    this.#committer = committer;
    this.cluster = cluster;
    const { clock, random } = environment;
    this.resources = new Resources({ log: cluster, clock, random });
    const indexOf = HistoryIndex.forAll();
    this.#merging = new Merging({ ...options.merging, committer, environment, indexOf, room: options.room });
    this.#merging.add(cluster);
    this.forgetting = new Forgetting({ ...options.forgetting, committer, environment, room: options.room });
    this.forgetting.add(cluster, () => "all");
    this.devices = new CloudDevices(this);
    this.membership = new Membership(cluster);
    this.hub = new CloudHub({
      environment,
      product,
      nodeLog: (node) => this.nodeLog(node),
      room: options.room,
      onAcked: (node) => {
        const log = this.#nodes.get(node);
        if (log !== undefined) this.forgetting.noteAcks(log);
      },
      ...(compressor && { compressor }),
    });
    committer.onFailure(() => onFailure?.(committer.failure as TidemarkError));
  }

  get environment(): Environment {
    return this.#options.environment;
  }

  /** The nodes that have a log here, and the logs. */
  get nodes(): ReadonlyMap<string, Log> {
    return this.#nodes;
  }

  /** All logs, the cluster's first. */
  *logs(): IterableIterator<Log> {
    yield this.cluster;
    yield* this.#nodes.values();
  }

  log(id: LogId): Log | undefined {
    return id === clusterLog ? this.cluster : this.#nodes.get(nodeOfLog(id) ?? "");
  }

  /** Takes a connection whose certificate is `node`'s, of that admission. */
  async accept(transport: Transport, node: string, admission: number = firstAdmission): Promise<void> {
    try {
      if (this.membership.refusal(node, admission) !== undefined) transport.close("CERTIFICATE_REFUSED");
      else {
        await this.membership.admit(node, admission);
        this.hub.accept(transport, node);
      }
    } catch (error) {
      transport.close(error instanceof TidemarkError ? error.code : "LOG_COMMIT_FAILED");
    }
  }

  /**
   * Forgets a node: its session ends, its certificates are refused from then on, and its log is erased from the disk. It
   * resolves when that is so; a crash in the middle is made good when the cloud opens.
   * @param by who wants it
   * @throws NODE_UNKNOWN
   */
  async removeNode(node: string, by: string): Promise<void> {
    const isKnown = this.#nodes.has(node) || this.#opening.has(node) || this.#isPlacedOn(node);
    if (!isKnown && this.membership.removal(node) === undefined) {
      throw new TidemarkError("NODE_UNKNOWN", `there is no node ${node} here`, { data: { node } });
    }
    await this.membership.remove(node, by);
    this.environment.logger.log("info", "a node was removed", { node, by });
    await this.#erase(node);
  }

  #isPlacedOn(node: string): boolean {
    return this.devices.list(undefined).some((device) => device.node === node);
  }

  #erase(node: string): Promise<void> {
    let erasing = this.#erasing.get(node);
    if (erasing === undefined) {
      erasing = this.#eraseNode(node).finally(() => this.#erasing.delete(node));
      this.#erasing.set(node, erasing);
    }
    return erasing;
  }

  async #eraseNode(node: string): Promise<void> {
    const admission = this.membership.admission(node);
    await this.#options.noteAdmission?.(node, admission);
    this.hub.forget(node, {
      code: "CERTIFICATE_REFUSED",
      message: this.membership.refusal(node, admission - 1) ?? `the node ${node} was removed from this cloud`,
    });
    await this.#opening.get(node)?.catch(() => undefined);
    const log = this.#nodes.get(node);
    this.#nodes.delete(node);
    await this.#conflicts.get(node)?.close();
    this.#conflicts.delete(node);
    if (log !== undefined) await Promise.all([this.#merging.remove(log), this.forgetting.remove(log)]);
    await log?.close();
    await this.#options.store.erase(nodeLog(node));
  }

  /** What was removed, and not erased to the end. */
  async #finishRemovals(): Promise<void> {
    const { store, noteAdmission } = this.#options;
    const logs = new Set(await store.logs());
    for (const [node, admission] of this.membership.admissions()) {
      await noteAdmission?.(node, admission);
      if (this.membership.removal(node) === undefined) continue;
      const id = nodeLog(node);
      if (logs.has(id) || (await store.names(identityName(id))).length > 0) await this.#erase(node);
    }
  }

  /** The log of a node; made when there is none. @throws NODE_UNKNOWN for one that was removed */
  nodeLog(node: string): Promise<Log> {
    const present = this.#nodes.get(node);
    if (present !== undefined) return Promise.resolve(present);
    let opening = this.#opening.get(node);
    if (opening === undefined) {
      opening = this.#openNode(node).finally(() => this.#opening.delete(node));
      this.#opening.set(node, opening);
    }
    return opening;
  }

  async #openNode(node: string): Promise<Log> {
    await this.#erasing.get(node);
    if (this.#closed) throw new TidemarkError("SHUTTING_DOWN", "the cloud is shutting down");
    if (this.membership.removal(node) !== undefined) {
      throw new TidemarkError("NODE_UNKNOWN", `the node ${node} was removed from this cloud`, {
        data: { node },
      });
    }
    const log = await Log.open({
      id: nodeLog(node),
      side: "cloud",
      committer: this.#committer,
      environment: this.#options.environment,
      macKey: this.#options.macKey,
      authority,
      refuses: refusalBy(this.#options.room),
      bulk: this.#options.merging,
      onProgress: this.#options.onProgress,
    });
    const conflicts = new ConflictReactor({
      replica: log,
      committer: this.#committer,
      environment: this.#options.environment,
      after: this.#started,
    });
    await conflicts.open();
    this.#conflicts.set(node, conflicts);
    this.#nodes.set(node, log);
    this.#merging.add(log);
    this.forgetting.add(log, () => this.hub.link(node)?.acked ?? new Map());
    log.onReset(() => this.#controller?.nodeAppeared(node));
    log.onVisible((events) => {
      if (changesPast(events, log)) this.#controller?.nodeAppeared(node);
    });
    for (const listener of this.#nodeListeners) listener(node, log);
    this.#controller?.nodeAppeared(node);
    return log;
  }

  /** Tells of each node's log: those there are, and those to come. */
  onNode(listener: (node: string, log: Log) => void): () => void {
    for (const [node, log] of this.#nodes) listener(node, log);
    this.#nodeListeners.add(listener);
    return () => this.#nodeListeners.delete(listener);
  }

  async #begin(): Promise<void> {
    const { store } = this.#options;
    await this.#finishRemovals();
    for (const id of await store.logs()) {
      const node = nodeOfLog(id);
      if (node !== undefined) await this.nodeLog(node);
    }
    await this.#lookForLoss();
    await this.#committer.flush();
    this.environment.timers.soon(this.#setStarted);
    this.#controller = createDeviceController({
      cluster: this.cluster,
      isWhole: () => this.cluster.problems.length === 0,
      nodes: () => this.#nodes.keys(),
      nodeReplica: (node) => (this.membership.removal(node) === undefined ? this.nodeLog(node) : undefined),
      environment: this.#options.environment,
    });
  }

  /** Whether the disk has lost the end of the cluster log: before anything is appended to it, or taken from it. */
  async #lookForLoss(): Promise<void> {
    const { cluster, environment } = this;
    const lost = findLost(cluster, this.#nodes.values());
    await renameAfter(lost, cluster);
    // Of a new name the sequences begin anew.
    this.resources.countFrom(await openVersionBase(this.#committer, cluster, environment));
    await noteLost(lost, cluster);
    for (const problem of lostTails(cluster.id, cluster.histories)) {
      const what =
        "the cluster log has lost its end, of which nobody has a copy: nodes keep their devices until it is given up";
      environment.logger.log("error", what, { log: cluster.id, ...problem });
    }
  }

  /** Resolves when what devices want has been appended to the nodes' logs. */
  async settled(): Promise<void> {
    await this.#controller?.idle();
    await this.#committer.flush();
  }

  /** Ends the sessions, commits what waits, and takes snapshots. The store stays open. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.hub.close();
    // What waits until all logs are open would be waited for: of a cloud that can't be opened, for ever.
    this.#setStarted();
    await this.#controller?.close();
    await Promise.allSettled([...this.#opening.values(), ...this.#erasing.values()]);
    for (const conflicts of this.#conflicts.values()) await conflicts.close();
    await Promise.all([this.#merging.close(), this.forgetting.close()]);
    if (this.#committer.failure !== undefined) return;
    for (const log of this.logs()) await log.close();
  }
}

function refusalBy(
  room: Room | undefined,
  isSubject: (draft: Draft) => boolean = () => true,
): LogOptions["refuses"] {
  return room && ((drafts) => (room.isFull ? room.refusal(drafts.filter(isSubject)) : undefined));
}

/** Whether a segment says what the cloud had said before: what it had lost, or what is to count of it. */
function changesPast(events: readonly Event[], log: Log): boolean {
  const last = events.at(-1);
  if (last === undefined || sideOf(last.origin) !== "cloud") return false;
  const { top = 0 } = log.histories.get(last.origin) ?? {};
  const isReturned = last.origin !== log.incarnation || last.seq < top;
  return isReturned || events.some(({ type }) => type === originOpened || type === originReset);
}
