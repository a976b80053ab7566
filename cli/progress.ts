import { plain, type Paint } from "./paint.ts";
import { count } from "./text.ts";
import type { Output } from "./world.ts";

export interface ProgressOptions {
  readonly output: Output;
  readonly label: string;
  /** How many there are to go through, where that is known. */
  readonly total?: number;
  /** Of what; events unless said. */
  readonly unit?: string;
  readonly paint?: Paint;
  readonly now?: () => number;
}

const shownAfterMs = 1000;
const redrawMs = 100;
const barWidth = 30;

/** A progress bar for what takes over a second; on terminals only. */
export class Progress {
  readonly #options: ProgressOptions;
  readonly #now: () => number;
  readonly #beganMs: number;
  readonly #timer: NodeJS.Timeout | undefined;
  #events = 0;
  #shown = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#beganMs = this.#now();
    if (options.output.isTTY !== true) return;
    this.#timer = setInterval(() => this.#draw(), redrawMs);
    this.#timer.unref();
  }

  /** @param events gone through so far */
  update(events: number): void {
    this.#events = events;
  }

  /** Takes the bar away. Idempotent. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#shown) this.#options.output.write("\r\u001b[K");
    this.#shown = false;
  }

  #draw(): void {
    const elapsedMs = this.#now() - this.#beganMs;
    if (elapsedMs < shownAfterMs) return;
    this.#shown = true;
    const { output } = this.#options;
    output.write(`\r${progressLine(this.#options, this.#events, elapsedMs)}\u001b[K`);
  }
}

/** `Verifying [######······] 52 %  1,300,000 events  3 s`; without a total, a mark that moves. */
export function progressLine(
  {
    label,
    total,
    unit = "events",
    paint = plain,
  }: Pick<ProgressOptions, "label" | "total" | "unit" | "paint">,
  events: number,
  elapsedMs: number,
): string {
  const done = total === undefined ? undefined : Math.min(1, total === 0 ? 1 : events / total);
  const parts = [`${label} [${bar(done, elapsedMs, paint)}]`];
  if (done !== undefined) parts.push(`${Math.floor(done * 100)} %`);
  if (events > 0) parts.push(`${count(events)} ${unit}`);
  parts.push(`${Math.floor(elapsedMs / 1000)} s`);
  return parts.join("  ");
}

function bar(done: number | undefined, elapsedMs: number, paint: Paint): string {
  if (done === undefined) {
    const size = 4;
    const way = barWidth - size;
    const step = Math.floor(elapsedMs / redrawMs) % (2 * way);
    const at = step < way ? step : 2 * way - step;
    return `${"·".repeat(at)}${paint("cyan", "#".repeat(size))}${"·".repeat(way - at)}`;
  }
  const filled = Math.floor(done * barWidth);
  return paint("cyan", "#".repeat(filled)) + "·".repeat(barWidth - filled);
}
