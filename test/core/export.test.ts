/** Exports: a slice of a log as one stream of bytes, whole or not at all. */
import * as fc from "fast-check";
import t from "tap";
import { encodeCover, keptOf } from "../../core/cover.ts";
import { TidemarkError } from "../../core/errors.ts";
import type { Draft, EventId } from "../../core/event.ts";
import { exportMagic, preambleLength } from "../../core/export-format.ts";
import { stateBefore } from "../../core/log-start.ts";
import { Merging } from "../../core/merging.ts";
import { redactRegisters, redactedBody } from "../../core/redaction.ts";
import { registersProjection } from "../../core/registers.ts";
import { zeroHash } from "../../core/segment.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { exported, readAll } from "./exports.ts";
import { Site, World, applied, hashOf, meet, node1, reported, said } from "./log-site.ts";

/** A cloud and a node that have written to and fro, and met. */
async function pair(values: number): Promise<{ readonly cloud: Site; readonly node: Site }> {
  const world = new World();
  const [cloud, node] = [await Site.open(world, "cloud"), await Site.open(world, "node")];
  const [life] = (await cloud.append(applied())) as [EventId];
  for (let value = 0; value < values; value += 1) {
    await (value % 3 === 0 ? cloud.append(said(`wanted ${value}`)) : node.append(reported(`${value}`, life)));
    if (value % 4 === 3) await meet(cloud, node);
  }
  await meet(cloud, node);
  return { cloud, node };
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: unknown) => (error instanceof TidemarkError ? error.code : String(error)),
  );
}

t.test(
  "the state before a slice has the time of its own side, whatever the other's clock said",
  async (t) => {
    const { cloud, node } = await pair(8);
    const [own] = (await cloud.events()).filter(({ origin }) => origin === cloud.log.incarnation).slice(-1);
    node.world.wallMs += 3_600_000;
    await node.append(said("ahead"));
    await meet(cloud, node);
    const { time, position } = await stateBefore(cloud.log, cloud.log.position + 1);
    t.equal(position, cloud.log.position);
    t.equal(time, own?.time);
  },
);

t.test(
  "any slice, read in any pieces, holds the segments as they are stored, and what was held",
  async (t) => {
    const { cloud, node } = await pair(24);
    const lengths = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(cloud, node),
        fc.integer({ min: 1, max: 25 }),
        fc.integer({ min: 0, max: 25 }),
        lengths,
        async ({ log, store }, from, length, lengths) => {
          const to = Math.min(from + length, log.position);
          const { header, segments, end } = await readAll(await exported(log, { from, to }), lengths);
          t.ok(header.from <= from && end.position >= to, "whole segments hold what was asked for");
          const stored = (await store.read(log.id, header.from, 1e9)).filter(
            ({ position }) => position <= to,
          );
          t.same(
            segments.map(({ position, segment }) => [position, Buffer.from(segment.bytes)]),
            stored.map(({ position, segment }) => [position, Buffer.from(segment ?? [])]),
          );
          t.equal(end.events, end.position - header.from + 1);
          t.same(end.problems, []);
          if (to === log.position) {
            const held = [...log.histories.values()].map(
              ({ origin, end, hash }) => [origin, [end, Buffer.from(hash)]] as const,
            );
            const said = Object.entries(end.after).map(
              ([origin, [seq, hash]]) => [origin, [seq, Buffer.from(hash)]] as const,
            );
            t.same(Object.fromEntries(said), Object.fromEntries(held), "vector and hashes after it");
          }
        },
      ),
      { numRuns: 40 },
    );
  },
);

t.test("half an export is told from a whole one, wherever it was cut", async (t) => {
  const { node } = await pair(6);
  const bytes = await exported(node.log, { from: 4 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: bytes.length - 1 }), async (length) => {
      t.equal(await codeOf(readAll(bytes.slice(0, length), [64])), "EXPORT_INCOMPLETE");
    }),
  );
});

t.test("a flipped bit is damage, wherever it is, and never a newer format", async (t) => {
  const { node } = await pair(6);
  const bytes = await exported(node.log, { from: 4 });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: bytes.length - 1 }),
      fc.integer({ min: 0, max: 7 }),
      async (at, bit) => {
        const bad = bytes.slice();
        bad[at] = (bad[at] ?? 0) ^ (1 << bit);
        const code = await codeOf(readAll(bad));
        // A length that grew asks for bytes that never come.
        const expected =
          at < exportMagic.length ? ["EXPORT_UNKNOWN"] : ["EXPORT_DAMAGED", "EXPORT_INCOMPLETE"];
        t.ok(expected.includes(code), `bit ${bit} of byte ${at}: ${code}`);
      },
    ),
  );
});

t.test("what else it may be is told apart", async (t) => {
  const { node } = await pair(6);
  const bytes = await exported(node.log);
  const newer = bytes.slice();
  newer[exportMagic.length] = 2;
  const view = new DataView(newer.buffer);
  view.setUint32(preambleLength - 4, nodeDigest.crc32(newer.subarray(0, preambleLength - 4)));
  t.equal(await codeOf(readAll(newer)), "FORMAT_NEWER");
  t.equal(await codeOf(readAll(Buffer.from("apiVersion: v1\n"))), "EXPORT_UNKNOWN");
  t.equal(
    await codeOf(readAll(Buffer.concat([bytes, bytes]))),
    "EXPORT_DAMAGED",
    "something follows its end",
  );
  const [begin, end] = [Math.floor(bytes.length / 3), Math.floor(bytes.length / 2)];
  const without = Buffer.concat([bytes.subarray(0, begin), bytes.subarray(end)]);
  t.equal(await codeOf(readAll(without)), "EXPORT_DAMAGED", "a piece is missing from its middle");
  t.equal(await codeOf(exported(node.log, { from: 1000 })), "NOT_FOUND");
});

t.test("a segment that is left out between two others is missed at the end", async (t) => {
  const { node } = await pair(6);
  const bytes = await exported(node.log);
  const { segments } = await readAll(bytes);
  const [, second] = segments;
  const at = Buffer.from(bytes).indexOf(Buffer.from(second?.segment.bytes ?? []));
  const [head, tail] = [5 + 16, 4];
  const length = (second?.segment.bytes.length ?? 0) + tail;
  const without = Buffer.concat([bytes.subarray(0, at - head), bytes.subarray(at + length)]);
  t.equal(await codeOf(readAll(without)), "EXPORT_DAMAGED");
});

t.test("a slice whose state was taken out is no whole export", async (t) => {
  const { node } = await pair(6);
  const bytes = await exported(node.log, { from: 4 });
  const view = new DataView(bytes.buffer);
  const lengthAt = (at: number): number => 5 + view.getUint32(at + 1) + 4;
  const state = preambleLength + lengthAt(preambleLength);
  t.equal(bytes[state], 2);
  const without = Buffer.concat([bytes.subarray(0, state), bytes.subarray(state + lengthAt(state))]);
  t.equal(await codeOf(readAll(without)), "EXPORT_DAMAGED");
});

t.test("merging a log's segments changes no byte of its export", async (t) => {
  const { cloud, node } = await pair(24);
  for (const { log, store, committer, world } of [cloud, node]) {
    const before = await exported(log, { from: 5 });
    const merging = new Merging({ committer, environment: world.environment, blockBytes: 500, idleMs: 1 });
    merging.add(log);
    await world.run(merging.mergeAll());
    await world.run(merging.close());
    t.ok((await store.shape(log.id)).blocks > 0, "there are blocks");
    t.same(await exported(log, { from: 5 }), before);
  }
});

t.test("damage is said at the end, though a checkpoint hides it when the log is opened", async (t) => {
  for (const harm of ["damage", "lose", "forget"] as const) {
    const node = await Site.open(new World(), "node");
    for (let value = 1; value <= 5; value += 1) await node.append(said(`${value}`), said(`and ${value}`));
    await node.stop();
    node.disk[harm](node1, 5);
    const log = await node.open();
    t.same(log.problems, [], "nobody looked before the checkpoint");
    const { segments, end } = await readAll(await exported(log));
    t.equal(segments.length, 4, `${harm}: everything else is there`);
    t.match(end.problems, [{ from: 5, to: 6 }]);
    t.equal(end.position, 10);
    const later = await readAll(await exported(log, { from: 7 }));
    t.match(later.end.problems, [{ from: 5, to: 6 }], "a slice after it begins with a state that lacks it");
  }
});

const hidden = "hunter2";

function secret(name: string, life?: EventId): Draft {
  const metadata = {
    name,
    annotations: {
      "kubectl.kubernetes.io/last-applied-configuration": `{"data":"${hidden}"}`,
      team: "press",
    },
  };
  const body = { kind: "Secret", metadata, data: { password: hidden }, stringData: { pin: hidden } };
  return { ...applied(body, life, `secrets/default/${name}`) };
}

t.test("values of secrets leave in no export: not in its events, nor in the state before them", async (t) => {
  const world = new World();
  const cloud = await Site.open(world, "cloud");
  const [life] = (await cloud.append(secret("db"))) as [EventId];
  await cloud.append(said("between"));
  await cloud.append(secret("db", life));
  await cloud.append({ ...secret("db", life), type: "resource.deleted", deletes: true });
  for (let from = 1; from <= 4; from += 1) {
    const bytes = await exported(cloud.log, { from });
    t.notOk(Buffer.from(bytes).includes(hidden), `from ${from}`);
    t.ok(Buffer.from(bytes).includes("password") || from === 4, "their names stay");
    const { header, end } = await readAll(bytes);
    t.ok(header.redacts);
    t.equal(end.redacted, [3, 2, 2, 1][from - 1]);
  }
  t.ok(Buffer.from(await exported(cloud.log, { redacts: false })).includes(hidden));
});

t.test("a cover is exported as it is, without the secrets in what it keeps", async (t) => {
  const world = new World();
  const [cloud, node] = [await Site.open(world, "cloud"), await Site.open(world, "node")];
  await cloud.append(said("forgotten"));
  await cloud.append(applied(), secret("db"));
  const { incarnation: origin } = cloud.log;
  const { hash } = cloud.log.histories.get(origin) as { hash: Uint8Array };
  const kept = (await cloud.log.readOrigin(origin, 2, 1e9)).flatMap((segment) => keptOf(segment, 2));
  const draft = {
    origin,
    lo: 1,
    to: 3,
    reason: "compaction",
    hashBefore: zeroHash,
    hashAfter: hash,
    kept,
  } as const;
  await new Promise<void>((resolve, reject) => {
    node.log.receive(encodeCover(draft, nodeDigest), (error) =>
      error === undefined ? resolve() : reject(error),
    );
    void world.pass(20);
  });
  const bytes = await exported(node.log);
  t.notOk(Buffer.from(bytes).includes(hidden));
  const { segments, end } = await readAll(bytes);
  t.match(end, { events: 2, redacted: 1, position: 3, problems: [] });
  t.match(segments, [
    { position: 1, isRedacted: true, segment: { count: 3, cover: { reason: "compaction" } } },
  ]);
  const plain = await readAll(await exported(node.log, { redacts: false }));
  t.same(plain.segments[0]?.segment.bytes, encodeCover(draft, nodeDigest).bytes);
});

t.test("the state without secrets is that of the events without secrets", async (t) => {
  const world = new World();
  const cloud = await Site.open(world, "cloud");
  const [life] = (await cloud.append(secret("db"))) as [EventId];
  await cloud.append(applied({ kind: "Device" }), secret("other"), secret("db", life));
  const state = registersProjection.initial();
  const without = registersProjection.initial();
  for (const event of await cloud.events()) {
    registersProjection.apply(state, event);
    const body = redactedBody(event);
    registersProjection.apply(without, body === undefined ? event : { ...event, body });
  }
  const before = hashOf(state);
  redactRegisters(state);
  t.equal(hashOf(state), hashOf(without));
  t.not(hashOf(state), before);
});
