/**
 * Deliberate breakages, each of which the simulator must notice: the rules that hold the log together, taken away one
 * at a time. `mutants.ts` applies them, to a copy.
 */
export interface Edit {
  readonly file: string;
  /** Text that is in the file once. */
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  /** The rule that is broken. */
  readonly name: string;
  /** More than one where a second guard does the same. */
  readonly edits: readonly Edit[];
}

/** A breakage of one place. */
function broken(name: string, file: string, find: string, replace: string): Mutant {
  return { name, edits: [{ file, find, replace }] };
}

const durability: readonly Mutant[] = [
  broken(
    "an append is acknowledged before the sync",
    "core/log.ts",
    "if (done !== undefined) group.dones.push(done);",
    "if (done !== undefined) this.#options.environment.timers.soon(done);",
  ),
  broken(
    "a delivery is acked to the peer before the sync",
    "protocol/link/endpoint.ts",
    "for (const segment of segments) log.receive(segment, done);",
    "for (const segment of segments) { log.receive(segment, () => {}); done(); }",
  ),
  broken(
    "a snapshot says it holds more than it does",
    "core/log.ts",
    "checkpoint(this.#options, this.#state, this.#position);",
    "checkpoint(this.#options, this.#state, this.#position + 1);",
  ),
  broken(
    "a replay skips the first record after the snapshot",
    "core/log-open.ts",
    "from: start.position + 1,",
    "from: start.position + 2,",
  ),
  {
    name: "a segment that is on its way to the disk counts as durable, in a hello and when it comes again",
    edits: [
      {
        file: "core/log.ts",
        find: "if (same === undefined) done();\n      else same.dones.push(done);",
        replace: "if (same === undefined || same !== undefined) done();",
      },
      {
        file: "cloud/hub.ts",
        find: "    await log.settled();\n    const compared",
        replace: "    const compared",
      },
      {
        file: "cloud/hub.ts",
        find: "    await log.settled();\n    const statement",
        replace: "    const statement",
      },
    ],
  },
  broken(
    "a failed commit is told as if it had been done",
    "core/log.ts",
    "for (const done of dones) done(error);",
    "for (const done of dones) done();",
  ),
];

const replication: readonly Mutant[] = [
  {
    name: "a segment that comes twice is stored twice",
    edits: [
      {
        file: "protocol/link/inbox.ts",
        find: "if (to <= receipt.have) {",
        replace: "if (to < 0) {",
      },
      {
        file: "protocol/link/inbox.ts",
        find: "if (lo !== receipt.have + 1) throw gap(origin, receipt.have, lo);",
        replace: "if (lo > receipt.have + 1) throw gap(origin, receipt.have, lo);",
      },
      {
        file: "core/history.ts",
        find: 'if (to <= this.stagedEnd) return "held";\n    const isNext = segment.lo === this.stagedEnd + 1;',
        replace: "const isNext = segment.lo <= this.stagedEnd + 1;",
      },
    ],
  },
  broken(
    "a sender goes on one event further than the peer has got",
    "protocol/link/outbox.ts",
    "flows.push({ origin, next: from + 1,",
    "flows.push({ origin, next: from + 2,",
  ),
  {
    name: "a gap is not noticed",
    edits: [
      { file: "protocol/link/outbox.ts", find: "if (segment.lo === flow.next &&", replace: "if (" },
      {
        file: "protocol/link/inbox.ts",
        find: "if (lo !== receipt.have + 1) throw",
        replace: "if (lo < receipt.have + 1) throw",
      },
      {
        file: "core/history.ts",
        find: "const isNext = segment.lo === this.stagedEnd + 1;",
        replace: "const isNext = true;",
      },
    ],
  },
  broken(
    "a large segment is resumed at the wrong offset",
    "protocol/link/outbox.ts",
    "=== partial.crc ? partial.received : 0;",
    "=== partial.crc ? partial.received - 1 : 0;",
  ),
  {
    name: "a large segment is resumed at the wrong offset, and nobody looks",
    edits: [
      {
        file: "protocol/link/outbox.ts",
        find: "=== partial.crc ? partial.received : 0;",
        replace: "=== partial.crc ? Math.max(1, partial.received - 1) : 0;",
      },
      {
        file: "protocol/link/reassembly.ts",
        find: "if (part.offset !== this.#received) {",
        replace: "if (part.offset < 0) {",
      },
    ],
  },
  broken(
    "what is durable is not released, so credit runs out",
    "protocol/link/inbox.ts",
    "this.#released += entry.bytes;",
    "this.#released += 0 * entry.bytes;",
  ),
  broken(
    "older incarnations are sent in any order",
    "protocol/link/outbox.ts",
    "return flows.sort((a, b) => (a.order === b.order ? 0 : a.order - b.order));",
    "return flows.sort((a, b) => (a.order === b.order ? 0 : b.order - a.order));",
  ),
  broken(
    "what the peer had acked before its disk was put back still counts",
    "cloud/hub.ts",
    "    acked.clear();\n",
    "",
  ),
  broken(
    "two living holders of one log are not told apart from a restart",
    "cloud/hub.ts",
    'if (decision === "forked") {',
    'if (decision === "forked" && link.arrival < 0) {',
  ),
];

const losses: readonly Mutant[] = [
  broken(
    "a node that was rolled back goes on under its incarnation",
    "edge/edge-hub.ts",
    'if (verdict.kind === "agrees") return { kind: "accept" };',
    'if (verdict.kind === "agrees" || verdict.kind === "rolledBack") return { kind: "accept" };',
  ),
  broken(
    "a cloud that was rolled back does not compare",
    "cloud/hub.ts",
    'if (verdict.kind === "rolledBack") {',
    'if (verdict.kind === "rolledBack" && link.arrival < 0) {',
  ),
  broken(
    "where two histories part is taken one commit too late",
    "protocol/link/comparison.ts",
    'if (partsHere) return { kind: "rolledBack", common };',
    'if (partsHere) return { kind: "rolledBack", common: next ?? common };',
  ),
  broken(
    "a hole in a closed incarnation is not healed",
    "protocol/link/statement.ts",
    "const isHealing = claim.closedAt === undefined || claim.end > end;",
    "const isHealing = claim.closedAt === undefined;",
  ),
  broken(
    "what was moved to the new incarnation stays in the old one",
    "core/log-move.ts",
    "committer.remove(record);",
    "committer.remove({ log: record.log, position: -1 });",
  ),
  broken(
    "what is appended again does not name what it was",
    "core/log-move.ts",
    "body, deletes, cause: eventId(event.origin, event.seq) };",
    "body, deletes };",
  ),
  broken(
    "what was under a life that was renamed in a move stays under the old one",
    "core/log-move.ts",
    "(renamed.get(event.life) ?? event.life)",
    "event.life",
  ),
  broken(
    "a move that a crash cut short is forgotten",
    "core/log.ts",
    "if (state.identity.moving !== undefined) await log.#finishMove();",
    "",
  ),
  broken(
    "a snapshot that holds what a move takes out is kept",
    "core/log-move.ts",
    "await dropCheckpoints(options);",
    "await committer.flush();",
  ),
  broken(
    "a cloud takes back what it can't prove to have written",
    "core/log-segments.ts",
    "if (macKey !== undefined && isMine(segment, hash, environment.digest, macKey)) return undefined;",
    "if (macKey !== undefined && isMine(segment, hash, environment.digest, macKey) !== undefined) return undefined;",
  ),
  broken(
    "a cloud that lost its key does not end the older lives",
    "cloud/hub.ts",
    "for (const origin of link.foreign) await appendReset(log, origin);",
    "for (const origin of link.foreign) if (origin === undefined) await appendReset(log, origin);",
  ),
  broken(
    "a cloud goes on with a generation that is older than one it forgot",
    "cloud/hub.ts",
    'const outranked = compared.kind === "agrees" && isOutranked(log, hello);',
    'const outranked = compared.kind !== "agrees" && isOutranked(log, hello);',
  ),
  broken(
    "an incarnation is closed one event too early",
    "cloud/origins.ts",
    "end: previous?.closedAt ?? previous?.end ?? 0,",
    "end: Math.max(0, (previous?.closedAt ?? previous?.end ?? 0) - 1),",
  ),
  broken(
    "an object that a rolled-back cloud made twice goes on living twice",
    "cloud/device-controller-plan.ts",
    "born && !over && id !== current)",
    "born && over && id !== current)",
  ),
  broken(
    "damage that a snapshot hid is not looked at again",
    "core/log.ts",
    'if (this.#status !== "open" || this.histories.get(damaged.origin) !== damaged) return;',
    "if (damaged !== undefined) return;",
  ),
  broken(
    "a hole that was filled does not join what lies past it",
    "core/log-segments.ts",
    "if (history.beyond.length === 0 || history.hole !== undefined) return undefined;",
    "if (history.beyond.length >= 0 || history.hole !== undefined) return undefined;",
  ),
  {
    name: "bytes that a disk damaged are taken for good",
    edits: [
      {
        file: "core/segment.ts",
        find: "if (view.getUint32(crcAt) !== digest.crc32(bytes.subarray(0, crcAt))) {",
        replace: "if (view.getUint32(crcAt) === 0) {",
      },
      {
        file: "core/store/record.ts",
        find: "(digest.crc32(bytes) ^ digest.crc32(text.encode(key))) >>> 0",
        replace: "(digest.crc32(text.encode(key)) ^ (bytes.length & 0)) >>> 0",
      },
    ],
  },
];

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
    "this.#clock.follow(last.time);\n      this.#noteSeen(last);",
    "this.#clock.follow(last.time);",
  ),
  broken(
    "a group stays open though the peer's events became visible",
    "core/log.ts",
    "if (this.#open?.seen === seen) return this.#open;",
    "if (this.#open !== undefined) return this.#open;",
  ),
  broken(
    "what is appended again says it had seen what it had not",
    "core/log.ts",
    "let group = this.#groupOf(again?.seen ?? this.#seen);",
    "let group = this.#groupOf(this.#seen);",
  ),
  broken(
    "a correction of the clock that nobody has appended is lost with the process",
    "core/log.ts",
    "checkpoint(this.#options, this.#state, this.#position);",
    "this.#state.time = this.#clock.now();\n    checkpoint(this.#options, this.#state, this.#position);",
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

export const mutants: readonly Mutant[] = [...durability, ...replication, ...losses, ...folds, ...twins];
