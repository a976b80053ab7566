/** What a commit writes and deletes: the rows of segments and blocks, and of those whose place they take. */
import type { LogId } from "../event.ts";
import type { StoreBatch, StoredBlock, StoredSegment } from "../store-port.ts";
import { packBlockSync } from "./block-record.ts";
import {
  bodyPrefix,
  numbered,
  originPrefix,
  positionPrefix,
  valuesPrefix,
  versionKey,
} from "./level-keys.ts";
import {
  type Found,
  type Row,
  type View,
  blockOf,
  bodiesOf,
  firstRow,
  foundIn,
  getAll,
  rowsOf,
  undamaged,
} from "./level-read.ts";
import { nodeDigest } from "./node-digest.ts";
import { type IndexEntry, decodeEntry, encodeEntry, encodeRecord, seal } from "./record.ts";
import { type Cut, type Run, isCut, neighboursOf, originRunsOf, runsLeft, runsOf } from "./runs.ts";

/** How hard blocks are compressed; measured in `benchmarks/merge.ts`. */
export const blockQuality = 5;

export class BatchWriter {
  readonly rows: Row[] = [];
  readonly deleted: string[] = [];
  readonly #view: View;
  readonly #nextArrival: () => number;

  constructor(view: View, nextArrival: () => number) {
    this.#view = view;
    this.#nextArrival = nextArrival;
  }

  place(stored: StoredSegment): void {
    const { log, origin, lo, count, position, segment } = stored;
    const arrival = this.#nextArrival();
    const entry = {
      arrival,
      sizeBytes: segment.length,
      origin,
      lo,
      count,
      position,
      runs: undefined,
      packedBytes: 0,
    };
    const bodyKey = numbered(bodyPrefix, arrival);
    this.rows.push([bodyKey, encodeRecord(bodyKey, stored, nodeDigest)]);
    this.#index(log, entry);
  }

  placeBlock({ log, members, packed }: Pick<StoredBlock, "log" | "members" | "packed">): void {
    const arrival = this.#nextArrival();
    const bodyKey = numbered(bodyPrefix, arrival);
    const body = packed ?? packBlockSync(members, nodeDigest, blockQuality);
    const sizeBytes = members.reduce((total, { segment }) => total + segment.length, 0);
    this.rows.push([bodyKey, seal(bodyKey, body, nodeDigest)]);
    this.#indexBlock(log, runsOf(members), { arrival, sizeBytes, packedBytes: body.length });
  }

  #indexBlock(
    log: LogId,
    runs: readonly Run[],
    { arrival, sizeBytes, packedBytes }: Pick<IndexEntry, "arrival" | "sizeBytes" | "packedBytes">,
  ): void {
    const [first] = runs;
    if (first === undefined) return;
    const { origin, lo, position } = first;
    const count = runs.reduce((total, run) => total + run.count, 0);
    const entry = { arrival, sizeBytes, origin, lo, count, position, runs, packedBytes };
    this.#index(log, entry);
  }

  #index(log: LogId, entry: IndexEntry): void {
    const key = numbered(positionPrefix(log), entry.position);
    this.rows.push([key, encodeEntry(key, entry, nodeDigest)], ...originRows(log, entry));
  }

  /** @param value undefined: the name goes */
  value(name: string, value: Uint8Array | undefined): void {
    const key = valuesPrefix + name;
    if (value === undefined) this.deleted.push(key);
    else this.rows.push([key, seal(key, value, nodeDigest)]);
  }

  version(version: number): void {
    this.rows.push([versionKey, seal(versionKey, Uint8Array.of(version), nodeDigest)]);
  }

  /** Takes out what the batch says, and what is where its blocks go. */
  async takeOut({ remove = [], blocks = [] }: StoreBatch): Promise<void> {
    const cutsOf = new Map<LogId, Cut[]>();
    const add = (log: LogId, cut: Cut): unknown => cutsOf.set(log, [...(cutsOf.get(log) ?? []), cut]);
    for (const { log, position } of remove) add(log, { from: position, to: undefined });
    for (const { log, from, to } of blocks) add(log, { from, to });
    for (const [log, cuts] of cutsOf) {
      const touched = new Map<number, Found>();
      for (const cut of cuts) for (const found of await this.#touched(log, cut)) touched.set(found.at, found);
      const segments: Found[] = [];
      for (const found of touched.values()) {
        if (found.entry?.runs !== undefined) await this.#cutBlock(log, found.entry, cuts);
        else if (isCut({ position: found.at }, cuts)) segments.push(found);
      }
      await this.#cutSegments(log, segments);
    }
  }

  /** Records that a cut may concern: the one that begins at or before it, and those that begin within. */
  async #touched(log: LogId, { from, to = from }: Cut): Promise<Found[]> {
    const prefix = positionPrefix(log);
    const index = { log, prefix, origin: undefined };
    const before = { gte: prefix, lte: numbered(prefix, from), reverse: true };
    const row = await undamaged(() => firstRow(before, this.#view));
    const found = row === undefined ? [] : [foundIn(index, row)];
    if (to > from) {
      const within = { gte: numbered(prefix, from + 1), lt: numbered(prefix, to + 1) };
      for await (const rows of rowsOf(within, this.#view))
        for (const next of rows) found.push(foundIn(index, next));
    }
    return found.filter((each) => each !== undefined);
  }

  async #cutSegments(log: LogId, found: readonly Found[]): Promise<void> {
    const prefix = positionPrefix(log);
    for (const { at } of found) this.deleted.push(numbered(prefix, at));
    const known = found.filter(({ entry }) => entry !== undefined);
    // After damage, both the body's number and the place in the origin may have gone to another segment.
    const records = await bodiesOf({ log, prefix, origin: undefined }, known, this.#view);
    const entries = known.map(({ entry }) => entry).filter((entry) => entry !== undefined);
    entries.forEach(({ arrival }, nth) => {
      if (records[nth]?.segment !== undefined) this.deleted.push(numbered(bodyPrefix, arrival));
    });
    await this.#cutOrigins(log, entries);
  }

  /** Takes out the entries by origin, but for those that name another record by now. */
  async #cutOrigins(
    log: LogId,
    places: readonly Pick<IndexEntry, "origin" | "lo" | "arrival">[],
  ): Promise<void> {
    const keys = places.map(({ origin, lo }) => numbered(originPrefix(log, origin), lo));
    const values = await getAll(keys, this.#view);
    keys.forEach((key, nth) => {
      const value = values[nth];
      const entry = value && decodeEntry(key, value, nodeDigest);
      if (entry === undefined || entry.arrival === places[nth]?.arrival) this.deleted.push(key);
    });
  }

  async #cutBlock(log: LogId, entry: IndexEntry, cuts: readonly Cut[]): Promise<void> {
    const { arrival, runs = [], position } = entry;
    const block = await blockOf(log, entry, this.#view);
    const members = block?.members;
    const left = members?.filter((member) => !isCut(member, cuts));
    const runsKept = left === undefined ? runsLeft(runs, cuts) : runsOf(left);
    const isWhole = left === undefined ? isSame(runs, runsKept) : left.length === members?.length;
    if (isWhole) return;
    this.deleted.push(numbered(positionPrefix(log), position));
    const places = originRunsOf(runs).map((run) => ({ ...run, arrival }));
    await this.#cutOrigins(log, places);
    if (block === undefined || left === undefined) {
      // What is damaged stays so, and is named for as long as it is there.
      for (const group of neighboursOf(runsKept)) this.#indexBlock(log, group, entry);
      return;
    }
    this.deleted.push(numbered(bodyPrefix, arrival));
    for (const group of neighboursOf(left)) {
      this.placeBlock({ log, members: group.map((member) => block.stored(member)) });
    }
  }
}

/** The rows of the index by origin that go with an entry of the index by position. */
export function originRows(log: LogId, entry: IndexEntry): Row[] {
  const { runs } = entry;
  const entries: IndexEntry[] =
    runs === undefined ? [entry] : originRunsOf(runs).map((run) => ({ ...entry, ...run, runs: [] }));
  return entries.map((each) => {
    const key = numbered(originPrefix(log, each.origin), each.lo);
    return [key, encodeEntry(key, each, nodeDigest)];
  });
}

function isSame(a: readonly Run[], b: readonly Run[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ position, count }, nth) => {
      return position === b[nth]?.position && count === b[nth].count;
    })
  );
}
