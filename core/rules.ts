/**
 * Which side may author which event is a table that grows from version to version. What was derived from a log under one
 * table is not what another would make of it: an event that an older version skipped counts in a newer one. So a log
 * notes under which rules it was read; where they are others now, what was derived is let go, and derived again. It notes
 * in which format its segments may be, too: a snapshot hides them from an older version, which must not go on from it.
 */
import { checkpointName, checkpointPrefix } from "./checkpoint.ts";
import { pack, unpack } from "./codec.ts";
import type { Committer } from "./committer.ts";
import type { Event, LogId } from "./event.ts";
import { historyPrefixes } from "./history-entries.ts";
import type { Range } from "./history.ts";
import { mergedName } from "./merger.ts";
import { segmentVersion } from "./segment.ts";
import { newer } from "./segment-bytes.ts";
import type { Store } from "./store-port.ts";
import { undamaged } from "./undamaged.ts";

/** Which side may author which event, as one version has it. */
export interface Authority {
  /** Says these rules and no others. */
  readonly rules: string;
  /** What may not is kept, and never applied. */
  readonly mayApply: (event: Event) => boolean;
}

/** All events count. */
export const anyAuthor: Authority = { rules: "", mayApply: () => true };

/** Under which rules a log is read, and from where on they skip something. */
export class RulesNote {
  /** Whether what is stored was derived under other rules. */
  isOther: boolean;
  /** Whether what is to be noted is. */
  #isNoted: boolean;
  readonly #log: LogId;
  readonly #committer: Committer;
  readonly #rules: string;
  /** Position of the first event that the rules skip; 0: there is none. */
  #skipped: number;

  /** @throws FORMAT_NEWER */
  static async read(log: LogId, committer: Committer, rules: string): Promise<RulesNote> {
    const noted = await valueOf(committer.store, rulesName(log));
    const [format = 0, before] = (Array.isArray(noted) ? noted : []) as [number?, string?];
    if (format > segmentVersion) throw newer(`format ${format}, where this version reads ${segmentVersion}`);
    const skipped = Number((await valueOf(committer.store, skippedName(log))) ?? 0);
    const isOther = before !== rules;
    return new RulesNote(log, committer, { rules, isOther, skipped, isNoted: format === segmentVersion });
  }

  private constructor(
    log: LogId,
    committer: Committer,
    read: {
      readonly rules: string;
      readonly isOther: boolean;
      readonly skipped: number;
      readonly isNoted: boolean;
    },
  ) {
    this.#log = log;
    this.#committer = committer;
    this.#rules = read.rules;
    this.isOther = read.isOther;
    this.#isNoted = read.isNoted && !read.isOther;
    this.#skipped = read.isOther ? 0 : read.skipped;
  }

  /** Notes an event that is not applied. */
  skip({ position }: Pick<Event, "position">): void {
    if (this.#skipped > 0 && this.#skipped <= position) return;
    this.#skipped = position;
    if (!this.isOther) this.#committer.put(skippedName(this.#log), pack(position));
  }

  /**
   * To be called when the log was read under these rules. What was derived under others goes: snapshots, but those in
   * which a slice of a log begins, and the history index; and outboxes go back to the first event that was skipped.
   * Resolves when that is on the disk.
   * @param removed positions that the log does not hold
   */
  async adopt(removed: readonly Range[]): Promise<void> {
    if (this.#isNoted) return;
    this.#isNoted = true;
    const committer = this.#committer;
    committer.put(rulesName(this.#log), pack([segmentVersion, this.#rules]));
    if (!this.isOther) return;
    const { store } = committer;
    const log = this.#log;
    const before = Number((await valueOf(store, skippedName(log))) ?? 0);
    const derived = await derivedNames(store, log, removed);
    for (const name of derived) committer.put(name, undefined);
    for (const name of before === 0 ? [] : await store.names(outboxPrefix(log))) {
      if (Number((await valueOf(store, name)) ?? 0) >= before) committer.put(name, pack(before - 1));
    }
    committer.put(skippedName(log), this.#skipped === 0 ? undefined : pack(this.#skipped));
    this.isOther = false;
    if (derived.length > 0 || before > 0) await committer.flush();
  }
}

/** Where an outbox stands has a name that begins with this. */
export function outboxPrefix(log: LogId): string {
  return `cursor!${log}!`;
}

/** Whether a snapshot holds what came before the first event of a log that is a slice of another. */
export function isBeginning(name: string, log: LogId, removed: readonly Range[]): boolean {
  return removed.some(({ from, to }) => from === 1 && name <= checkpointName(log, to));
}

/** A store that has lost something has lost, perhaps, what was derived: without this note it is derived again. */
export const rulesPrefix = "rules!";

function rulesName(log: LogId): string {
  return rulesPrefix + log;
}

function skippedName(log: LogId): string {
  return `skipped!${log}`;
}

/** What is merged is put into the index again when it is merged again. */
async function derivedNames(store: Store, log: LogId, removed: readonly Range[]): Promise<string[]> {
  const checkpoints = await store.names(checkpointPrefix(log));
  const names = checkpoints.filter((name) => !isBeginning(name, log, removed));
  // A long log's index has more names than a call takes arguments.
  for (const prefix of [...historyPrefixes(log), mergedName(log)])
    for (const name of await store.names(prefix)) names.push(name);
  return names;
}

/** A value that can't be read says nothing. */
async function valueOf(store: Store, name: string): Promise<unknown> {
  const stored = await undamaged(store, name);
  return stored === undefined ? undefined : unpack(stored);
}
