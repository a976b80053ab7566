/** The conflicts that one process knows: found in the logs it holds, and shown with what is so of them now. */
import type { Log } from "../../core/log.ts";
import { TidemarkError } from "../../core/errors.ts";
import { type Event, type EventId, type Incarnation, nodeLog, nodeOfLog } from "../../core/event.ts";
import { parseInstant, rfc3339 } from "../../core/time.ts";
import {
  type ConflictRecord,
  type Outcome,
  type Winner,
  identityOf,
  outcomeOf,
  readConflict,
} from "../devices/conflicts.ts";
import { deviceKey } from "../devices/topics.ts";
import type { AsOf } from "../devices/twin-view.ts";
import type { DeviceSource } from "./device-api.ts";
import type { LogSource } from "./log-api.ts";

export interface ConflictsOptions {
  readonly logs: Pick<LogSource, "logs" | "log">;
  readonly devices: DeviceSource;
  /** Ms since the epoch. */
  readonly now: () => number;
  /** Resolves when what was wanted before is in the nodes' logs. */
  readonly settled?: () => Promise<void>;
}

/** A conflict as `conflicts list|show` and the API give it. */
export interface ConflictRow {
  /** `ORIGIN/SEQ`: the event that records it. */
  readonly id: EventId;
  /** When it was found: the two had met. RFC 3339, as all times. */
  readonly time: string;
  readonly node: string;
  readonly namespace: string;
  readonly name: string;
  readonly property: string;
  readonly cloud: SideRow;
  readonly edge: SideRow;
  /** Whose value stood, and by which policy, when it was found. */
  readonly winner: Winner;
  readonly policy: string;
  /** What is so now. */
  readonly outcome: Outcome;
}

export interface SideRow {
  /** Null where it was withdrawn. */
  readonly value: string | null;
  readonly time: string;
  readonly event: EventId;
}

export interface ConflictList {
  readonly items: readonly ConflictRow[];
  /** Whether there are earlier ones that this list leaves out. */
  readonly earlier: boolean;
  readonly asOf: AsOf;
  readonly complete: boolean;
}

export interface ConflictQuery {
  readonly node?: string | undefined;
  readonly device?: { readonly namespace: string; readonly name: string } | undefined;
  /** An instant or `ORIGIN/SEQ`; both ends count in. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** At most so many, the newest. */
  readonly limit: number;
}

export type Choice = { readonly winner: Winner } | { readonly value: string };

/** What an override did. */
export interface Overridden {
  readonly id: EventId;
  readonly node: string;
  readonly namespace: string;
  readonly name: string;
  readonly property: string;
  readonly value: string;
  /** The new `twin.desired`; null while it is not in the node's log yet. */
  readonly event: EventId | null;
}

/** Where a record is; some 50 bytes a conflict. */
interface Found {
  readonly position: number;
  readonly key: string;
  readonly time: number;
}

export class Conflicts {
  readonly #options: ConflictsOptions;
  readonly #finders = new WeakMap<Log, Finder>();

  constructor(options: ConflictsOptions) {
    this.#options = options;
  }

  /** Oldest first. @throws NODE_UNKNOWN, NOT_FOUND, USAGE */
  async list(query: ConflictQuery): Promise<ConflictList> {
    const { devices } = this.#options;
    const logs = this.#logsOf(query.node);
    const [from, to] = [
      await this.#instant("from", query.from, logs),
      await this.#instant("to", query.to, logs),
    ];
    const key = query.device && deviceKey(query.device.namespace, query.device.name);
    const found: (Found & { readonly log: Log })[] = [];
    for (const log of logs) {
      for (const each of await this.#finderOf(log).all()) {
        if ((key ?? each.key) !== each.key || each.time < from || each.time > to) continue;
        found.push({ ...each, log });
      }
    }
    found.sort((a, b) => a.time - b.time || a.position - b.position);
    const items: ConflictRow[] = [];
    const identities = new Set<string>();
    for (const { log, position } of found.slice(-query.limit)) {
      // What a compaction took since it was found is not there any more.
      const record = await recordAt(log, position);
      if (record === undefined || identities.has(identityOf(record))) continue;
      identities.add(identityOf(record));
      items.push(rowOf(log, record));
    }
    return {
      items,
      earlier: found.length > query.limit,
      asOf: devices.asOf(),
      complete: logs.every((log) => log.problems.length === 0),
    };
  }

  /** @throws NODE_UNKNOWN, NOT_FOUND */
  async show(node: string, id: EventId): Promise<ConflictRow> {
    const log = this.#logOf(node);
    return rowOf(log, await recordOf(log, id));
  }

  /**
   * Makes one of the two values, or another one, what is wanted: a new event, whose cause is the conflict.
   * @throws NODE_UNKNOWN, NOT_FOUND; CONFLICT when it was ended already; INVALID when that can't be wanted
   */
  async override(node: string, id: EventId, choice: Choice): Promise<Overridden> {
    const { devices, settled } = this.#options;
    const log = this.#logOf(node);
    const record = await recordOf(log, id);
    const { namespace, name, property } = record;
    refuseEnded(record, outcomeOf(log.registers, record));
    const value = "value" in choice ? choice.value : record[choice.winner].value;
    if (value === null) {
      const message = `the ${choiceName(choice)}'s value was withdrawn, so there is none to choose: say one with --value`;
      throw new TidemarkError("INVALID", message);
    }
    await devices.setDesired({ namespace, name, property, value, conflict: id });
    await settled?.();
    const outcome = outcomeOf(log.registers, record);
    const event = outcome.state === "overridden" ? outcome.event : null;
    return { id, node, namespace, name, property, value, event };
  }

  #logsOf(node: string | undefined): readonly Log[] {
    if (node !== undefined) return [this.#logOf(node)];
    return [...this.#options.logs.logs()].filter((log) => nodeOfLog(log.id) !== undefined);
  }

  #logOf(node: string): Log {
    const log = this.#options.logs.log(nodeLog(node));
    if (log !== undefined) return log;
    throw new TidemarkError("NODE_UNKNOWN", `there is no log of ${node} here`);
  }

  /** Looked for once; after that only in what is new. */
  #finderOf(log: Log): Finder {
    let finder = this.#finders.get(log);
    if (finder === undefined) {
      finder = new Finder(log);
      this.#finders.set(log, finder);
    }
    return finder;
  }

  async #instant(name: "from" | "to", text: string | undefined, logs: readonly Log[]): Promise<number> {
    if (text === undefined) return name === "from" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    const instant = parseInstant(text, this.#options.now());
    if (instant !== undefined) return instant;
    const [origin, seq] = text.split("/");
    for (const log of logs) {
      const event = await log.eventAt(origin as Incarnation, Number(seq));
      if (event !== undefined) return event.time;
    }
    const forms =
      "an instant (2026-09-01T12:00:00Z, ms since the epoch, -15m, now), or ORIGIN/SEQ of an event here";
    throw new TidemarkError("USAGE", `${name}=${text} is no place in time: write ${forms}`);
  }
}

/** Where the records of one log are. */
class Finder {
  readonly #log: Log;
  #found: Found[] = [];
  #next = 1;
  #looking: Promise<unknown> = Promise.resolve();

  constructor(log: Log) {
    this.#log = log;
    // What was read may have been taken out since.
    log.onReset(() => {
      this.#found = [];
      this.#next = 1;
    });
  }

  async all(): Promise<readonly Found[]> {
    const looked = this.#looking.then(() => this.#look());
    this.#looking = looked.catch(() => undefined);
    await looked;
    return this.#found;
  }

  async #look(): Promise<void> {
    const { position } = this.#log;
    while (this.#next <= position) {
      const next = this.#next;
      const events = await this.#log.read(next);
      // The log was put right meanwhile: from the start again.
      if (this.#next !== next) continue;
      for (const event of events) {
        if (readConflict(event) === undefined) continue;
        this.#found.push({ position: event.position, key: event.key, time: event.time });
      }
      this.#next = (events.at(-1)?.position ?? position) + 1;
    }
  }
}

async function recordAt(log: Log, position: number): Promise<ConflictRecord | undefined> {
  const [event] = await log.read(position, 1);
  return event === undefined || event.position !== position ? undefined : readConflict(event);
}

async function recordOf(log: Log, id: EventId): Promise<ConflictRecord> {
  const [origin, seq] = id.split("/");
  const event: Event | undefined = await log.eventAt(origin as Incarnation, Number(seq));
  const record = event && readConflict(event);
  if (record !== undefined) return record;
  const node = nodeOfLog(log.id) ?? "";
  const message =
    event === undefined
      ? `there is no conflict ${id} in the log of ${node}`
      : `${id} is no conflict: it is a ${event.type}`;
  throw new TidemarkError("NOT_FOUND", message);
}

function rowOf(log: Log, record: ConflictRecord): ConflictRow {
  const { id, time, namespace, name, property, cloud, edge, winner, policy } = record;
  return {
    id,
    time: rfc3339(time),
    node: nodeOfLog(log.id) ?? "",
    namespace,
    name,
    property,
    cloud: { ...cloud, time: rfc3339(cloud.time) },
    edge: { ...edge, time: rfc3339(edge.time) },
    winner,
    policy,
    outcome: outcomeOf(log.registers, record),
  };
}

/** @throws CONFLICT unless the policy decides still */
function refuseEnded({ id, namespace, name, property }: ConflictRecord, outcome: Outcome): void {
  if (outcome.state === "standing") return;
  const device = `${namespace}/${name}`;
  if (outcome.state === "deleted") {
    throw new TidemarkError("CONFLICT", `${id} is superseded: ${device} is not on that node any more`);
  }
  const by = outcome.state === "overridden" ? "an override" : "a later value";
  const value = outcome.value === null ? "nothing is wanted" : `${outcome.value} is wanted`;
  throw new TidemarkError(
    "CONFLICT",
    `${id} is superseded by ${by}, ${outcome.event}: ${value} of ${property} now; to want something else: tidemark device set ${device} ${property} VALUE`,
    { data: { outcome } },
  );
}

function choiceName(choice: Choice): string {
  return "winner" in choice ? choice.winner : "given";
}
