import type { Incarnation, Side } from "./event.ts";
import type { Random } from "./ports.ts";

/** Digits that can't be misread for one another (Crockford's base 32). */
const digits = "0123456789abcdefghjkmnpqrstvwxyz";

/** A new incarnation of a side's log: 64 random bits behind the side's letter. */
export function mintIncarnation(side: Side, random: Random): Incarnation {
  let bits = 0n;
  for (const byte of random.bytes(8)) bits = (bits << 8n) | BigInt(byte);
  let text = "";
  for (let index = 0; index < 13; index += 1) {
    text = (digits[Number(bits & 31n)] ?? "0") + text;
    bits >>= 5n;
  }
  return ((side === "cloud" ? "c" : "n") + text) as Incarnation;
}
