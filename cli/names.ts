import { TidemarkError } from "../core/errors.ts";
import type { Incarnation } from "../core/event.ts";
import { defaultNamespace } from "../protocol/devices/topics.ts";

export interface DeviceName {
  readonly namespace: string;
  readonly name: string;
}

/** `NS/NAME`, or `NAME` in the given namespace or `default`. @throws TidemarkError USAGE */
export function parseDeviceName(text: string, namespace: string | undefined): DeviceName {
  const parts = text.split("/");
  const [first = "", second] = parts;
  const found =
    second === undefined
      ? { namespace: namespace ?? defaultNamespace, name: first }
      : { namespace: first, name: second };
  if (parts.length > 2 || found.name === "" || found.namespace === "") {
    throw new TidemarkError(
      "USAGE",
      `${JSON.stringify(text)} is no device: write NAMESPACE/NAME, or NAME alone`,
    );
  }
  if (second !== undefined && namespace !== undefined && namespace !== first) {
    throw new TidemarkError(
      "USAGE",
      `${text} is in the namespace ${first}, and --namespace says ${namespace}`,
    );
  }
  return found;
}

const shortLengthMin = 5;

/** The beginnings of origins by which people can tell them apart, of one length. */
export function shortOrigins(origins: Iterable<string>): Map<string, string> {
  const all = [...new Set(origins)];
  const longest = Math.max(shortLengthMin, ...all.map((origin) => origin.length));
  for (let length = shortLengthMin; ; length += 1) {
    const short = new Map(all.map((origin) => [origin, origin.slice(0, length)]));
    if (length >= longest || new Set(short.values()).size === all.length) return short;
  }
}

/**
 * `ORIGIN/SEQ`, where the origin may be shortened as far as it is still clear which one is meant.
 * @throws TidemarkError USAGE, NOT_FOUND
 */
export function resolveEventId(
  text: string,
  origins: Iterable<string>,
): { origin: Incarnation; seq: number } {
  const match = /^([cn][0-9a-z]{0,13})\/([1-9][0-9]{0,15})$/.exec(text);
  if (match === null) {
    throw new TidemarkError(
      "USAGE",
      `${JSON.stringify(text)} is no event: write ORIGIN/SEQ, as \`log tail\` shows them`,
    );
  }
  const [, prefix = "", seq] = match;
  const meant = [...new Set(origins)].filter((origin) => origin.startsWith(prefix));
  const [origin] = meant;
  if (origin === undefined) throw new TidemarkError("NOT_FOUND", `the log has no origin ${prefix}…`);
  if (meant.length > 1) {
    throw new TidemarkError("USAGE", `${prefix}… may be ${meant.join(" or ")}: write more of it`);
  }
  return { origin: origin as Incarnation, seq: Number(seq) };
}
