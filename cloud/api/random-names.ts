import type { Random } from "../../core/ports.ts";
import { hex } from "../../core/segment.ts";

/** A random UUID (version 4). */
export function uuid(random: Random): string {
  const bytes = random.bytes(16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const text = hex(bytes);
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join(
    "-",
  );
}

/** Letters and digits that make no words, as Kubernetes has them. */
const suffixCharacters = "bcdfghjklmnpqrstvwxz2456789";

/** Five characters that go behind a `generateName`. */
export function randomSuffix(random: Random): string {
  return [...random.bytes(5)].map((byte) => suffixCharacters[byte % suffixCharacters.length]).join("");
}
