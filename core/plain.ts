/**
 * Looks at msgpack before anything is built from it: only what means the same to every reader passes. That is nil,
 * booleans, numbers, well-formed text, bytes, arrays, and maps with text for keys, nested to a limit.
 *
 * A decoder left to itself would take extensions (dates, errors, classes, its own records), recurse as deep as the
 * bytes say, and rename the key `__proto__`.
 */
import { TidemarkError } from "./errors.ts";

/** Arrays and maps within one another. */
export const maxDepth = 128;

/**
 * The end of the value that begins at `at`.
 * @throws EVENT_INVALID
 */
export function endOfPlain(bytes: Uint8Array, at: number): number {
  const end = skip(bytes, at, 0);
  if (end > bytes.length) throw cutShort();
  return end;
}

function skip(bytes: Uint8Array, at: number, depth: number): number {
  const token = bytes[at];
  if (token === undefined) throw cutShort();
  if (token < 0x80 || token >= 0xe0) return at + 1;
  if (token < 0x90) return skipMap(bytes, at + 1, token & 0x0f, depth);
  if (token < 0xa0) return skipItems(bytes, at + 1, token & 0x0f, depth);
  if (token < 0xc0) return skipText(bytes, at + 1, token & 0x1f);
  switch (token) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return at + 1;
    case 0xc4: // bytes
    case 0xc5:
    case 0xc6:
      return within(bytes, at + 1 + (1 << (token - 0xc4)), lengthAt(bytes, at + 1, token - 0xc4));
    case 0xca: // float
      return at + 5;
    case 0xcb:
      return at + 9;
    case 0xcc: // unsigned
    case 0xcd:
    case 0xce:
    case 0xcf:
      return at + 1 + (1 << (token - 0xcc));
    case 0xd0: // signed
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return at + 1 + (1 << (token - 0xd0));
    case 0xd4: // how msgpackr says undefined, a field that is absent
      if (bytes[at + 1] !== 0 || bytes[at + 2] !== 0) throw invalid("it holds an extension type");
      return at + 3;
    case 0xd9: // text
    case 0xda:
    case 0xdb:
      return skipText(bytes, at + 1 + (1 << (token - 0xd9)), lengthAt(bytes, at + 1, token - 0xd9));
    case 0xdc: // array
    case 0xdd:
      return skipItems(
        bytes,
        at + 1 + (2 << (token - 0xdc)),
        lengthAt(bytes, at + 1, token - 0xdc + 1),
        depth,
      );
    case 0xde: // map
    case 0xdf:
      return skipMap(bytes, at + 1 + (2 << (token - 0xde)), lengthAt(bytes, at + 1, token - 0xde + 1), depth);
    default:
      throw invalid("it holds an extension type");
  }
}

/** A big-endian number of 1, 2 or 4 bytes: `power` 0, 1 or 2. */
function lengthAt(bytes: Uint8Array, at: number, power: number): number {
  let length = 0;
  for (let index = 0; index < 1 << power; index += 1) length = length * 256 + (bytes[at + index] ?? 0);
  return length;
}

function within(bytes: Uint8Array, at: number, length: number): number {
  if (at + length > bytes.length) throw cutShort();
  return at + length;
}

function skipItems(bytes: Uint8Array, at: number, count: number, depth: number): number {
  within(bytes, at, count);
  if (depth === maxDepth) throw invalid(`it is nested deeper than ${maxDepth}`);
  let next = at;
  for (let index = 0; index < count; index += 1) next = skip(bytes, next, depth + 1);
  return next;
}

function skipMap(bytes: Uint8Array, at: number, count: number, depth: number): number {
  within(bytes, at, count * 2);
  if (depth === maxDepth) throw invalid(`it is nested deeper than ${maxDepth}`);
  let next = at;
  for (let index = 0; index < count; index += 1) {
    const token = bytes[next] ?? 0;
    const isText = (token >= 0xa0 && token < 0xc0) || (token >= 0xd9 && token <= 0xdb);
    if (!isText) throw invalid("a key of a map is not text");
    const end = skip(bytes, next, depth + 1);
    if (isProto(bytes, next, end)) throw invalid("a key of a map is __proto__");
    next = skip(bytes, end, depth + 1);
  }
  return next;
}

const proto = "__proto__";

/** Whether the text that begins at `at` is just that. */
function isProto(bytes: Uint8Array, at: number, end: number): boolean {
  const token = bytes[at] ?? 0;
  const from = at + (token < 0xc0 ? 1 : 1 + (1 << (token - 0xd9)));
  return end - from === proto.length && isTextAt(bytes, from, proto);
}

function isTextAt(bytes: Uint8Array, at: number, text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (bytes[at + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}

function skipText(bytes: Uint8Array, at: number, length: number): number {
  const end = within(bytes, at, length);
  for (let next = at; next < end;) {
    if ((bytes[next] ?? 0) < 0x80) next += 1;
    else next = skipLetter(bytes, next, end);
  }
  return end;
}

/** One letter of more than a byte, as UTF-8 has it: the shortest form, and no half of a surrogate pair. */
function skipLetter(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at] ?? 0;
  const second = bytes[at + 1] ?? 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  let isWell = first >= 0xc2 && first <= 0xf4 && at + length <= end && second >= least && second <= most;
  for (let index = at + 2; index < at + length; index += 1) isWell &&= ((bytes[index] ?? 0) & 0xc0) === 0x80;
  if (!isWell) throw invalid("it holds text that is not well-formed UTF-8");
  return at + length;
}

function cutShort(): TidemarkError {
  return invalid("it ends before it is whole");
}

function invalid(reason: string): TidemarkError {
  return new TidemarkError("EVENT_INVALID", `not a valid event: ${reason}`);
}
