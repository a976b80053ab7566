/** The terminal while the live view is on: redrawn in place, and put back as it was. */
import { writeSync } from "node:fs";
import type { World } from "../world.ts";

export interface Screen {
  /** Shows lines, at most so often as an eye can follow; the latest always comes through. */
  show(): void;
  /** Puts the terminal back. Idempotent. */
  close(): void;
}

export interface ScreenOptions {
  readonly world: World;
  readonly render: (size: { columns: number; rows: number }) => readonly string[];
  readonly onKey: (key: string) => void;
}

// Another page, without a cursor, where a line that is too long is cut and not wrapped.
const enter = "\u001b[?1049h\u001b[?25l\u001b[?7l";
const leave = "\u001b[?7h\u001b[?25h\u001b[?1049l";
/** What is between these appears at once, on terminals that know them. */
const begin = "\u001b[?2026h";
const end = "\u001b[?2026l";
const home = "\u001b[H";
const clearLine = "\u001b[K";
const clearBelow = "\u001b[J";
const frameMs = 80;
const standardOutput = 1;

export function openScreen({ world, render, onKey }: ScreenOptions): Screen {
  const { stdin, stdout } = world;
  let shown = "";
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const draw = (): void => {
    timer = undefined;
    // The last column stays free: what stands there would be cleared with the rest of its line.
    const lines = render({ columns: (stdout.columns ?? 80) - 1, rows: stdout.rows ?? 24 });
    const frame = lines.map((line) => line + clearLine).join("\r\n");
    if (frame === shown) return;
    shown = frame;
    stdout.write(`${begin}${home}${frame}${clearBelow}${end}`);
  };
  const show = (): void => {
    if (!closed) timer ??= setTimeout(draw, frameMs);
  };
  const resized = (): void => {
    shown = "";
    show();
  };
  const onData = (keys: Buffer): void => {
    for (const key of keys.toString()) onKey(key);
  };
  // Whatever ends the process, the shell gets its terminal back.
  const restore = world.onExit(() => {
    if (stdin.isTTY === true) stdin.setRawMode?.(false);
    writeSync(standardOutput, leave);
  });
  stdout.write(enter);
  stdout.on("resize", resized);
  if (stdin.isTTY === true) {
    stdin.setRawMode?.(true);
    stdin.on("data", onData);
    stdin.resume();
  }
  show();
  return {
    show,
    close() {
      if (closed) return;
      closed = true;
      clearTimeout(timer);
      restore();
      stdout.off("resize", resized);
      stdin.off("data", onData);
      stdin.pause();
      if (stdin.isTTY === true) stdin.setRawMode?.(false);
      stdout.write(leave);
    },
  };
}
