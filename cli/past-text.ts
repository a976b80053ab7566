/** The past as people read it. */
import type { HistoryItem } from "../protocol/devices/history.ts";
import type { WhyLink, WhyRelation } from "../protocol/devices/why.ts";
import type { HistoryAnswer } from "../protocol/rest/past-history.ts";
import type { BlameAnswer, DiffAnswer, DiffEnd } from "../protocol/rest/past-state.ts";
import type { WhyAnswer } from "../protocol/rest/past-why.ts";
import { changeText } from "./device-text.ts";
import type { Paint } from "./paint.ts";
import { type Cell, facts, table } from "./table.ts";
import { shellWord } from "./text.ts";

export interface PastTextOptions {
  readonly paint: Paint;
  readonly lineWidth: number | undefined;
}

/** Origins as people can tell them apart. */
type Short = ReadonlyMap<string, string>;

const none = "-";

function eventText(short: Short, event: string): string {
  const [origin = "", seq] = event.split("/");
  return `${short.get(origin) ?? origin}/${seq}`;
}

export function historyText(answer: HistoryAnswer, short: Short, options: PastTextOptions): string {
  if (answer.items.length === 0) return "No changes in this range.\n";
  const rows = answer.items.map((item): Cell[] => [
    { text: item.time, style: "dim" },
    eventText(short, item.event),
    changeText(item),
  ]);
  const changes = table(["TIME", "EVENT", "CHANGE"], rows, options);
  if (answer.next === null) return changes;
  return `${changes}${options.paint("dim", `more: the same with --cursor ${shellWord(answer.next)}`)}\n`;
}

export function diffText(answer: DiffAnswer, options: PastTextOptions): string {
  const { namespace, name, node, from, to, differences } = answer;
  const head = facts(
    [
      ["node", node ?? none],
      ["from", endText(from)],
      ["to", endText(to)],
    ],
    options,
  );
  const rows = differences.map(({ property, facet, from, to }): Cell[] => [
    property ?? none,
    facet,
    from ?? none,
    to ?? none,
  ]);
  const changes =
    rows.length === 0 ? "Nothing differs.\n" : table(["PROPERTY", "WHAT", "FROM", "TO"], rows, options);
  return `${options.paint("bold", `${namespace}/${name}`)}\n${head}\n${changes}`;
}

const absences: Readonly<Record<string, string>> = {
  notYet: "it did not exist yet",
  deleted: "it had been deleted",
};

function endText({ asOf, absent }: DiffEnd): string {
  return absent === null ? asOf.time : `${asOf.time}: ${absences[absent] ?? "it did not exist"}`;
}

export function blameText(answer: BlameAnswer, short: Short, options: PastTextOptions): string {
  const { namespace, name, node, asOf, items } = answer;
  const rows = items.map((item): Cell[] => [
    item.property ?? none,
    item.facet,
    { text: item.value ?? none, style: item.stands ? undefined : "dim" },
    item.side === "cloud" ? "cloud" : (node ?? "node"),
    item.time,
    eventText(short, item.event),
    item.because === null ? (item.cause ?? none) : linkText(item.because, short),
    { text: item.stands ? "" : "does not stand", style: "yellow" },
  ]);
  const head = facts(
    [
      ["node", node ?? none],
      ["as of", asOf.time],
    ],
    options,
  );
  const headers = ["PROPERTY", "WHAT", "VALUE", "BY", "TIME", "EVENT", "BECAUSE OF", ""];
  return `${options.paint("bold", `${namespace}/${name}`)}\n${head}\n${table(headers, rows, options)}`;
}

/** An event in a few words, and where it is found. */
function linkText(link: WhyLink, short: Short): string {
  return `${eventText(short, link.event)} ${whatText(link)}${link.log === null ? " (cluster)" : ""}`;
}

function whatText(item: HistoryItem & { readonly key: string }): string {
  const what = changeText(item);
  return item.type.startsWith("resource.") ? `${item.key} ${what}` : what;
}

const relations: Readonly<Record<WhyRelation, string>> = {
  asked: "",
  cause: "because of",
  again: "said before as",
  followed: "as was wanted",
  despite: "though there was",
};

export function whyText({ chain, missing }: WhyAnswer, short: Short, options: PastTextOptions): string {
  const rows = chain.map((link): Cell[] => [
    { text: relations[link.relation], style: "dim" },
    whatText(link),
    link.side === "cloud" ? "by the cloud" : `by ${link.log ?? "the node"}`,
    { text: link.time, style: "dim" },
    `${eventText(short, link.event)}${link.log === null ? " (cluster)" : ""}`,
  ]);
  if (missing !== null)
    rows.push([
      { text: relations.cause, style: "dim" },
      { text: missing, style: "yellow" },
    ]);
  return table(["", "WHAT", "BY", "TIME", "EVENT"], rows, options);
}
