/** Ms since the epoch as RFC 3339 in UTC, with milliseconds: how every time is shown. */
export function rfc3339(timeMs: number): string {
  // oxlint-disable-next-line no-restricted-globals -- formats a given time; reads no clock
  const date = new Date(timeMs);
  return Number.isNaN(date.getTime()) ? "invalid" : date.toISOString();
}

/**
 * An instant as people write it: RFC 3339, ms since the epoch, `now`, or a time ago such as `-15m`, `-1h30m`, `-2d`.
 * @returns ms since the epoch; undefined when it is none of these
 */
export function parseInstant(text: string, nowMs: number): number | undefined {
  if (text === "now") return nowMs;
  if (/^[0-9]{1,16}$/.test(text)) return Number(text);
  if (text.startsWith("-")) {
    const ago = parseDuration(text.slice(1));
    return ago === undefined ? undefined : nowMs - ago;
  }
  if (
    !/^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?$/.test(
      text,
    )
  ) {
    return undefined;
  }
  // oxlint-disable-next-line no-restricted-globals -- parses a given time; reads no clock
  const time = Date.parse(
    /([Zz]|[+-][0-9]{2}:[0-9]{2})$/.test(text) || text.length === 10 ? text : `${text}Z`,
  );
  return Number.isNaN(time) ? undefined : time;
}

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `1h30m`, `2d`. @returns ms; undefined when it is not a duration */
export function parseDuration(text: string): number | undefined {
  if (!/^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, , unit] of text.matchAll(/([0-9]+(\.[0-9]+)?)(ms|s|m|h|d)/g)) {
    total += Number(amount) * (unitsMs[unit ?? ""] ?? 0);
  }
  return total;
}

/** As `parseDuration` reads it, in whole units: `1d12h`. */
export function durationText(ms: number): string {
  let rest = Math.round(ms);
  let text = "";
  for (const [unit, length] of Object.entries(unitsMs).toReversed()) {
    const amount = Math.floor(rest / length);
    if (amount > 0) text += `${amount}${unit}`;
    rest -= amount * length;
  }
  return text === "" ? "0s" : text;
}
