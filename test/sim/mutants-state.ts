/** Breakages of what is folded from the log, and of what acts on it. */
import { type Mutant, broken } from "./mutant.ts";

const folds: readonly Mutant[] = [
  broken(
    "of two incarnations the event that arrived last stands",
    "core/registers.ts",
    "else if (held.origin !== event.origin || register.rivals !== undefined)\n    settleRivals(generations, register, [event]);",
    "else if (held.origin !== event.origin) register[side] = event;",
  ),
  broken(
    "a life that is over is written to again",
    "core/registers.ts",
    "if (life.over) return;",
    "if (life.over && event.deletes === true) return;",
  ),
  broken(
    "an event that had seen the other loses",
    "core/registers.ts",
    "if (hasSeen(state.generations, node.seen, cloud)) return node;",
    "if (hasSeen(state.generations, node.seen, cloud)) return cloud;",
  ),
  broken(
    "a writer does not say what it had seen",
    "core/log.ts",
    "this.#noteSeen({ origin: segment.origin, seq: lastOf(segment) });",
    "void lastOf;",
  ),
  {
    name: "a group stays open though the peer's events became visible",
    edits: [
      {
        file: "core/log.ts",
        find: "if (this.#open?.seen === seen) return this.#open;",
        replace: "if (this.#open !== undefined) return this.#open;",
      },
    ],
    tests: ["core/log-append.test", "core/log-receive.test"],
  },
  {
    name: "what is appended again says it had seen what it had not",
    edits: [
      {
        file: "core/log.ts",
        find: "let group = this.#groupOf(again?.seen ?? this.#seen);",
        replace: "let group = this.#groupOf(this.#seen);",
      },
    ],
    // Between what is rolled back and what is moved no session brings anything that could be seen.
    tests: ["core/log-reincarnate.test"],
  },
  broken(
    "a correction of the clock that nobody has appended is lost with the process",
    "core/log.ts",
    "this.#pace.taken(checkpoint(",
    "this.#state.time = this.#clock.now();\n    this.#pace.taken(checkpoint(",
  ),
  broken(
    "what comes back of an older incarnation says up to what time the own one had written",
    "core/log-open.ts",
    "if (isLive ? last.seq < this.#newest : this.#newest > 0) return;",
    "if (isLive && last.seq < this.#newest) return;",
  ),
  broken(
    "the clock goes back",
    "core/clock.ts",
    "if (time > this.#last) this.#last = time;",
    "this.#last = time;",
  ),
  broken(
    "a clock that was wrong is put right without a word",
    "core/clock.ts",
    "if (offset === 0) return;",
    "if (offset !== undefined) return;",
  ),
  broken(
    "a peer whose clock is ahead is followed all the way",
    "core/clock.ts",
    "Math.floor(Math.min(time, limit))",
    "Math.floor(Math.max(time, limit - limit))",
  ),
];

const twins: readonly Mutant[] = [
  broken(
    "a delta that a slow subscriber did not take counts as published",
    "edge/device-twin-outbox.ts",
    "if (this.#bus.publish(topic, payload)) return;",
    "if (this.#bus.publish(topic, payload) || topic !== undefined) return;",
  ),
  broken(
    "a winner that a corrected clock decides anew is told to nobody",
    "protocol/devices/changes.ts",
    "if (type === clockCorrected || type === originOpened) {",
    'if (type === originOpened && key === "") {',
  ),
  broken(
    "an outbox forgets what it had not acted on when it failed",
    "core/reactor.ts",
    "if (events.length > 0) await act(events);\n      this.#cursor = last;",
    "this.#cursor = last;\n      if (events.length > 0) await act(events);",
  ),
  broken(
    "an outbox's cursor may be past the end of a log that was put back",
    "core/reactor.ts",
    "Math.min(await this.#storedCursor(), replica.position)",
    "Math.max(await this.#storedCursor(), 0)",
  ),
  broken(
    "messages overtake those that wait for room in the log",
    "edge/device-twin.ts",
    "if (this.#waiting.count > 0 || !this.#write(command, payload, done)) {",
    "if (!this.#write(command, payload, done)) {",
  ),
  broken(
    "after a rollback was put right the wanted state is not compared again",
    "cloud/cloud.ts",
    "log.onReset(() => this.#controller?.nodeAppeared(node));",
    "",
  ),
  broken(
    "what comes back of the cloud's own lost events is not compared again",
    "cloud/cloud.ts",
    "if (changesPast(events, log)) this.#controller",
    "if (changesPast(events, log) && log.position < 0) this.#controller",
  ),
  broken(
    "what fills a hole of the cloud's own live incarnation is not compared again",
    "cloud/cloud.ts",
    "const isReturned = last.origin !== log.incarnation || last.seq < top;",
    "const isReturned = last.origin !== log.incarnation && top >= 0;",
  ),
  broken(
    "a model that changes is not told to the devices that use it",
    "cloud/device-controller.ts",
    "this.#mark(node, key, ...devices);",
    "this.#mark(node, key, ...[...devices].slice(1));",
  ),
  broken(
    "what a device no longer wants is not withdrawn",
    "cloud/device-controller-plan.ts",
    "if (value !== null && !wanted.desired.has(property)) add(property, null);",
    'if (value !== null && !wanted.desired.has(property) && key === "") add(property, null);',
  ),
  broken(
    "the API answers before the write is durable",
    "core/log.ts",
    "if (error === undefined) resolve(ids);\n        else reject(error);\n      });",
    "if (error !== undefined) reject(error);\n      });\n      resolve(ids);",
  ),
];

const conflicts: readonly Mutant[] = [
  broken(
    "a conflict that was recorded before a crash is recorded again",
    "cloud/conflict-reactor.ts",
    "if (found === undefined || (await records.has(found))) continue;",
    "if (found === undefined) continue;",
  ),
  broken(
    "a conflict with an event of the cloud that came later is not recorded",
    "cloud/conflict-reactor.ts",
    "if (found === undefined || (await records.has(found))) continue;",
    'if (found === undefined || sideOf(event.origin) === "cloud" || (await records.has(found))) continue;',
  ),
  {
    name: "what a checkpoint says was wanted counts as wanted before all that is looked at again",
    tests: ["cloud/conflict-reactor.test"],
    edits: [
      {
        file: "cloud/conflict-reactor.ts",
        find: "return position > 0 ? position : ((await this.#replica.eventAt(origin, seq))?.position ?? 0);",
        replace: "return position;",
      },
    ],
  },
  {
    name: "a conflict is recorded again when its record is missing too",
    tests: ["cloud/conflict-reactor.test"],
    edits: [
      {
        file: "cloud/conflict-records.ts",
        find: "if (looked.gap !== undefined && this.#mayFollow(looked.gap.before, contenders)) return true;",
        replace: "",
      },
    ],
  },
  broken(
    "a node does not read the policy by which a conflict is decided",
    "cloud/device-controller-plan.ts",
    "...(annotations && { annotations: without(annotations, lastApplied) }),",
    '...(annotations && { annotations: without(annotations, lastApplied, "tidemark.io/conflict-policy") }),',
  ),
  broken(
    "a conflict's winner is not read off the node's log, but off what was declared",
    "cloud/devices.ts",
    "there ? log.registers : this.#cloud.cluster.registers",
    "there && declared === undefined ? log.registers : this.#cloud.cluster.registers",
  ),
];

const policies: readonly Mutant[] = [
  broken(
    "a policy for one property counts for all",
    "protocol/devices/conflict-policy.ts",
    "const policy = byProperty.get(property) ?? others;",
    "const policy = others ?? byProperty.get(property);",
  ),
  broken(
    "what a model says of conflicts goes before what the device says",
    "protocol/devices/declaration.ts",
    "[...readPolicies(object), ...readPolicies(modelObject)]",
    "[...readPolicies(modelObject), ...readPolicies(object)]",
  ),
];

const versions: readonly Mutant[] = [
  broken(
    "a snapshot counts that was made by other rules",
    "core/log-open.ts",
    "return !rules.isOther || isBeginning(name, id, removed);",
    "return !rules.isOther || !isBeginning(name, id, removed);",
  ),
  broken(
    "an outbox does not go back to what an older version skipped",
    "core/rules.ts",
    ">= before) committer.put(name, pack(before - 1));",
    "< 0) committer.put(name, pack(before - 1));",
  ),
  broken(
    "the history index stays as an older version made it",
    "core/rules.ts",
    "for (const prefix of [...historyPrefixes(log), mergedName(log)])",
    "for (const prefix of [mergedName(log)])",
  ),
  broken(
    "a snapshot of another version of the fold counts",
    "core/projection.ts",
    "version !== projection.version ||",
    "version === undefined ||",
  ),
  broken(
    "an older version goes on where a snapshot hides what is newer",
    "core/rules.ts",
    "if (format > segmentVersion)",
    "if (format > segmentVersion + 1)",
  ),
];

const forgetting: readonly Mutant[] = [
  broken(
    "what is young is forgotten too",
    "core/compactor.ts",
    "if (ageOf(arrived, nowMs) < demand.ages[event.class]) return false;",
    "if (ageOf(arrived, nowMs) < demand.ages[event.class] / 2) return false;",
  ),
  broken(
    "what nothing has replaced is forgotten",
    "core/compaction.ts",
    "if (event.seq < (this.#last.get(facetOf(event)) ?? 0)) return true;",
    "if (event.seq <= (this.#last.get(facetOf(event)) ?? 0)) return true;",
  ),
  broken(
    "what one type has said is replaced by another",
    "core/compaction.ts",
    "return JSON.stringify([origin, key, lifeOf(event), slot, type, event.class, deletes]);",
    "return JSON.stringify([origin, key, lifeOf(event), type, event.class, deletes]);",
  ),
  broken(
    "what the other side has not got is forgotten",
    "core/compactor.ts",
    "return seq <= end;",
    "return seq <= end + 50;",
  ),
  broken(
    "a log does not say from where on its past is whole",
    "core/compactor.ts",
    "log.histories.get(origin)?.noteCover(lo, end, cover.wholeFrom);",
    "void [lo, end, origin];",
  ),
  broken(
    "the history index keeps what was appended again under another name",
    "core/log-move.ts",
    "await cutHistory(committer, id, moving.origin, moving.after);",
    "void cutHistory;",
  ),
];

const lost: readonly Mutant[] = [
  {
    name: "a cluster log that has lost its end goes on as if it had not",
    edits: [
      {
        file: "cloud/lost-tail.ts",
        find: "if (isOurs && closedAt === undefined && seq >",
        replace: "if (isOurs && closedAt !== undefined && seq >",
      },
    ],
    tests: ["cloud/lost-tail.test"],
  },
  {
    name: "versions are counted from 0 again where what they are counted from is lost",
    edits: [
      {
        file: "cloud/version-base.ts",
        find: "const base = isNew ? 0 :",
        replace: "const base = isNew || held === undefined ? 0 :",
      },
    ],
    tests: ["cloud/version-base.test"],
  },
  {
    name: "the past does not know which lives were over for good",
    edits: [
      {
        file: "core/past.ts",
        find: "for (const event of await endedWithin(log, cut, gone)) registersProjection.apply(state, event);",
        replace: "void endedWithin;",
      },
    ],
    tests: ["core/past.test", "core/log-past.test"],
  },
];

export const stateMutants: readonly Mutant[] = [
  ...folds,
  ...twins,
  ...conflicts,
  ...policies,
  ...versions,
  ...forgetting,
  ...lost,
];
