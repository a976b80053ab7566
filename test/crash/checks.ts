/** What must be so once everything is healed, and is not: of what was noted down, and what both sides hold. Pure. */
import type { EventRow, VerifyRow } from "../../protocol/rest/log-api.ts";
import { type Ledger, type Reports, type Wishes, lastWishes } from "./ledger.ts";
import { reportedProperties, wantedProperty } from "./options.ts";

/** One side's replica of one node's log. */
export interface Held {
  readonly node: string;
  readonly side: "cloud" | "node";
  /** All of it, in its order of arrival. */
  readonly events: readonly EventRow[];
  readonly verified: VerifyRow;
  /** Of its registers. */
  readonly stateHash: string;
}

export interface Verdict {
  /** What was acknowledged and is not there. */
  readonly lost: readonly string[];
  /** Whatever else is not as promised. */
  readonly wrong: readonly string[];
}

/** @param held both sides of each node */
export function judge(ledger: Ledger, held: readonly Held[]): Verdict {
  const lost: string[] = [];
  const wrong: string[] = [];
  for (const replica of held) {
    const where = `${replica.node} at the ${replica.side}`;
    const values = valuesOf(replica.events);
    for (const reports of ledger.reports) {
      if (reports.node !== replica.node) continue;
      const lists = reportedProperties.map((name) => values.get(`${reports.device} reported/${name}`) ?? []);
      lost.push(...lostOf(reports, where, lists));
      wrong.push(...wrongReports(reports, where, lists));
    }
    for (const wishes of ledger.wishes) {
      if (wishes.node !== replica.node) continue;
      wrong.push(
        ...wrongWishes(wishes, where, values.get(`${wishes.device} desired/${wantedProperty}`) ?? []),
      );
    }
    wrong.push(...brokenLog(replica, where));
  }
  for (const wishes of ledger.wishes) wrong.push(...wrongDeltas(wishes));
  wrong.push(...unequalSides(held));
  return { lost, wrong };
}

/** The values of each device's slots, by `DEVICE SLOT`, in the order of the log. */
function valuesOf(events: readonly EventRow[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { type, key, slot, body } of events) {
    if (!type.startsWith("twin.") || slot === null) continue;
    const name = `${key.split("/").at(-1) ?? ""} ${slot}`;
    const values = found.get(name) ?? [];
    values.push(Array.isArray(body) ? String(body[0]) : "nothing");
    found.set(name, values);
  }
  return found;
}

function* lostOf({ device, sent }: Reports, where: string, lists: readonly string[][]): Generator<string> {
  for (const [index, list] of lists.entries()) {
    const there = new Set(list);
    for (const { value, acked } of sent) {
      if (acked && !there.has(value)) {
        yield `${reportedProperties[index] ?? ""} ${value} of ${device} was acknowledged, and is not in the log of ${where}`;
      }
    }
  }
}

/** Each at most as often as it was sent, in the order of sending, and of a connection nothing behind a hole. */
function* wrongReports(
  { device, sent }: Reports,
  where: string,
  lists: readonly string[][],
): Generator<string> {
  const [list = [], ...others] = lists;
  if (others.some((other) => other.join() !== list.join())) {
    yield `the log of ${where} has messages of ${device} in part: its properties came together, and their values differ`;
  }
  const order = new Map(sent.map(({ value }, index) => [value, index]));
  const there = new Set<string>();
  let last = -1;
  for (const value of list) {
    const index = order.get(value);
    if (index === undefined) yield `the log of ${where} has ${value} of ${device}, which was never sent`;
    else if (there.has(value)) yield `the log of ${where} has ${value} of ${device} more than once`;
    else if (index < last)
      yield `the log of ${where} has ${value} of ${device} behind ${sent[last]?.value ?? ""}, before which it was sent`;
    else last = index;
    there.add(value);
  }
  let hole: string | undefined;
  let connection = 0;
  for (const each of sent) {
    if (each.connection !== connection) hole = undefined;
    connection = each.connection;
    if (!there.has(each.value)) hole ??= each.value;
    else if (hole !== undefined) {
      yield `the log of ${where} has ${each.value} of ${device}, and not ${hole}, which the same connection brought before it`;
      hole = undefined;
    }
  }
}

function* wrongWishes(wishes: Wishes, where: string, list: readonly string[]): Generator<string> {
  const { device, wished } = wishes;
  const asked = new Set(wished.map(({ value }) => value));
  for (const [index, value] of list.entries()) {
    if (!asked.has(value)) yield `the log of ${where} wants ${value} of ${device}, which nobody asked for`;
    const before = list[index - 1];
    if (before !== undefined && Number(value) <= Number(before)) {
      yield `the log of ${where} wants ${value} of ${device} after ${before}`;
    }
  }
  const wanted = lastWishes(wishes);
  const last = list.at(-1) ?? "nothing";
  if (wanted.length > 0 && !wanted.includes(last)) {
    yield `the log of ${where} wants ${last} of ${device} in the end, and not ${wanted.join(" or ")}`;
  }
}

function* wrongDeltas(wishes: Wishes): Generator<string> {
  const { device, deltas } = wishes;
  for (const [index, value] of deltas.entries()) {
    const before = deltas[index - 1];
    if (before !== undefined && Number(value) < Number(before)) {
      yield `${device} was told to be at ${value} after ${before}`;
    }
  }
  const wanted = lastWishes(wishes);
  const last = deltas.at(-1) ?? "nothing";
  if (wanted.length > 0 && !wanted.includes(last)) {
    yield `the last delta of ${device} says ${last}, and not ${wanted.join(" or ")}`;
  }
}

function* brokenLog({ verified }: Held, where: string): Generator<string> {
  for (const { code, origin, from, to } of verified.problems) {
    yield `log verify of ${where}: ${code}, ${origin ?? "positions"} ${from} to ${to}`;
  }
  for (const letter of ["c", "n"]) {
    const lives = Object.keys(verified.origins).filter((origin) => origin.startsWith(letter));
    // Nothing here loses what was synced, so no side has a reason to take a new name.
    if (lives.length > 1)
      yield `the log of ${where} has ${lives.length} incarnations of one side: ${lives.join(", ")}`;
  }
}

/** Both sides hold the same events of each origin, to the byte, and have made the same of them. */
function* unequalSides(held: readonly Held[]): Generator<string> {
  for (const cloud of held) {
    const node = held.find((other) => other.node === cloud.node && other.side === "node");
    if (cloud.side !== "cloud" || node === undefined) continue;
    const names = new Set([...Object.keys(cloud.verified.origins), ...Object.keys(node.verified.origins)]);
    for (const origin of names) {
      const [above, below] = [cloud.verified.origins[origin], node.verified.origins[origin]];
      if (above?.last === below?.last && above?.hash === below?.hash) continue;
      yield `${cloud.node}: of ${origin} the cloud has ${above?.last ?? 0} (${above?.hash ?? "-"}), the node ${below?.last ?? 0} (${below?.hash ?? "-"})`;
    }
    if (cloud.stateHash !== node.stateHash) {
      yield `${cloud.node}: the states differ: ${cloud.stateHash} at the cloud, ${node.stateHash} on the node`;
    }
  }
}
