import { randomBytes } from "node:crypto";
import type { Digest, Environment, Logger, LogLevel } from "../../core/ports.ts";

/**
 * The world as it is: this machine's clocks, timers and randomness. For composition roots, which hand in `nodeDigest` of
 * `core/store/`; simulations bring a world of their own.
 */
export function nodeEnvironment(logger: Logger, digest: Digest): Environment {
  return {
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    timers: {
      after(delayMs, task) {
        const timer = setTimeout(task, delayMs);
        return () => clearTimeout(timer);
      },
      soon(task) {
        setImmediate(task);
      },
    },
    random: {
      bytes(count) {
        const bytes = randomBytes(count);
        return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
      },
      fraction: () => Math.random(),
    },
    digest,
    logger,
  };
}

export interface LineLoggerOptions {
  /** The least level that is written. */
  readonly level: LogLevel;
  /** Where lines go; stderr unless said. */
  readonly stream?: { write(line: string): unknown; readonly isTTY?: boolean };
  /** Unless said: on a terminal, when `NO_COLOR` is not set. */
  readonly color?: boolean;
  readonly now?: () => number;
}

const ranks: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };
const colors: Readonly<Record<LogLevel, number>> = { debug: 2, info: 36, warn: 33, error: 31 };

/** One line a record: ISO time, level, message, then `key=value` for each field that is not undefined. */
export function stderrLogger(options: LineLoggerOptions): Logger {
  const stream = options.stream ?? process.stderr;
  const color = options.color ?? (stream.isTTY === true && !process.env["NO_COLOR"]);
  const now = options.now ?? Date.now;
  const paint = (code: number, text: string): string => (color ? `\u001b[${code}m${text}\u001b[0m` : text);
  return {
    log(level, message, fields = {}) {
      if (ranks[level] < ranks[options.level]) return;
      const parts = [
        paint(2, new Date(now()).toISOString()),
        paint(colors[level], level.toUpperCase().padEnd(5)),
        inOneLine(message),
      ];
      for (const [key, value] of Object.entries(fields)) {
        if (value !== undefined) parts.push(`${paint(2, `${key}=`)}${fieldText(value)}`);
      }
      stream.write(`${parts.join(" ")}\n`);
    },
  };
}

// What comes from outside may hold line breaks and terminal codes: quoted as JSON it can't forge a record.
function fieldText(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(value.message);
  const text = typeof value === "string" ? value : safeJson(value);
  return /^[\w.:/@+-]+$/.test(text) || typeof value !== "string"
    ? inOneLine(text)
    : inOneLine(JSON.stringify(text));
}

function safeJson(value: unknown): string {
  try {
    return (
      JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? `${inner}` : inner)) ?? "?"
    );
  } catch {
    return "[circular]";
  }
}

function inOneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
