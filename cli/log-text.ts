/** Logs as people read them. */
import type { EventRow, StoredStatsRow, VerifyRow } from "../protocol/rest/log-api.ts";
import type { Paint } from "./paint.ts";
import { type Cell, Columns, facts, table } from "./table.ts";
import { count, counted } from "./text.ts";

export interface LogTextOptions {
  readonly paint: Paint;
  readonly lineWidth: number | undefined;
}

const headers = ["TIME", "POS", "ORIGIN/SEQ", "TYPE", "KEY", "BODY"] as const;

/** Lines of events; the header comes with the first ones. */
export class EventLines {
  readonly #columns: Columns;
  readonly #shorten: (origin: string) => string;
  #begun = false;

  /** @param shorten an origin as people see it */
  constructor(shorten: (origin: string) => string, options: LogTextOptions) {
    this.#columns = new Columns({ ...options, right: [1], widths: [24, 3, 9, 13, 20] });
    this.#shorten = shorten;
  }

  lines(events: readonly EventRow[]): string {
    const rows = events.map((event): Cell[] => [
      { text: event.time, style: "dim" },
      String(event.position),
      `${this.#shorten(event.origin)}/${event.seq}`,
      { text: event.type, style: styleOf(event.type) },
      keyText(event),
      bodyText(event.body),
    ]);
    const all = this.#begun ? rows : [headers.map((text): Cell => ({ text, style: "dim" })), ...rows];
    this.#begun = true;
    this.#columns.fit(all);
    return all.map((row) => `${this.#columns.line(row)}\n`).join("");
  }
}

function styleOf(type: string): "cyan" | "yellow" | undefined {
  if (type.startsWith("twin.")) return "cyan";
  return type.startsWith("resource.") ? undefined : "yellow";
}

/** The object and, behind a space, the facet that the event replaces. */
function keyText({ key, slot }: EventRow): string {
  return slot === null ? key : `${key} ${slot}`;
}

function bodyText(body: unknown): string {
  return body === null ? "" : JSON.stringify(body);
}

/** One event, all of it. */
export function eventText(event: EventRow, options: LogTextOptions): string {
  const seen = Object.entries(event.seen).map(([origin, seq]) => `${origin}/${seq}`);
  return (
    `${options.paint("bold", `${event.origin}/${event.seq}`)}\n` +
    facts(
      [
        ["log", event.log],
        ["position", String(event.position)],
        ["time", event.time],
        ["type", `${event.type} (${event.class})`],
        ["key", event.key],
        ["slot", event.slot ?? undefined],
        ["life", event.life ?? undefined],
        ["seen", seen.length === 0 ? undefined : seen.join(", ")],
        ["cause", event.cause ?? undefined],
      ],
      options,
    ) +
    `\n${JSON.stringify(event.body, null, 2)}\n`
  );
}

export function verifyText(name: string, row: VerifyRow, options: LogTextOptions): string {
  const { paint } = options;
  const verdict = row.ok ? paint("green", "ok") : paint("red", "damaged");
  const lines = [
    `${verdict}  the log of ${name}: ${counted(row.events, "event")} in ${counted(row.segments, "segment")}\n`,
  ];
  const origins = Object.entries(row.origins).map(([origin, { first, last, hash }]): Cell[] => [
    origin,
    count(first),
    count(last),
    hash,
  ]);
  if (origins.length > 0)
    lines.push("\n", table(["ORIGIN", "FIRST", "LAST", "HASH"], origins, { ...options, right: [1, 2] }));
  const problems = row.problems.map(({ code, origin, from, to }): Cell[] => [
    { text: code, style: "red" },
    origin ?? "positions",
    count(from),
    count(to),
  ]);
  if (problems.length > 0)
    lines.push("\n", table(["PROBLEM", "ORIGIN", "FROM", "TO"], problems, { ...options, right: [2, 3] }));
  return lines.join("");
}

export function statsText(row: StoredStatsRow, options: LogTextOptions): string {
  const { stored } = row;
  const bytes = (length: number): string => `${count(length)} bytes`;
  const origins = Object.entries(row.vector).map(([origin, seq]): Cell[] => [
    origin === row.live ? `${origin} (this side, live)` : origin,
    count(seq),
  ]);
  return (
    `${options.paint("bold", row.log)}\n` +
    facts(
      [
        ["side", row.side],
        ["events", count(row.events)],
        ["objects", count(row.objects)],
        [
          "merged",
          `${count(stored.mergedEvents)} in ${counted(stored.blocks, "block")}, ${bytes(stored.blockBytes)}`,
        ],
        [
          "not yet merged",
          `${count(stored.unmergedEvents)} in ${counted(stored.segments, "segment")}, ${bytes(stored.segmentBytes)}`,
        ],
        [
          "bytes an event",
          stored.bytesPerEvent === null ? undefined : `${stored.bytesPerEvent}, without the indexes`,
        ],
        ["waiting for the disk", row.waitingBytes === 0 ? undefined : `${count(row.waitingBytes)} bytes`],
        [
          "not authorised",
          row.unauthorised === 0 ? undefined : { text: counted(row.unauthorised, "event"), style: "red" },
        ],
        ["problems", row.problems === 0 ? "none" : { text: count(row.problems), style: "red" }],
      ],
      options,
    ) +
    `\n${table(["ORIGIN", "EVENTS"], origins, { ...options, right: [1] })}`
  );
}
