import { sizeText } from "../core/size.ts";
import type { NodeRow, RetentionRow, StatusRow } from "../protocol/rest/status-api.ts";
import type { Paint } from "./paint.ts";
import { type Cell, facts, table } from "./table.ts";
import { ageSince, count } from "./text.ts";

export interface StatusTextOptions {
  readonly paint: Paint;
  readonly nowMs: number;
  readonly lineWidth: number | undefined;
}

export function statusText(status: StatusRow, options: StatusTextOptions): string {
  const { paint } = options;
  const runs = status.pid > 0;
  const [own] = status.nodes;
  const title = status.role === "edge" && own !== undefined ? `edge ${own.name}` : status.role;
  const state = runs ? paint("green", "running") : paint("red", "stopped");
  const queues = Object.entries(status.queues)
    .filter(([, value]) => value > 0)
    .map(([name, value]) => `${name} ${count(value)}`);
  const parts = [
    `${paint("bold", title)}  ${state}\n`,
    facts(
      [
        ["version", status.version],
        ["data", status.dataDir],
        ["pid", runs ? String(status.pid) : undefined],
        ...Object.entries(status.addresses),
        ["log", logText(status.retention)],
        ["keeps", keepsText(status.retention)],
        ["queues", queues.length === 0 ? undefined : queues.join(", ")],
      ],
      options,
    ),
    `\n${nodesText(status.nodes, runs, options)}`,
  ];
  const logs = status.logs.map((row): Cell[] => [
    row.log,
    count(row.events),
    count(row.objects),
    row.problems === 0 ? { text: "none", style: "green" } : { text: count(row.problems), style: "red" },
  ]);
  if (logs.length > 0)
    parts.push(`\n${table(["LOG", "EVENTS", "OBJECTS", "PROBLEMS"], logs, { ...options, right: [1, 2] })}`);
  const problems = status.problems.map(({ code, message }): Cell[] => [
    { text: code, style: "yellow" },
    message,
  ]);
  // Sentences that say what to do are not cut.
  if (problems.length > 0) parts.push(`\n${table(["PROBLEM", ""], problems, { paint })}`);
  return parts.join("");
}

/** How long what was replaced is kept. */
function keepsText({ policy }: RetentionRow): string | undefined {
  if (policy === null) return undefined;
  return Object.entries(policy)
    .map(([of, age]) => `${of} ${age}`)
    .join(", ");
}

/** The room that a running process measured. */
function logText({ usedBytes, limitBytes, freeBytes, reserve, pressure }: RetentionRow): Cell | undefined {
  if (pressure === undefined) return undefined;
  const used = usedBytes === null || usedBytes === undefined ? "unknown" : sizeText(usedBytes);
  const parts = [
    limitBytes === null || limitBytes === undefined
      ? `${used}, no limit`
      : `${used} of ${sizeText(limitBytes)}`,
    ...(freeBytes === null || freeBytes === undefined ? [] : [`${sizeText(freeBytes)} free on the disk`]),
    reserve === true ? "reserve kept" : "no reserve",
    ...pressureTexts[pressure],
  ];
  return { text: parts.join(", "), style: pressureStyles[pressure] };
}

const pressureTexts = [[], ["tight"], ["short"], ["no room left"]] as const;
const pressureStyles = [undefined, undefined, "yellow", "red"] as const;

function nodesText(nodes: readonly NodeRow[], runs: boolean, options: StatusTextOptions): string {
  if (nodes.length === 0) return "No nodes yet. Let one in with: npx tidemark cert issue --node NAME\n";
  const rows = nodes.map((node): Cell[] => [
    node.name,
    {
      text: node.state,
      style: node.state === "Connected" ? "green" : node.state === "Forked" ? "red" : "yellow",
    },
    Date.parse(node.since) === 0 ? "-" : ageSince(node.since, options.nowMs),
    // What the other side acknowledged is known only while the link's two ends run.
    runs ? count(node.lag.toNode) : "-",
    runs ? count(node.lag.toCloud) : "-",
    node.reason ?? "",
  ]);
  return table(["NODE", "STATE", "FOR", "TO NODE", "TO CLOUD", ""], rows, { ...options, right: [3, 4] });
}
