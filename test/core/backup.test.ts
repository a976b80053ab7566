import * as fc from "fast-check";
import t from "tap";
import {
  type BackupManifest,
  type BackupPart,
  type BackupRow,
  backupVersion,
  readBackup,
  writeBackup,
} from "../../core/backup.ts";
import { hasCode } from "../../core/errors.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";

const manifest: BackupManifest = {
  side: "node",
  node: "edge-node-1",
  product: "0.1.0",
  time: 1_800_000_000_000,
};

async function bytesOf(
  files: readonly [string, Uint8Array][],
  rows: readonly BackupRow[][],
): Promise<Buffer> {
  async function* stream(): AsyncGenerator<readonly BackupRow[]> {
    yield* rows;
  }
  const named = files.map(([path, bytes]) => ({ path, bytes }));
  const chunks: Uint8Array[] = [];
  const contents = { manifest, files: named, rows: stream() };
  for await (const chunk of writeBackup(contents, nodeDigest)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function partsOf(bytes: Uint8Array, chunk = 7): Promise<BackupPart[]> {
  const parts: BackupPart[] = [];
  for await (const part of readBackup(inChunks(bytes, chunk), nodeDigest)) parts.push(part);
  return parts;
}

const aRow = fc.tuple(fc.string(), fc.uint8Array({ maxLength: 40 }));

t.test("what was written is read, whatever chunks it comes in", async (t) => {
  const files = fc.array(fc.tuple(fc.string(), fc.uint8Array({ maxLength: 50 })), { maxLength: 3 });
  const rows = fc.array(fc.array(aRow, { minLength: 1, maxLength: 5 }), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(files, rows, fc.integer({ min: 1, max: 200 }), async (files, rows, chunk) => {
      const parts = await partsOf(await bytesOf(files, rows), chunk);
      const expected = [
        { kind: "manifest", ...manifest },
        ...files.map(([path, bytes]) => ({ kind: "file", path, bytes })),
        ...rows.map((some) => ({ kind: "rows", rows: some })),
        { kind: "end", files: files.length, rows: rows.flat().length },
      ];
      const comparable = (value: unknown): unknown =>
        JSON.parse(JSON.stringify(value, (_, field) => (field instanceof Uint8Array ? [...field] : field)));
      t.same(comparable(parts), comparable(expected));
      if (!t.passing()) throw new Error("not what was written");
    }),
  );
});

const sample: [string, Uint8Array][] = [["pki/ca.key", Uint8Array.of(1, 2, 3)]];
const sampleRows: BackupRow[][] = [
  [["a", Uint8Array.of(1)]],
  [["b", Uint8Array.of(2)]],
  [["c", Uint8Array.of(3)]],
];

t.test("cut short anywhere, it says so and never that it has ended", async (t) => {
  const whole = await bytesOf(sample, sampleRows);
  for (let length = 17; length < whole.length; length += 1) {
    await t.rejects(partsOf(whole.subarray(0, length)), { code: "BACKUP_INVALID", message: /cut short/ });
  }
  for (let length = 0; length < 17; length += 1) {
    await t.rejects(partsOf(whole.subarray(0, length)), { code: "BACKUP_INVALID", message: /no backup/ });
  }
});

t.test("any flipped bit is found", async (t) => {
  const whole = await bytesOf(sample, sampleRows);
  for (let bit = 0; bit < whole.length * 8; bit += 1) {
    const bytes = Uint8Array.from(whole);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const error: unknown = await partsOf(bytes, 64).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    const isFound = hasCode(error, "BACKUP_INVALID") || (bit >> 3 === 16 && hasCode(error, "FORMAT_NEWER"));
    t.ok(isFound, `bit ${bit}: ${String(error)}`);
  }
});

t.test("a block that is missing, there twice, or in another's place is found", async (t) => {
  const whole = await bytesOf(sample, sampleRows);
  const blocks: Buffer[] = [];
  for (let at = 17; at < whole.length;) {
    const end = at + 5 + whole.readUInt32BE(at) + 4;
    blocks.push(whole.subarray(at, end));
    at = end;
  }
  t.equal(blocks.length, 6, "manifest, file, three of rows, end");
  const begin = whole.subarray(0, 17);
  for (const order of [
    [0, 1, 2, 4, 5],
    [0, 1, 2, 2, 3, 4, 5],
    [0, 1, 3, 2, 4, 5],
    [1, 0, 2, 3, 4, 5],
    [0, 1, 2, 3, 4, 5, 5],
  ]) {
    const made = Buffer.concat([begin, ...order.map((index) => blocks[index] as Buffer)]);
    await t.rejects(partsOf(made), { code: "BACKUP_INVALID", message: /damaged/ }, order.join());
  }
  t.same((await partsOf(Buffer.concat([begin, ...blocks]))).at(-1), { kind: "end", files: 1, rows: 3 });
});

t.test("of a newer version, it says which", async (t) => {
  const whole = await bytesOf(sample, sampleRows);
  whole[16] = backupVersion + 1;
  await t.rejects(partsOf(whole), { code: "FORMAT_NEWER", message: /format 2.*knows 1/ });
});
