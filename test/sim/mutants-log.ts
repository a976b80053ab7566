/** Breakages of the log and of the link: what is kept, sent, and put right after a loss. */
import { type Mutant, broken } from "./mutant.ts";

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
    "checkpoint(this.#options, this.#state, this.#position, kept)",
    "checkpoint(this.#options, this.#state, this.#position + 1, kept)",
  ),
  broken(
    "a replay skips the first record after the snapshot",
    "core/log-open.ts",
    "from: start.position + 1,",
    "from: start.position + 2,",
  ),
  broken(
    "what is merged is taken out before its block is durable",
    "core/committer.ts",
    "this.#blocks.push(block);",
    `for (const { position } of block.members) this.remove({ log: block.log, position });
    const put = (): void => { this.#blocks.push(block); this.#schedule(); };
    void this.flush().then(put, () => undefined);`,
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
        find: "cover === undefined ? lo === receipt.have + 1 :",
        replace: "cover === undefined ? lo <= receipt.have + 1 :",
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
        find: "cover === undefined ? lo === receipt.have + 1 :",
        replace: "cover === undefined ? lo >= receipt.have + 1 :",
      },
      {
        file: "core/history.ts",
        find: "const isNext = segment.lo === this.stagedEnd + 1;",
        replace: "const isNext = true;",
      },
    ],
  },
  broken(
    "a segment of the peer is acked, and not stored",
    "core/log.ts",
    'const isNew = place === "next";',
    'const isNew = place === "next" && lo % 50 !== 7;',
  ),
  broken(
    "a socket is handed more than it may hold",
    "protocol/link/session.ts",
    "while (session.buffered <= unsentForLogBytes) {",
    "while (session.buffered <= 4 * unsentForLogBytes) {",
  ),
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
  {
    name: "a node that was rolled back goes on under its incarnation",
    edits: [
      {
        file: "edge/edge-hub.ts",
        find: 'if (verdict.kind === "agrees") {',
        replace: "if (verdict.kind.length > 0) {",
      },
      {
        file: "protocol/link/session.ts",
        find: "if (isPart || isHealing) return;",
        replace: "if (isPart || isHealing || incarnation.length > 0) return;",
      },
    ],
  },
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
    "what a rolled-back side had appended is taken out, and not all of it appended again",
    "core/log-move.ts",
    "readableEvents(record, environment.digest) ?? []) {\n    const id",
    "(readableEvents(record, environment.digest) ?? []).slice(1)) {\n    const id",
  ),
  broken(
    "what is appended again does not name what it was",
    "core/log-move.ts",
    "body, deletes, cause: eventId(event.origin, event.seq) };",
    "body, deletes };",
  ),
  {
    name: "what was under a life that was renamed in a move stays under the old one",
    edits: [
      { file: "core/log-move.ts", find: "(renamed.get(event.life) ?? event.life)", replace: "event.life" },
    ],
    // The cloud compares, and says all of it again: only the log shows it.
    tests: ["core/log-reincarnate.test"],
  },
  broken(
    "a move that a crash cut short is forgotten",
    "core/log.ts",
    "if (state.identity.moving !== undefined) await log.#finishMove();",
    "",
  ),
  {
    name: "a snapshot that holds what a move takes out is kept",
    edits: [
      {
        file: "core/log-move.ts",
        find: "await dropCheckpoints(options);",
        replace: "await committer.flush();",
      },
    ],
    tests: ["core/log-reincarnate.test", "core/log-crash.test"],
  },
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
    "(isUnprovable || isOutranked(log, hello));",
    "(isUnprovable || (isOutranked(log, hello) && end < 0));",
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
    "core/log-reader.ts",
    "    this.#onDamage(history, found);\n",
    "    void this.#onDamage;\n",
  ),
  broken(
    "a hole that was filled does not join what lies past it",
    "core/log-segments.ts",
    "if (history.beyond.length === 0 || history.hole !== undefined) return undefined;",
    "if (history.beyond.length >= 0 || history.hole !== undefined) return undefined;",
  ),
  {
    name: "what can't be read past a hole that was filled counts as held",
    edits: [{ file: "core/replay.ts", find: "history.lose(lo - 1);", replace: "void lo;" }],
    tests: ["core/log-damage.test"],
  },
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
        find: "return digest.crc32(bytes) ^ digest.crc32(keyBytes(key));",
        replace: "return digest.crc32(keyBytes(key)) ^ (bytes.length & 0);",
      },
    ],
  },
  broken(
    "what the cloud was known to have is appended again, where it has forgotten the commits",
    "protocol/link/comparison.ts",
    "Math.max(common, Math.min(acked, end, claim.end))",
    "Math.max(common, Math.min(acked, 0))",
  ),
  broken(
    "what the other side had is believed of a tail that the disk has lost since",
    "core/log-open.ts",
    "await withdrawAcks(committer, id, histories);",
    "void withdrawAcks;",
  ),
];

export const logMutants: readonly Mutant[] = [...durability, ...replication, ...losses];
