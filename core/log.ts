/**
 * One side's replica of one log: appends this side's events, takes in the other's, and folds both into registers.
 *
 * An event goes through three states: *open* (appended, in the group that will be the next segment), *waiting* (its
 * segment is sealed, or on its way to the disk) and *durable*. Validation sees all three, readers only the last.
 */
import { eventOf } from "./codec.ts";
import { HybridClock } from "./clock.ts";
import { type Collected, grouped } from "./bulk.ts";
import { CheckpointPace } from "./checkpoint-pace.ts";
import type { CommitSource } from "./committer.ts";
import { TidemarkError, assert, messageOf } from "./errors.ts";
import {
  type Draft,
  type Event,
  type EventId,
  type Incarnation,
  type LogId,
  type Seen,
  type Side,
  eventId,
  sideOf,
} from "./event.ts";
import { compareOfSide } from "./generations.ts";
import { type Done, Group } from "./group.ts";
import { History, type Range } from "./history.ts";
import { mintIncarnation } from "./incarnation.ts";
import { eventsOf } from "./cover.ts";
import { type LogState, checkpoint, fold, noteRemoved, openLog, readFromStart } from "./log-open.ts";
import { moveTail } from "./log-move.ts";
import { openProblems } from "./lost-tail.ts";
import type { LogOptions, StoredLog, VisibleListener } from "./log-options.ts";
import { type LogStatus, refusalOf } from "./log-status.ts";
import type { Mark } from "./marks.ts";
import { LogReader, readBytesDefault } from "./log-reader.ts";
import { fitted, holderOf, refuseSegment, sealGroup, settleSegment } from "./log-segments.ts";
import { type Registers, currentLife, lifeOf } from "./registers.ts";
import { type Problem, historyOf } from "./replay.ts";
import type { Replica } from "./replica.ts";
import { type Segment, chainHash, lastOf } from "./segment.ts";
import { Staged } from "./staged.ts";
import type { StoredSegment } from "./store-port.ts";
import { TailCache } from "./tail-cache.ts";

export type { LogOptions, VisibleListener } from "./log-options.ts";

interface Waiting {
  readonly segment: Segment;
  /** Undefined where what comes before it is not known. */
  readonly hash: Uint8Array | undefined;
  /** None where they are visible already. */
  readonly events: readonly Event[];
  readonly dones: Done[];
  readonly stored: StoredSegment | undefined;
}

export class Log implements Replica, CommitSource {
  readonly id: LogId;
  readonly side: Side;
  /** Whether the side that wrote an event may author it: else it is kept, and counts for nothing. */
  readonly applies = (event: Event): boolean => this.#options.authority?.mayApply(event) !== false;
  readonly #options: LogOptions;
  readonly #staged = new Staged();
  readonly #tail = new TailCache();
  readonly #reader: LogReader;
  readonly #listeners = new Set<VisibleListener>();
  readonly #resetListeners = new Set<() => void>();
  #state: LogState;
  #clock: HybridClock;
  #nextSeq = 1;
  #nextPosition = 1;
  #position = 0;
  #seen: readonly Seen[] = [];
  #open: Group | undefined;
  #waiting: Waiting[] = [];
  #inFlight: readonly Waiting[] = [];
  #waitingBytes = 0;
  #pace = new CheckpointPace();
  #unauthorised = 0;
  #status: LogStatus = "open";
  #failure: TidemarkError | undefined;
  #absorbing: Promise<unknown> | undefined;
  #recovery: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /** Opens the log of the committer's store, and replays it. The store is open already. */
  static async open(options: LogOptions): Promise<Log> {
    const state = await openLog(options);
    const log = new Log(options, state);
    if (state.identity.moving !== undefined) await log.#finishMove();
    return log;
  }

  private constructor(options: LogOptions, state: LogState) {
    this.#options = options;
    this.id = options.id;
    this.side = options.side;
    this.#reader = new LogReader(options, (damaged, found) => {
      // What was looked at since need not be again.
      if (this.histories.get(damaged.origin) === damaged) void this.readAgain(found.message);
    });
    this.#state = state;
    this.#clock = new HybridClock(options.environment.clock, state.time);
    this.#goOnFrom(state);
  }

  #goOnFrom(state: LogState): void {
    this.#state = state;
    this.#position = state.position;
    this.#nextPosition = state.position + 1;
    this.#nextSeq = historyOf(state.histories, state.identity.live).top + 1;
    this.#pace = new CheckpointPace(this.#options.checkpointEvery, state.replayed);
    this.#seen = [];
    this.#noteSeen(state.seen);
  }

  get incarnation(): Incarnation {
    return this.#state.identity.live;
  }

  get position(): number {
    return this.#position;
  }

  get registers(): Registers {
    return this.#state.registers;
  }

  /** What is held of each origin of both sides. */
  get histories(): ReadonlyMap<Incarnation, History> {
    return this.#state.histories;
  }

  get problems(): readonly Problem[] {
    return openProblems(this.id, this.#state);
  }

  /** What a walk over the stored log needs. */
  get stored(): StoredLog {
    const { committer, environment } = this.#options;
    const { removed } = this.#state.identity;
    return { store: committer.store, digest: environment.digest, removed, mayApply: this.applies };
  }

  /** Whether it takes appends: it is not being put right, and has not failed. */
  get isOpen(): boolean {
    return this.#status === "open";
  }

  /** Bytes of events that wait for the disk. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Events of the peer, or of an older version of it, that it may not author: kept, and never applied. */
  get unauthorised(): number {
    return this.#unauthorised;
  }

  append(drafts: readonly Draft[], done?: Done): readonly EventId[] {
    this.#assertOpen();
    if (drafts.length === 0) {
      if (done !== undefined) this.#options.environment.timers.soon(done);
      return [];
    }
    const refusal = this.#options.refuses?.(drafts);
    if (refusal !== undefined) throw refusal;
    const time = this.#clock.now();
    for (const correction of this.#clock.takeCorrections()) this.#stage([correction], time);
    return this.#stage(drafts, time, done);
  }

  appended(drafts: readonly Draft[]): Promise<readonly EventId[]> {
    return new Promise((resolve, reject) => {
      const ids = this.append(drafts, (error) => {
        if (error === undefined) resolve(ids);
        else reject(error);
      });
    });
  }

  #assertOpen(): void {
    const refusal = this.#failure ?? refusalOf(this.#status, this.#waitingBytes);
    if (refusal !== undefined) throw refusal;
  }

  /** @param again the event that the draft was, when it is appended again: its time and `seen` are kept */
  #stage(drafts: readonly Draft[], time: number, done?: Done, again?: Event): EventId[] {
    const options = { seq: this.#nextSeq, time, again: again !== undefined };
    let group = this.#groupOf(again?.seen ?? this.#seen);
    let size = group.write(drafts, options);
    if (size === undefined) {
      this.#sealOpen();
      group = this.#groupOf(group.seen);
      size = group.write(drafts, options) ?? 0;
    }
    const origin = this.incarnation;
    const ids: EventId[] = [];
    for (const draft of drafts) {
      const event = eventOf(draft, { origin, seq: this.#nextSeq, time, seen: group.seen });
      this.#nextSeq += 1;
      group.events.push(event);
      this.#staged.add(event);
      ids.push(eventId(origin, event.seq));
    }
    this.#waitingBytes += size;
    if (done !== undefined) group.dones.push(done);
    this.#options.committer.request(this);
    return ids;
  }

  /** The open group of those who had seen this. */
  #groupOf(seen: readonly Seen[]): Group {
    if (this.#open?.seen === seen) return this.#open;
    this.#sealOpen();
    this.#open = new Group(seen);
    return this.#open;
  }

  /** Ends the open group: its events become a segment, with positions. */
  #sealOpen(): void {
    const group = this.#open;
    if (group === undefined) return;
    this.#open = undefined;
    // A write that was refused may have left it empty.
    if (group.events.length === 0) return;
    const history = historyOf(this.#state.histories, this.incarnation);
    const { events, dones } = group;
    const sealed = sealGroup(group, this.#nextSeq - events.length, history, this.#options);
    let position = this.#nextPosition;
    for (const event of events) {
      (event as { position: number }).position = position;
      position += 1;
    }
    this.#enqueue({ ...sealed, events, dones });
  }

  #enqueue({ segment, hash, events, dones }: Omit<Waiting, "stored">): void {
    const { clock } = this.#options.environment;
    const { origin, lo, count, bytes } = segment;
    const position = this.#nextPosition;
    this.#nextPosition += count;
    const stored = { log: this.id, origin, lo, count, position, arrived: clock.now(), segment: bytes };
    this.#waiting.push({ segment, hash, events, dones, stored });
  }

  /**
   * Takes in a segment of the other side, or one of this side's own that it had lost; of a cover what it lacks. `done`
   * is called when it is durable; at once, when it is already.
   * @throws LOG_GAP, LOG_FORKED, SEGMENT_CORRUPT, EVENT_INVALID, AUTHORITY: nothing was taken
   */
  receive(received: Segment, done: Done): void {
    this.#assertOpen();
    const { digest } = this.#options.environment;
    const history = this.#state.histories.get(received.origin) ?? new History(received.origin);
    const segment = fitted(received, history, digest);
    const { origin } = segment;
    const place = history.place(segment);
    if (place === "held") {
      const same = holderOf(segment, [...this.#inFlight, ...this.#waiting]);
      if (same === undefined) done();
      else same.dones.push(done);
      return;
    }
    if (place === "gap") throw history.gap(segment);
    const hash = chainHash(history.stagedHash, segment, digest);
    const refusal = refuseSegment({ segment, hash }, history, this.incarnation, this.#options);
    if (refusal !== undefined) throw refusal;
    const isNew = place === "next";
    const events = isNew ? eventsOf(segment, this.#nextPosition) : [];
    this.#state.histories.set(origin, history);
    history.stage(segment, hash);
    if (isNew) {
      this.#waitingBytes += segment.events.length;
      this.#enqueue({ segment, hash, events, dones: [done] });
    } else {
      // Its bytes are stored already, past a hole: only the chain goes on over it, once what is before it is durable.
      this.#waiting.push({ segment, hash, events, dones: [done], stored: undefined });
    }
    this.#options.committer.request(this);
  }

  collect(): Collected {
    assert(this.#inFlight.length === 0, "one commit at a time");
    this.#sealOpen();
    [this.#inFlight, this.#waiting] = [this.#waiting, []];
    return grouped(this.#inFlight, this.side, this.#options.bulk);
  }

  committed(): void {
    const durable = this.#inFlight;
    this.#inFlight = [];
    for (const waiting of durable) this.#publish(waiting);
    for (const { dones } of durable) for (const done of dones) done();
    // The registers are not to be kept while a tail is moved: they hold what is being taken out.
    if (this.#status === "recovering") return;
    if (this.#pace.isDue) this.#checkpoint();
  }

  failed(error: TidemarkError): void {
    if (this.#status === "failed") return;
    this.#status = "failed";
    this.#failure = error;
    const dones = [...this.#inFlight, ...this.#waiting, this.#open].flatMap((each) => each?.dones ?? []);
    this.#inFlight = [];
    this.#waiting = [];
    this.#open = undefined;
    for (const done of dones) done(error);
  }

  /** Makes a durable segment visible: folds it, then tells those who follow. */
  #publish({ segment, hash, events, stored }: Waiting): void {
    const own = segment.origin === this.incarnation;
    const history = historyOf(this.#state.histories, segment.origin);
    const absorbed = settleSegment({ segment, hash }, history, this.#options);
    if (absorbed !== undefined) this.#absorbing = Promise.all([this.#absorbing, absorbed]);
    if (stored === undefined) return;
    for (const event of events) {
      if (own) this.#staged.settle(event);
      this.#apply(event);
    }
    this.#position = stored.position + stored.count - 1;
    this.#waitingBytes -= segment.events.length;
    this.#pace.note(events.length, segment);
    const last = events.at(-1);
    if (own) {
      // What fills a hole is not the newest.
      if (last !== undefined && last.seq >= history.top) this.#state.time = last.time;
      this.#tail.add(segment);
    } else {
      if (last !== undefined) this.#clock.follow(last.time);
      // Of a cover all has been seen, though not all of it is kept.
      this.#noteSeen({ origin: segment.origin, seq: lastOf(segment) });
    }
    for (const listener of this.#listeners) listener(events, segment);
  }

  #apply(event: Event): void {
    if (this.applies(event)) return fold(this.#state.registers, this.#state.histories, event);
    this.#unauthorised += 1;
    this.#state.rules.skip(event);
  }

  #noteSeen(event: Seen | undefined): void {
    if (event === undefined || sideOf(event.origin) === this.side) return;
    const held = this.#seen[0];
    if (held !== undefined && compareOfSide(this.registers.generations, held, event) >= 0) return;
    this.#seen = [{ origin: event.origin, seq: event.seq }];
  }

  /** Resolves when nothing waits for the disk, and `histories` say all that is there. */
  async settled(): Promise<void> {
    if (this.#status === "recovering") await this.#recovery;
    await this.#options.committer.flush();
    await this.#absorbing;
  }

  staged(key: string, slot: string): Event | undefined {
    const life = this.stagedLife(key);
    if (life === undefined) return undefined;
    const staged = this.#staged.latest(key, slot);
    if (staged !== undefined && lifeOf(staged) === life) return staged;
    return this.registers.objects.get(key)?.get(life)?.slots.get(slot)?.[this.side];
  }

  stagedLife(key: string): EventId | undefined {
    const staged = this.#staged.life(key);
    return staged === undefined ? currentLife(this.registers, key)?.id : staged.id;
  }

  onVisible(listener: VisibleListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Called when `registers` was built anew, after a rollback was put right, or damage was found. */
  onReset(listener: () => void): () => void {
    this.#resetListeners.add(listener);
    return () => this.#resetListeners.delete(listener);
  }

  read(position: number, maxBytes: number = readBytesDefault): Promise<Event[]> {
    return this.#reader.events(position, this.#position, maxBytes);
  }

  /** Durable segments of one origin, from the one that holds `seq` on. */
  async readOrigin(origin: Incarnation, seq: number, maxBytes: number): Promise<Segment[]> {
    const history = this.#state.histories.get(origin);
    if (history === undefined || seq > history.end) return [];
    const cached = origin === this.incarnation ? this.#tail.from(seq, maxBytes) : undefined;
    return cached ?? this.#reader.segments(history, seq, maxBytes);
  }

  /** One durable event. */
  async eventAt(origin: Incarnation, seq: number): Promise<Event | undefined> {
    return this.#reader.event(origin, seq);
  }

  /** The chain hash after `seq`; undefined when no commit of this origin that is held ends there. */
  hashAt(origin: Incarnation, seq: number): Promise<Uint8Array | undefined> {
    return this.#reader.hashAt(this.#state.histories.get(origin), seq);
  }

  /** Commit boundaries of an origin after `from` and up to `to`: the first, and others evenly spaced, at most `max`. */
  boundaries(origin: Incarnation, from: number, to: number, max: number): Promise<Mark[]> {
    return this.#reader.boundaries(this.#state.histories.get(origin), { from, to }, max);
  }

  /** A checkpoint hides damage in what came before it: where that is found, all of the log is read again. */
  async readAgain(reason: string): Promise<void> {
    if (this.#status !== "open") return this.#recovery;
    const { logger } = this.#options.environment;
    logger.log("error", "damage was found in the log, all of it is read again", { log: this.id, reason });
    this.#status = "recovering";
    this.#recovery = readFromStart(this.#options).then(() => this.#reopen());
    await this.#recovery.catch((cause: unknown) => {
      this.failed(new TidemarkError("LOG_COMMIT_FAILED", messageOf(cause), { cause }));
    });
  }

  /** Positions that are not missed any more. Resolves when that is on the disk. */
  async accountFor(positions: readonly Range[]): Promise<void> {
    this.#assertOpen();
    await noteRemoved(this.#options, this.#state, positions);
  }

  vector(): Record<Incarnation, number> {
    const entries = [...this.#state.histories.values()].filter((history) => history.end > 0);
    return Object.fromEntries(entries.map((history) => [history.origin, history.end]));
  }

  /**
   * This side's log was rolled back: what lies past `common` is not what others hold under that name. It is appended
   * again under a new incarnation, and the registers are built anew. Appends are refused meanwhile.
   */
  async reincarnate(common: number): Promise<void> {
    this.#assertOpen();
    const { committer, environment } = this.#options;
    this.#status = "recovering";
    this.#recovery = committer.flush().then(() => {
      const { identity } = this.#state;
      const live = mintIncarnation(this.side, environment.random);
      this.#state.identity = { ...identity, live, moving: { origin: identity.live, after: common } };
      this.#nextSeq = 1;
      return this.#finishMove();
    });
    await this.#recovery;
  }

  async #finishMove(): Promise<void> {
    this.#status = "recovering";
    await moveTail(
      this.#options,
      this.#state,
      (draft, event) => this.#stage([draft], event.time, undefined, event)[0] as EventId,
    );
    await this.#reopen();
  }

  /** Takes its state from the disk again. */
  async #reopen(): Promise<void> {
    await this.#absorbing;
    this.#staged.clear();
    this.#tail.clear();
    this.#goOnFrom(await openLog(this.#options));
    this.#status = "open";
    for (const listener of this.#resetListeners) listener();
  }

  /**
   * Takes a snapshot with the next commit, and lets all others go: forgetting goes no further than the oldest one.
   * Nothing while the log is being put right.
   */
  snapshot(): void {
    if (this.#status === "open") this.#checkpoint(1);
  }

  #checkpoint(kept?: number): void {
    this.#pace.taken(checkpoint(this.#options, this.#state, this.#position, kept));
  }

  /** Commits what waits, and a checkpoint. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#status === "recovering") await this.#recovery?.catch(() => undefined);
    if (this.#status !== "open") return;
    this.#status = "closed";
    await this.#options.committer.flush();
    await this.#absorbing;
    if (this.#pace.hasMore) this.#checkpoint();
    await this.#options.committer.flush();
  }
}
