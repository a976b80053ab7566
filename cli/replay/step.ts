/** `replay --step`: event by event, by commands; on a terminal with a prompt, else as they come on standard input. */
import { createInterface } from "node:readline";
import { TidemarkError } from "../../core/errors.ts";
import type { Event } from "../../core/event.ts";
import { differences } from "../../protocol/replay/difference.ts";
import type { Rebuild } from "../../protocol/replay/rebuild.ts";
import { eventRow } from "../../protocol/rest/log-api.ts";
import type { Replay } from "../commands/replay.ts";
import { type Context, lineWidth, printJsonLine, printText } from "../context.ts";
import { type Bound, parseBound } from "../log-range.ts";
import { EventLines } from "../log-text.ts";
import { differencesText } from "./differences-text.ts";

const help = `  n [COUNT]   the next event, or so many (as an empty line)
  c PLACE     go on to a position, an instant or ORIGIN/SEQ
  d           what the last event changed
  s [KEY]     the state of the last event's key, or of this one; s * is all of it
  q           end
`;

const differencesMax = 50;

export async function step(context: Context, { rebuild, progress }: Replay): Promise<number> {
  progress.end();
  const { stdin, stdout } = context.world;
  const isTerminal = stdin.isTTY === true;
  const lines = createInterface({ input: stdin, ...(isTerminal && { output: stdout, prompt: "> " }) });
  const stepping = new Stepping(context, rebuild);
  if (isTerminal) await printText(context, help);
  try {
    if (isTerminal) lines.prompt();
    for await (const line of lines) {
      if (/^q(uit)?$/.test(line.trim())) break;
      await stepping.obey(line.trim()).catch(async (error: unknown) => {
        // A slip of a person's fingers ends nothing; a script's is an error.
        if (!isTerminal || !(error instanceof TidemarkError) || error.code !== "USAGE") throw error;
        await printText(context, `${error.message}\n`);
      });
      if (isTerminal) lines.prompt();
    }
  } finally {
    lines.close();
    await stepping.close();
  }
  return 0;
}

class Stepping {
  readonly #context: Context;
  readonly #rebuild: Rebuild;
  readonly #events: AsyncGenerator<Event>;
  readonly #lines: EventLines;
  #last: Event | undefined;
  /** The state of the last event's key before it. */
  #before: unknown;

  constructor(context: Context, rebuild: Rebuild) {
    this.#context = context;
    this.#rebuild = rebuild;
    this.#events = eachOf(rebuild);
    const { paint } = context;
    this.#lines = new EventLines((origin) => origin, { paint, lineWidth: lineWidth(context) });
  }

  async obey(line: string): Promise<void> {
    const [verb = "", argument] = line.split(/\s+/);
    switch (verb) {
      case "":
      case "n":
        return this.#next(countOf(argument ?? "1"));
      case "c":
        return this.#continue(parseBound(argument ?? "", this.#context.world.now()));
      case "d":
        return this.#diff();
      case "s":
        return this.#state(argument ?? this.#last?.key ?? "*");
      case "h":
      case "?":
        return printText(this.#context, help);
      default:
        throw new TidemarkError("USAGE", `${JSON.stringify(line)} is no command: h lists them`);
    }
  }

  async close(): Promise<void> {
    await this.#events.return(undefined);
  }

  async #next(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 1) {
      const event = await this.#apply();
      if (event === undefined) return this.#sayEnd();
      await this.#show(event);
    }
  }

  async #continue(bound: Bound): Promise<void> {
    let event: Event | undefined;
    do event = await this.#apply();
    while (event !== undefined && !isReached(bound, event));
    if (event === undefined) return this.#sayEnd();
    return this.#show(event);
  }

  async #apply(): Promise<Event | undefined> {
    const { done, value: event } = await this.#events.next();
    if (done === true) return undefined;
    this.#before = this.#rebuild.shownOf(event.key);
    this.#last = event;
    this.#rebuild.apply(event);
    return event;
  }

  async #show(event: Event): Promise<void> {
    const log = this.#rebuild.header?.log;
    if (log === undefined) return;
    const row = eventRow(log, event);
    if (this.#context.json) await printJsonLine(this.#context, row);
    else await printText(this.#context, this.#lines.lines([row]));
  }

  async #sayEnd(): Promise<void> {
    const row = this.#rebuild.row(false);
    if (this.#context.json) return printJsonLine(this.#context, { end: row });
    return printText(this.#context, `the end, at position ${row.position}: ${row.stateHash}\n`);
  }

  async #diff(): Promise<void> {
    if (this.#last === undefined)
      throw new TidemarkError("USAGE", "nothing was applied yet: n is the next event");
    const { key } = this.#last;
    const found = differences(this.#before, this.#rebuild.shownOf(key), differencesMax);
    if (this.#context.json) return printJsonLine(this.#context, { key, differences: found });
    const { paint } = this.#context;
    const text =
      found.length === 0
        ? "  nothing\n"
        : differencesText(found, { paint, lineWidth: lineWidth(this.#context) });
    return printText(this.#context, `${key}\n${text}`);
  }

  async #state(key: string): Promise<void> {
    const state = key === "*" ? this.#rebuild.shown() : this.#rebuild.shownOf(key);
    if (this.#context.json) return printJsonLine(this.#context, { key, state });
    return printText(this.#context, `${key}\n${JSON.stringify(state, null, 2)}\n`);
  }
}

async function* eachOf(rebuild: Rebuild): AsyncGenerator<Event> {
  for await (const events of rebuild.batches()) yield* events;
}

function countOf(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new TidemarkError("USAGE", `${text} is no count of events`);
}

function isReached(bound: Bound, event: Event): boolean {
  if ("position" in bound) return event.position >= bound.position;
  if ("time" in bound) return event.time >= bound.time;
  const [origin = "", seq] = bound.event.split("/");
  return event.seq === Number(seq) && event.origin.startsWith(origin);
}
