import { Packr, Unpackr } from "msgpackr";

const packr = new Packr({ useRecords: false, int64AsType: "number" });

/** Bytes in a body are copied out: a view would keep the whole segment, or the frame it came in. */
export const unpackr: Unpackr = new Unpackr({ useRecords: false, int64AsType: "number", copyBuffers: true });

/** Any plain value as msgpack. The bytes are the caller's. */
export function pack(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** @throws whatever msgpackr throws when the bytes are not msgpack. */
export function unpack(bytes: Uint8Array): unknown {
  return unpackr.unpack(bytes);
}
