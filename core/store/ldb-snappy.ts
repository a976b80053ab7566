import { NumberReader } from "./varints.ts";

/** Unpacks what Snappy has packed. @throws RangeError for what is nothing of the kind */
export function unpackSnappy(packed: Uint8Array): Uint8Array {
  const reader = new NumberReader(packed);
  const length = reader.natural();
  // Snappy packs to a twenty-first at best.
  if (length > packed.length * 32) throw new RangeError("it says that it is larger than it can be");
  const bytes = new Uint8Array(length);
  let at = reader.at;
  let end = 0;
  const number = (size: number): number => {
    let value = 0;
    for (let nth = size - 1; nth >= 0; nth -= 1) value = value * 256 + (packed[at + nth] ?? 0);
    at += size;
    return value;
  };
  while (at < packed.length) {
    const tag = number(1);
    const kind = tag & 3;
    if (kind === 0) {
      const short = tag >>> 2;
      const size = (short < 60 ? short : number(short - 59)) + 1;
      if (at + size > packed.length) throw new RangeError("a literal reaches past the end");
      bytes.set(packed.subarray(at, at + size), end);
      at += size;
      end += size;
      continue;
    }
    const size = kind === 1 ? 4 + ((tag >>> 2) & 7) : 1 + (tag >>> 2);
    const back = kind === 1 ? (tag >>> 5) * 256 + number(1) : number(kind === 2 ? 2 : 4);
    if (back === 0 || back > end || end + size > length) throw new RangeError("a copy reaches out of it");
    // One by one: a copy may go on into what it has just written.
    for (let nth = 0; nth < size; nth += 1, end += 1) bytes[end] = bytes[end - back] as number;
  }
  if (end !== length) throw new RangeError("it is shorter than it says");
  return bytes;
}
