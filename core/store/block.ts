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
import { pack, unpack } from "../codec.ts";
import { TidemarkError, assert } from "../errors.ts";
import { type Incarnation, type LogId, type Seen, isIncarnation } from "../event.ts";
import type { Digest } from "../ports.ts";
import { bytesEqual, macLength, parseSegment, rebuildSegment, type Segment } from "../segment.ts";
import { type StoredBlock, type StoredSegment, maxBlockBytes } from "../store-port.ts";
import { NumberReader, NumberWriter } from "./varints.ts";

const maxMembers = 65_536;
const maxSeen = 255;

export interface Member {
  readonly origin: Incarnation;
  readonly lo: number;
  readonly count: number;
  readonly position: number;
  readonly arrived: number;
  /** Undefined where the member is opaque. */
  readonly seen: readonly Seen[] | undefined;
  readonly mac: Uint8Array | undefined;
  /** The events; of an opaque member, all of it. */
  readonly bytes: Uint8Array;
}

/** What a block holds; a member's segment is put together when it is asked for. */
export class Block {
  readonly log: LogId;
  readonly members: readonly Member[];
  readonly #digest: Digest;

  constructor(log: LogId, members: readonly Member[], digest: Digest) {
    this.log = log;
    this.members = members;
    this.#digest = digest;
  }

  stored(member: Member): StoredSegment {
    const { origin, lo, count, position, arrived, seen, mac, bytes: events } = member;
    // A copy: what a reader keeps is not to keep the whole block.
    const segment =
      seen === undefined
        ? events.slice()
        : rebuildSegment({ origin, lo, count, seen, events, mac }, this.#digest);
    return { log: this.log, origin, lo, count, position, arrived, segment };
  }
}

/** Sequences of an origin from `at` on; without an origin, all positions. */
export interface Part {
  readonly origin: Incarnation | undefined;
  readonly at: number;
  readonly count: number;
}

/** The members of that part that hold `number` or come after it, by position or by sequence. */
export function membersFrom({ members }: Block, { origin, at, count }: Part, number: number): Member[] {
  if (origin === undefined) return members.filter((member) => member.position + member.count > number);
  const end = at + count;
  return members
    .filter((member) => member.origin === origin && member.lo >= at && member.lo < end)
    .filter((member) => member.lo + member.count > number)
    .sort((a, b) => a.lo - b.lo);
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

/** The segment, where it is a plain commit that is had again, to the bit, from its parts. */
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
  const isPlain = isAsStored && bytesEqual(rebuildSegment(segment, digest), stored.segment);
  return isPlain ? segment : undefined;
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
  const originAt = (index: number): Incarnation => origins[index] ?? malformed();
  const members = numbers.natural();
  // Each has a byte of its own at least: nothing is allocated for what can't be there.
  if (members > maxMembers || members > bytes.length) malformed();
  const each = <T>(read: (nth: number) => T): T[] =>
    Array.from({ length: members }, (_, nth: number) => read(nth));
  const kinds = each(() => numbers.natural());
  const isPlain = (nth: number): boolean => (kinds[nth] ?? 0) % 2 === 0;
  const ofMember = each((nth) => originAt(Math.floor((kinds[nth] ?? 0) / 2)));
  const skips = each(() => numbers.integer());
  const counts = each(() => numbers.natural());
  const lengths = each(() => numbers.natural());
  const isWhole = numbers.natural() === 0;
  let arrived = 0;
  const arrivals = each(() => (arrived = isWhole ? arrived + numbers.integer() : numbers.double()));
  const seens = readSeen(
    numbers,
    ofMember.map((origin, nth) => (isPlain(nth) ? origin : undefined)),
    originAt,
  );
  const hasMac = each((nth) => isPlain(nth) && numbers.natural() === 1);
  let macAt = numbers.at;
  let at = macAt + hasMac.filter(Boolean).length * macLength;
  let position = from;
  const next = new Map<Incarnation, number>();
  const list = each((nth): Member => {
    const origin = ofMember[nth] ?? malformed();
    const count = counts[nth] ?? 0;
    const end = at + (lengths[nth] ?? 0);
    if (end > bytes.length) malformed();
    const lo = (next.get(origin) ?? 0) + (skips[nth] ?? 0);
    next.set(origin, lo + count);
    const mac = hasMac[nth] === true ? bytes.subarray(macAt, macAt + macLength) : undefined;
    if (mac !== undefined) macAt += macLength;
    const member: Member = {
      origin,
      lo,
      count,
      position,
      arrived: arrivals[nth] ?? 0,
      seen: seens[nth],
      mac,
      bytes: bytes.subarray(at, end),
    };
    position += count;
    at = end;
    return member;
  });
  return new Block(log, list, digest);
}

function readHeader(bytes: Uint8Array): { log: LogId; from: number; origins: Incarnation[] } {
  const [log, from, origins] = unpack(bytes) as [unknown, unknown, unknown];
  if (typeof log !== "string" || typeof from !== "number" || !Array.isArray(origins)) malformed();
  return { log: log as LogId, from, origins: origins.filter((origin) => isIncarnation(origin)) };
}

/** @param ofPlain the origin of each member, undefined for an opaque one */
function readSeen(
  numbers: NumberReader,
  ofPlain: readonly (Incarnation | undefined)[],
  originAt: (index: number) => Incarnation,
): (readonly Seen[] | undefined)[] {
  const lastOf = new Map<Incarnation, readonly Seen[]>();
  const seqOf = new Map<Incarnation, number>();
  return ofPlain.map((of) => {
    if (of === undefined) return undefined;
    const code = numbers.natural();
    if (code === 0) return lastOf.get(of) ?? malformed();
    if (code > maxSeen + 1) malformed();
    const seen = Array.from({ length: code - 1 }, (): Seen => {
      const origin = originAt(numbers.natural());
      const seq = (seqOf.get(origin) ?? 0) + numbers.integer();
      seqOf.set(origin, seq);
      return { origin, seq };
    });
    lastOf.set(of, seen);
    return seen;
  });
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
