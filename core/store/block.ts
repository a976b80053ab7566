/**
 * A block before it is compressed: the members' table, column by column, then what only they have (`docs/log-format.md`).
 * What can be computed again is not stored: positions, sequences that follow, checksums.
 *
 *      natural   bytes of the header
 *      …         header, msgpack: [log, position of the first event, origins]
 *      natural   members
 *      natural×  origin × 2, + 1 where the member is kept as opaque bytes: it is no plain commit
 *      integer×  first sequence, less the one that would follow in its origin
 *      natural×  events
 *      natural×  bytes of its events; of an opaque member, of all of it
 *      u8        0: arrivals are whole ms, and follow as integers, each less the one before; 1: as doubles
 *      …×        arrivals
 *      natural×  of plain members: 0, `seen` is as in its origin's last; else entries + 1, and then each:
 *                natural origin, integer sequence less the one last seen of that origin
 *      natural×  of plain members: 1 where there is a MAC
 *      16×       MACs
 *      …×        the bytes of each
 *
 * Naturals and integers are those of `varints.ts`.
 */
import { weightOf } from "../block-size.ts";
import { pack, unpack } from "../codec.ts";
import { TidemarkError, assert } from "../errors.ts";
import { type Incarnation, type LogId, type Seen, isIncarnation } from "../event.ts";
import type { Digest } from "../ports.ts";
import { macLength, parseSegment, plainLength, rebuildSegment, type Segment } from "../segment.ts";
import {
  type BlockPlace,
  type ReadSegment,
  type StoredBlock,
  type StoredSegment,
  maxBlockBytes,
} from "../store-port.ts";
import { NumberReader, NumberWriter } from "./varints.ts";

const maxMembers = 65_536;
const maxSeen = 255;

export interface Member {
  /** Which one of the block. */
  readonly nth: number;
  readonly origin: Incarnation;
  readonly lo: number;
  readonly count: number;
  readonly position: number;
}

/** What a block says of its members: a number of each. */
interface Columns {
  readonly origins: readonly Incarnation[];
  /** Which of the origins. */
  readonly origin: Float64Array;
  readonly lo: Float64Array;
  readonly count: Float64Array;
  readonly position: Float64Array;
  readonly arrived: Float64Array;
  /** Undefined where the member is opaque. */
  readonly seen: readonly (readonly Seen[] | undefined)[];
  /** Where its MAC is in the block; 0 where there is none. */
  readonly macAt: Float64Array;
  /** Where its events are in the block, one member's after the other's; of an opaque member, all of it. */
  readonly begin: Float64Array;
  readonly end: Float64Array;
  /** Whether the sequences of each origin rise from one member to the next. */
  readonly isRising: boolean;
}

/** Sequences of an origin from `at` on; without an origin, all positions. */
export interface Part {
  readonly origin: Incarnation | undefined;
  readonly at: number;
  readonly count: number;
}

/**
 * What a block holds. There may be thousands of members, of which one is asked for: each is put together when it is, and
 * its segment too.
 */
export class Block {
  readonly log: LogId;
  readonly place: BlockPlace;
  readonly #columns: Columns;
  readonly #bytes: Uint8Array;
  readonly #digest: Digest;

  constructor(log: LogId, columns: Columns, bytes: Uint8Array, digest: Digest) {
    this.log = log;
    this.#columns = columns;
    this.#bytes = bytes;
    this.#digest = digest;
    this.place = placeOf(columns);
  }

  /** Position of the first event. */
  get position(): number {
    return this.#columns.position[0] ?? 0;
  }

  get members(): Member[] {
    return Array.from(this.#columns.lo, (_, nth: number) => this.#member(nth));
  }

  /** The members of a part that hold `number` or come after it, by position or by sequence. */
  *membersFrom({ origin, at, count: length }: Part, number: number): Generator<Member> {
    const { origins, lo, count, position, isRising } = this.#columns;
    if (origin === undefined) {
      for (let nth = 0; nth < lo.length; nth += 1)
        if ((position[nth] ?? 0) + (count[nth] ?? 0) > number) yield this.#member(nth);
      return;
    }
    const index = origins.indexOf(origin);
    const found: number[] = [];
    for (let nth = 0; nth < lo.length; nth += 1) {
      const first = lo[nth] ?? 0;
      const isWithin = this.#columns.origin[nth] === index && first >= at && first < at + length;
      if (!isWithin || first + (count[nth] ?? 0) <= number) continue;
      if (isRising) yield this.#member(nth);
      else found.push(nth);
    }
    for (const nth of found.sort((a, b) => (lo[a] ?? 0) - (lo[b] ?? 0))) yield this.#member(nth);
  }

  #member(nth: number): Member {
    const { origins, origin, lo, count, position } = this.#columns;
    return {
      nth,
      origin: origins[origin[nth] ?? 0] ?? malformed(),
      lo: lo[nth] ?? 0,
      count: count[nth] ?? 0,
      position: position[nth] ?? 0,
    };
  }

  stored({ nth, origin, lo, count, position }: Member): ReadSegment {
    const { arrived, seen: seens, macAt: macs, begin, end } = this.#columns;
    const seen = seens[nth];
    const macAt = macs[nth] ?? 0;
    const mac = macAt === 0 ? undefined : this.#bytes.subarray(macAt, macAt + macLength);
    const events = this.#bytes.subarray(begin[nth], end[nth]);
    // A copy: what a reader keeps is not to keep the whole block.
    const segment =
      seen === undefined
        ? events.slice()
        : rebuildSegment({ origin, lo, count, seen, events, mac }, this.#digest);
    const { log, place: block } = this;
    return { log, origin, lo, count, position, arrived: arrived[nth] ?? 0, segment, block };
  }
}

function placeOf({ position, count, seen, macAt, begin, end }: Columns): BlockPlace {
  let bytes = 0;
  for (let nth = 0; nth < begin.length; nth += 1) {
    const events = (end[nth] ?? 0) - (begin[nth] ?? 0);
    const entries = seen[nth];
    bytes += weightOf(entries === undefined ? events : plainLength(events, entries.length, macAt[nth] !== 0));
  }
  return { from: position[0] ?? 0, to: (position.at(-1) ?? 0) + (count.at(-1) ?? 0) - 1, bytes };
}

/**
 * What is no block is a mistake of the caller's.
 * @throws INVALID where it is too large
 */
export function checkBlock({ log, from, to, members }: StoredBlock): void {
  let next = from;
  for (const member of members) {
    assert(member.log === log && member.position === next, "a block's members are neighbours");
    next += member.count;
  }
  assert(members.length > 0 && next === to + 1, "a block says where its members are");
  checkSize(members);
}

/** @throws INVALID */
export function checkSize(members: readonly StoredSegment[]): void {
  const bytes = members.reduce((total, { segment }) => total + segment.length, 0);
  if (bytes <= maxBlockBytes && members.length <= maxMembers) return;
  const what = `a block of ${members.length} segments, ${bytes} bytes, is over the limit: merge less`;
  throw new TidemarkError("INVALID", what);
}

export function encodeBlock(members: readonly StoredSegment[], digest: Digest): Uint8Array {
  const [first] = members;
  assert(first !== undefined, "a block has members");
  checkSize(members);
  const plain = members.map((member) => plainOf(member, digest));
  const origins = [...originsOf(members, plain)];
  const numbers = new NumberWriter();
  const header = pack([first.log, first.position, origins]);
  const parts = [header];
  const indexOf = (origin: Incarnation): number => origins.indexOf(origin);
  numbers.natural(members.length);
  members.forEach(({ origin }, nth) =>
    numbers.natural(indexOf(origin) * 2 + (plain[nth] === undefined ? 1 : 0)),
  );
  const next = new Map<Incarnation, number>();
  for (const { origin, lo, count } of members) {
    numbers.integer(lo - (next.get(origin) ?? 0));
    next.set(origin, lo + count);
  }
  for (const { count } of members) numbers.natural(count);
  members.forEach(({ segment }, nth) => numbers.natural((plain[nth]?.events ?? segment).length));
  writeArrivals(numbers, members);
  writeSeen(
    numbers,
    plain.filter((segment) => segment !== undefined),
    indexOf,
  );
  for (const segment of plain) if (segment !== undefined) numbers.natural(segment.mac === undefined ? 0 : 1);
  parts.push(numbers.bytes);
  for (const segment of plain) if (segment?.mac !== undefined) parts.push(segment.mac);
  members.forEach(({ segment }, nth) => parts.push(plain[nth]?.events ?? segment));
  const length = new NumberWriter();
  length.natural(header.length);
  return joined([length.bytes, ...parts]);
}

/** @returns undefined where the bytes are not a block's, though they are what was stored */
export function decodeBlock(bytes: Uint8Array, digest: Digest): Block | undefined {
  try {
    return readBlock(bytes, digest);
  } catch {
    // Whatever a reader of numbers or of msgpack says of bytes that are neither.
    return undefined;
  }
}

/** The segment, where it is a plain commit: one that can be read is had again, to the bit, from its parts. */
function plainOf(stored: StoredSegment, digest: Digest): Segment | undefined {
  let segment: Segment;
  try {
    segment = parseSegment(stored.segment, digest);
  } catch (error) {
    if (error instanceof TidemarkError) return undefined;
    throw error;
  }
  const { origin, lo, count } = segment;
  const isAsStored = origin === stored.origin && lo === stored.lo && count === stored.count;
  return isAsStored && segment.cover === undefined ? segment : undefined;
}

function originsOf(
  members: readonly StoredSegment[],
  plain: readonly (Segment | undefined)[],
): Set<Incarnation> {
  const origins = new Set<Incarnation>();
  for (const { origin } of members) origins.add(origin);
  for (const segment of plain) for (const { origin } of segment?.seen ?? []) origins.add(origin);
  return origins;
}

function writeArrivals(numbers: NumberWriter, members: readonly StoredSegment[]): void {
  const isWhole = members.every(({ arrived }) => Number.isSafeInteger(arrived) && arrived >= 0);
  numbers.natural(isWhole ? 0 : 1);
  let before = 0;
  for (const { arrived } of members) {
    if (isWhole) numbers.integer(arrived - before);
    else numbers.double(arrived);
    before = arrived;
  }
}

function writeSeen(
  numbers: NumberWriter,
  segments: readonly Segment[],
  indexOf: (origin: Incarnation) => number,
): void {
  const lastOf = new Map<Incarnation, readonly Seen[]>();
  const seqOf = new Map<Incarnation, number>();
  for (const { origin, seen } of segments) {
    const isAsBefore = isSameSeen(lastOf.get(origin), seen);
    lastOf.set(origin, seen);
    numbers.natural(isAsBefore ? 0 : seen.length + 1);
    if (isAsBefore) continue;
    for (const entry of seen) {
      numbers.natural(indexOf(entry.origin));
      numbers.integer(entry.seq - (seqOf.get(entry.origin) ?? 0));
      seqOf.set(entry.origin, entry.seq);
    }
  }
}

function isSameSeen(a: readonly Seen[] | undefined, b: readonly Seen[]): boolean {
  if (a?.length !== b.length) return false;
  return a.every(({ origin, seq }, index) => origin === b[index]?.origin && seq === b[index].seq);
}

function readBlock(bytes: Uint8Array, digest: Digest): Block {
  const numbers = new NumberReader(bytes);
  const headerLength = numbers.natural();
  const headerAt = numbers.at;
  numbers.at += headerLength;
  const { log, from, origins } = readHeader(bytes.subarray(headerAt, numbers.at));
  const members = numbers.natural();
  // Each has a byte of its own at least: nothing is allocated for what can't be there.
  if (members > maxMembers || members > bytes.length) malformed();
  const kinds = numbers.naturals(members);
  const origin = kinds.map((kind) => Math.floor(kind / 2));
  if (origin.some((index) => index >= origins.length)) malformed();
  const lo = numbers.integers(members);
  const count = numbers.naturals(members);
  const end = numbers.naturals(members);
  const arrived = readArrivals(numbers, members);
  const seen = readSeen(numbers, kinds, origins);
  const macAt = readMacs(numbers, kinds);
  const position = new Float64Array(members);
  const begin = new Float64Array(members);
  const next = new Float64Array(origins.length);
  let isRising = true;
  let nextPosition = from;
  let nextAt = numbers.at;
  for (const at of macAt) if (at > 0) nextAt = at + macLength;
  for (let nth = 0; nth < members; nth += 1) {
    const index = origin[nth] ?? 0;
    isRising &&= (lo[nth] ?? 0) >= 0;
    lo[nth] = (next[index] ?? 0) + (lo[nth] ?? 0);
    next[index] = (lo[nth] ?? 0) + (count[nth] ?? 0);
    position[nth] = nextPosition;
    nextPosition += count[nth] ?? 0;
    begin[nth] = nextAt;
    nextAt += end[nth] ?? 0;
    end[nth] = nextAt;
  }
  if (nextAt > bytes.length) malformed();
  const columns = { origins, origin, lo, count, position, arrived, seen, macAt, begin, end, isRising };
  return new Block(log, columns, bytes, digest);
}

function readArrivals(numbers: NumberReader, members: number): Float64Array {
  if (numbers.natural() !== 0) return Float64Array.from({ length: members }, () => numbers.double());
  const arrivals = numbers.integers(members);
  for (let nth = 1; nth < members; nth += 1) arrivals[nth] = (arrivals[nth - 1] ?? 0) + (arrivals[nth] ?? 0);
  return arrivals;
}

/** Where each member's MAC is: 0 for none. */
function readMacs(numbers: NumberReader, kinds: Float64Array): Float64Array {
  const macs = new Float64Array(kinds.length);
  for (let nth = 0; nth < macs.length; nth += 1)
    if (isPlain(kinds[nth] ?? 0)) macs[nth] = numbers.natural() === 1 ? 1 : 0;
  let { at } = numbers;
  for (let nth = 0; nth < macs.length; nth += 1) {
    if (macs[nth] === 0) continue;
    macs[nth] = at;
    at += macLength;
  }
  return macs;
}

function isPlain(kind: number): boolean {
  return kind % 2 === 0;
}

function readHeader(bytes: Uint8Array): { log: LogId; from: number; origins: Incarnation[] } {
  const [log, from, origins] = unpack(bytes) as [unknown, unknown, unknown];
  if (typeof log !== "string" || typeof from !== "number" || !Array.isArray(origins)) malformed();
  return { log: log as LogId, from, origins: origins.filter((origin) => isIncarnation(origin)) };
}

/** What each member has seen; undefined for an opaque one. */
function readSeen(
  numbers: NumberReader,
  kinds: Float64Array,
  origins: readonly Incarnation[],
): (readonly Seen[] | undefined)[] {
  const lastOf: (readonly Seen[] | undefined)[] = [];
  const seqOf = new Float64Array(origins.length);
  const seens: (readonly Seen[] | undefined)[] = [];
  for (const kind of kinds) {
    const code = isPlain(kind) ? numbers.natural() : 0;
    const of = Math.floor(kind / 2);
    if (code > maxSeen + 1) malformed();
    if (code > 0) {
      lastOf[of] = Array.from({ length: code - 1 }, (): Seen => {
        const index = numbers.natural();
        const seq = (seqOf[index] ?? 0) + numbers.integer();
        seqOf[index] = seq;
        return { origin: origins[index] ?? malformed(), seq };
      });
    }
    seens.push(isPlain(kind) ? (lastOf[of] ?? malformed()) : undefined);
  }
  return seens;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function malformed(): never {
  throw new RangeError("a block is not what it declares");
}
