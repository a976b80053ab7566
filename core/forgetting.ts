/**
 * Forgets in the background, over the logs of one process: once an hour what is past its age; and while the disk is
 * short of room, over and over, ever younger events, until there is room again or nothing is left that may go.
 */
import { type Acks, keepAcks, knownAcks } from "./acks.ts";
import type { Committer } from "./committer.ts";
import { Compactor } from "./compactor.ts";
import { TidemarkError, messageOf } from "./errors.ts";
import { pruneHistory } from "./history-prune.ts";
import type { Log } from "./log.ts";
import type { Environment } from "./ports.ts";
import type { Pressure } from "./pressure.ts";
import { type Demand, type RetentionPolicy, leastAge, retentionDefault, shortened } from "./retention.ts";

/** How short the disk is of room. */
export interface Shortage {
  readonly pressure: Pressure;
  /** Whether the disk has the room that it takes to give bytes back to it. */
  readonly canReclaim: boolean;
  /** Looks again how much room there is. */
  measure(): Promise<void>;
  onChange(listener: () => void): () => void;
}

export interface ForgettingPace {
  readonly policy?: RetentionPolicy | undefined;
  /** Time between passes, ms. */
  readonly everyMs?: number | undefined;
  readonly runBytes?: number | undefined;
}

export interface ForgettingOptions extends ForgettingPace {
  readonly committer: Committer;
  readonly environment: Environment;
  /** None: there is always room. */
  readonly room?: Shortage | undefined;
}

/** What the other side of a log said to have; "all": it has no other side. */
export type SaidAcks = () => Acks | "all";

interface Member {
  /** When what the other side said was put to be kept, by the monotonic clock. */
  keptMs: number;
  readonly compactor: Compactor;
  readonly said: SaidAcks;
  acks: Acks | "all";
}

const everyMsDefault = 3_600_000;
/** What the other side said is put to be kept so often, at most. */
const keepAcksMs = 1000;
/** Where room is short when it begins: once the logs are open. */
const firstMs = 1000;
/** While nothing more can go, it is tried again after this, and then after twice as long, up to an hour. */
const retryMsMin = 10_000;
/** While appends come, and there is room, a slice is followed by a pause of so many times its length. */
const pauseFactor = 6;
/** While the disk is short, each pass keeps so much of the ages that the one before it kept. */
const squeeze = 0.7;
/** Others may be what fills the disk: before it is very short of room, so much of the ages is kept. */
const shareWhenTight = 1 / 64;
/** A share that is less is as good as nothing. */
const shareMin = 1 / 4096;

export class Forgetting {
  readonly policy: RetentionPolicy;
  readonly #options: ForgettingOptions;
  readonly #members = new Map<Log, Member>();
  readonly #stops: (() => void)[] = [];
  #demand: Demand;
  /** Which share of the ages was kept when the disk had room again. */
  #share = 1;
  /** As it was last. */
  #pressure: Pressure = 0;
  #retryMs = retryMsMin;
  #running: Promise<void> | undefined;
  /** What is done to one log now, or was done last. */
  #working: Promise<unknown> = Promise.resolve();
  #cancelWait: (() => void) | undefined;
  #cancelPause: (() => void) | undefined;
  #endPause: (() => void) | undefined;
  #isBusy = false;
  #closed = false;

  constructor(options: ForgettingOptions) {
    this.#options = options;
    this.policy = options.policy ?? retentionDefault;
    this.#demand = { ages: this.policy, undelivered: false };
    const { room } = options;
    if (room !== undefined) {
      this.#stops.push(
        room.onChange(() => {
          const isWorse = room.pressure > this.#pressure;
          this.#pressure = room.pressure;
          if (!isWorse) return;
          this.#retryMs = retryMsMin;
          this.#start();
        }),
      );
    }
    this.#wait(room !== undefined && room.pressure > 0 ? firstMs : (options.everyMs ?? everyMsDefault));
  }

  /** Forgets in this log too, from now on. */
  add(log: Log, said: SaidAcks): void {
    const { committer, environment, runBytes } = this.#options;
    const member: Member = {
      keptMs: Number.NEGATIVE_INFINITY,
      said,
      acks: new Map(),
      compactor: new Compactor({
        log,
        committer,
        runBytes,
        now: () => environment.clock.now(),
        demand: () => this.#demand,
        acked: (origin) => (member.acks === "all" ? Infinity : (member.acks.get(origin) ?? 0)),
      }),
    };
    this.#members.set(log, member);
    this.#stops.push(
      log.onVisible(() => {
        this.#isBusy = true;
      }),
    );
  }

  /** The other side has said more: known with the next commit, and so to the next process. */
  noteAcks(log: Log): void {
    const { committer, environment } = this.#options;
    const member = this.#members.get(log);
    const nowMs = environment.clock.monotonic();
    if (member === undefined || nowMs - member.keptMs < keepAcksMs) return;
    const acks = member.said();
    if (acks === "all") return;
    member.keptMs = nowMs;
    keepAcks(committer, log.id, acks);
  }

  /** Forgets in this log no more. Resolves when nothing is written to it. */
  async remove(log: Log): Promise<void> {
    const member = this.#members.get(log);
    this.#members.delete(log);
    member?.compactor.close();
    await this.#working.catch(() => undefined);
  }

  /** Forgets what there is to forget now. Resolves when that is done. */
  async forgetAll(): Promise<void> {
    this.#start();
    await this.#running;
  }

  #wait(ms: number): void {
    if (this.#closed) return;
    this.#cancelWait?.();
    this.#cancelWait = this.#options.environment.timers.after(ms, () => this.#start());
  }

  #start(): void {
    if (this.#closed) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async #run(): Promise<void> {
    const { everyMs = everyMsDefault, room } = this.#options;
    let waitMs = everyMs;
    try {
      this.#demand = { ages: this.policy, undelivered: false };
      if (room === undefined || room.pressure === 0) await this.#pass([...this.#members.values()]);
      else if (!(await this.#makeRoom(room))) waitMs = this.#nextRetryMs(everyMs);
      else this.#retryMs = retryMsMin;
    } catch (error) {
      // A store that failed is told of by the committer; the log's own readers tell of damage.
      const code = error instanceof TidemarkError ? error.code : undefined;
      const fields = { code, reason: messageOf(error) };
      this.#options.environment.logger.log("warn", "what is past retention could not be forgotten", fields);
    }
    this.#wait(waitMs);
  }

  #nextRetryMs(everyMs: number): number {
    const waitMs = Math.min(everyMs, this.#retryMs);
    this.#retryMs = waitMs * 2;
    return waitMs;
  }

  /** What the other side has goes first. @returns whether there is room now */
  async #makeRoom(room: Shortage): Promise<boolean> {
    // One step laxer than what was needed the last time.
    this.#share = await this.#squeeze(room, Math.min(1, this.#share / squeeze), false);
    if (room.pressure >= 2) await this.#squeeze(room, 1, true);
    return room.pressure === 0;
  }

  /** Lets ever younger events go until it is enough. @returns the share of the ages that was kept */
  async #squeeze(room: Shortage, from: number, undelivered: boolean): Promise<number> {
    const { committer } = this.#options;
    for (let share = from; ;) {
      this.#demand = { ages: shortened(this.policy, share), undelivered };
      const largest = await this.#largest();
      // What comes after a snapshot is not touched, so that is to be near the end.
      for (const { compactor } of largest) compactor.log.snapshot();
      await committer.flush();
      const forgotten = await this.#pass(largest);
      if (forgotten > 0 && room.canReclaim) await committer.store.reclaim();
      // One that was under way had begun before this.
      await room.measure();
      await room.measure();
      const isEnough = undelivered ? room.pressure < 2 : room.pressure === 0;
      const least = room.pressure === 1 ? shareWhenTight : 0;
      if (isEnough || share <= least || this.#closed) return share;
      const oldestMs = Math.max(0, ...largest.map(({ compactor }) => compactor.oldestMs));
      const next = Math.min(share, oldestMs / leastAge(this.policy)) * squeeze;
      share = Math.max(least, next < shareMin ? 0 : next);
    }
  }

  /** The logs that have more than their part of the disk. */
  async #largest(): Promise<Member[]> {
    const sized: { readonly member: Member; readonly bytes: number }[] = [];
    for (const member of this.#members.values()) {
      const { segmentBytes, blockBytes } = await this.#options.committer.store.shape(member.compactor.log.id);
      sized.push({ member, bytes: segmentBytes + blockBytes });
    }
    const mean = sized.reduce((sum, { bytes }) => sum + bytes, 0) / sized.length;
    return sized.filter(({ bytes }) => bytes >= mean).map(({ member }) => member);
  }

  /** One pass over each of these logs. @returns how many events were let go */
  async #pass(members: readonly Member[]): Promise<number> {
    const { committer, environment } = this.#options;
    const { clock } = environment;
    let forgotten = 0;
    for (const member of members) {
      const { compactor, said } = member;
      const { log } = compactor;
      const acks = said();
      member.acks = acks === "all" ? acks : await knownAcks(committer, log.id, acks);
      for (let goesOn = true; goesOn && !this.#closed && this.#members.get(log) === member;) {
        const began = clock.monotonic();
        const slice = compactor.slice();
        this.#working = slice;
        goesOn = await slice;
        const isShort = (this.#options.room?.pressure ?? 0) >= 2;
        await this.#pause(this.#isBusy && !isShort ? (clock.monotonic() - began) * pauseFactor : 0);
        this.#isBusy = false;
      }
      if (this.#closed || this.#members.get(log) !== member) continue;
      forgotten += compactor.forgotten;
      if (compactor.forgotten === 0) continue;
      this.#working = pruneHistory(log, committer);
      await this.#working;
    }
    return forgotten;
  }

  #pause(ms: number): Promise<void> {
    if (this.#closed) return Promise.resolve();
    const { timers } = this.#options.environment;
    return new Promise((resolve) => {
      this.#endPause = resolve;
      if (ms > 0) this.#cancelPause = timers.after(ms, resolve);
      else timers.soon(resolve);
    });
  }

  /** What the other side has is known for the next process, before it says so again. */
  async #keepAcks(): Promise<void> {
    const { committer } = this.#options;
    for (const [{ id }, { said }] of this.#members) {
      const acks = said();
      if (acks !== "all" && committer.failure === undefined)
        await knownAcks(committer, id, acks).catch(() => undefined);
    }
  }

  /** Resolves when the slice under way is done. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#stops) stop();
    this.#cancelWait?.();
    this.#cancelPause?.();
    this.#endPause?.();
    await this.#running;
    for (const { compactor } of this.#members.values()) compactor.close();
    await this.#keepAcks();
    this.#members.clear();
  }
}
