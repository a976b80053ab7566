import * as fc from "fast-check";
import t, { type Test } from "tap";
import { pack, unpack } from "../../core/codec.ts";
import { type ErrorCode, TidemarkError } from "../../core/errors.ts";
import { maxSegmentBytes } from "../../core/segment.ts";
import { plainFrame } from "../../protocol/link/batch.ts";
import { type Frame, decodeFrame, encodeFrame } from "../../protocol/link/frames.ts";
import { maxFrameBytes } from "../../protocol/link/limits.ts";
import { createSession, step } from "../../protocol/link/session.ts";
import { End, FakeLog, type Pair, brotli, connected, incarnation, pair, run, start } from "./link-pair.ts";

const node1 = incarnation("node", 1);

/** A pair that is connected, and a third log with more of the node than it has sent. */
function scene(): Pair & { more: FakeLog } {
  const node = new FakeLog("node");
  for (let index = 0; index < 3; index += 1) node.append(1, 100);
  const both = connected(node, new FakeLog("cloud"), { compressor: brotli });
  const more = node.copy();
  for (let index = 0; index < 3; index += 1) more.append(1, 100);
  return { ...both, more };
}

/** What the end that got these bytes says, when it closes. */
function closes(t: Test, end: End, bytes: Uint8Array | Frame, code: ErrorCode): string {
  const before = end.unsent.length;
  end.input({ kind: "frame", bytes: bytes instanceof Uint8Array ? bytes : encodeFrame(bytes) });
  t.equal(end.closed?.code, code, end.closed?.message ?? "it is still open");
  t.equal(end.closed?.by, "self");
  const last = end.unsent.at(-1);
  t.ok(end.unsent.length > before && last !== undefined);
  if (last !== undefined) t.match(decodeFrame(last), { type: "close", code }, "and the peer is told");
  t.same(end.input({ kind: "tick" }), [], "nothing comes after that");
  return end.closed?.message ?? "";
}

const segmentsOf = (log: FakeLog, from: number, to: number): Frame =>
  plainFrame(
    log
      .read(node1, from, 1e9)
      .filter(({ lo }) => lo <= to)
      .map(({ bytes }) => bytes),
  );

t.test("frames that are not what the protocol says close the session, with a code", async (t) => {
  t.test("one over the limit, before it is read", async (t) => {
    closes(t, scene().cloud, new Uint8Array(maxFrameBytes + 1), "FRAME_TOO_LARGE");
  });

  t.test("garbage", async (t) => {
    const cases = [
      new Uint8Array(0),
      new Uint8Array([0xc1]),
      new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff]),
      pack("text"),
      pack([]),
      pack([99]),
      pack([3, 10, 7, new Uint8Array(10)]),
      pack([3, 10, 0, "text"]),
      pack([3, 11, 0, new Uint8Array(10)]),
      pack([3, 10, 1, new Uint8Array(10)]),
      pack([3, 6, 0, new Uint8Array([0, 0, 1, 0, 5, 5])]),
      pack([3, 2, 0, new Uint8Array(2)]),
      pack([5, -1, []]),
      pack([5, 0.5, []]),
      pack([5, 2 ** 60, []]),
      pack([5, 1e6, [["cluster", 1]]]),
      pack([5, 1e6, [[node1, 0]]]),
      pack([7, 5, "text", null]),
    ];
    for (const bytes of cases) closes(t, scene().cloud, bytes, "FRAME_INVALID");
  });

  t.test("a segment whose checksum is wrong", async (t) => {
    const { cloud, more } = scene();
    const bytes = Uint8Array.from(more.read(node1, 4, 1)[0]?.bytes ?? []);
    bytes[60] = (bytes[60] ?? 0) ^ 1;
    closes(t, cloud, plainFrame([bytes]), "SEGMENT_CORRUPT");
    t.same(
      cloud.deliveries.map(({ segments }) => segments.length),
      [3],
    );
  });

  t.test("one that unpacks to more than it declares, or declares more than the limit", async (t) => {
    const payload = brotli.compress(new Uint8Array(50_000_000));
    const bomb: Frame = { type: "segments", rawBytes: 1000, compressed: true, payload };
    closes(t, scene().cloud, bomb, "FRAME_INVALID");
    closes(t, scene().cloud, { ...bomb, rawBytes: 50_000_000 }, "FRAME_TOO_LARGE");
  });

  t.test("a compressed one, where nothing was agreed to decompress it with", async (t) => {
    const both = connected(new FakeLog("node"), new FakeLog("cloud"));
    const payload = brotli.compress(new Uint8Array(10));
    closes(t, both.cloud, { type: "segments", rawBytes: 10, compressed: true, payload }, "FRAME_INVALID");
  });

  t.test("no bytes at all make it throw anything else", async () => {
    const valid = [
      encodeFrame(segmentsOf(scene().more, 1, 6)),
      encodeFrame({ type: "ack", credit: 5, durable: [[node1, 1]] }),
      scene().node.session.options.role === "node" ? firstMessage("node") : new Uint8Array(),
      firstMessage("cloud"),
    ];
    const mutated = fc
      .tuple(fc.constantFrom(...valid), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 8 }))
      .map(([bytes, changes]) => {
        const copy = Uint8Array.from(bytes);
        for (const [at, value] of changes) copy[at % copy.length] = value;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
        try {
          decodeFrame(bytes);
        } catch (error) {
          return error instanceof TidemarkError;
        }
        return true;
      }),
      { numRuns: 2000 },
    );
  });
});

/** The hello, or the welcome, of a pair whose logs hold something. */
function firstMessage(side: "node" | "cloud"): Uint8Array {
  const [node, cloud] = [new FakeLog("node"), new FakeLog("cloud")];
  node.append(1, 10);
  cloud.append(1, 10);
  const both = pair(node, cloud);
  start(both);
  if (side === "cloud") both.cloud.takeFrom(both.node);
  return both[side].unsent[0] as Uint8Array;
}

t.test("the log's order is kept, whatever comes", async (t) => {
  t.test("a gap closes the session", async (t) => {
    const { cloud, more } = scene();
    const message = closes(t, cloud, segmentsOf(more, 5, 5), "LOG_GAP");
    t.match(message, /from 5 came where 4 was expected/);
  });

  t.test("a segment that begins inside what is held is a gap", async (t) => {
    const { cloud } = scene();
    const other = new FakeLog("node");
    other.append(2, 20);
    other.append(3, 20);
    closes(t, cloud, segmentsOf(other, 3, 3), "LOG_GAP");
  });

  t.test("a duplicate is dropped, its bytes granted again, and acked again", async (t) => {
    const { cloud, more } = scene();
    const sent = cloud.sentTypes.length;
    cloud.input({ kind: "frame", bytes: encodeFrame(segmentsOf(more, 1, 4)) });
    t.notOk(cloud.closed);
    t.same(
      cloud.deliveries.flatMap(({ segments }) => segments.map(({ lo }) => lo)),
      [1, 2, 3, 4],
    );
    t.ok(cloud.sentTypes.slice(sent).includes("ack"));
  });

  t.test("a duplicate of what is not durable yet is no reason to ack it", async (t) => {
    const both = pair(new FakeLog("node"), new FakeLog("cloud"));
    both.cloud.holdSync = true;
    start(both);
    run(both);
    const first = encodeFrame(segmentsOf(scene().more, 1, 1));
    both.cloud.input({ kind: "frame", bytes: first });
    both.cloud.input({ kind: "frame", bytes: first });
    const last = both.cloud.unsent.at(-1);
    t.match(last && decodeFrame(last), { type: "ack", durable: [] });
  });

  t.test("the peer's end inside a segment of the sender is refused by the sender", async (t) => {
    const node = new FakeLog("node");
    node.append(4, 40);
    const cloud = new FakeLog("cloud");
    const both = pair(node, cloud);
    const log = cloud.statement();
    const held = {
      origin: node1,
      end: 2,
      hash: new Uint8Array(32),
      marks: [],
      closedAt: undefined,
      generation: 1,
    };
    both.cloud.verify = () => both.cloud.accept({ log: { ...log, holdings: [...log.holdings, held] } });
    start(both);
    run(both);
    t.equal(both.node.closed?.code, "LOG_GAP");
    t.match(both.cloud.closed, { code: "LOG_GAP", by: "peer" });
  });
});

t.test("parts", async (t) => {
  const part = {
    type: "part",
    origin: node1,
    lo: 4,
    total: 1000,
    offset: 0,
    bytes: new Uint8Array(10),
  } as const;
  const after = (first: Frame, second: Frame, code: ErrorCode): void => {
    const { cloud } = scene();
    cloud.input({ kind: "frame", bytes: encodeFrame(first) });
    closes(t, cloud, second, code);
  };
  t.test("must agree on the segment's size", async () => {
    after(part, { ...part, offset: 10, total: 2000 }, "FRAME_INVALID");
  });
  t.test("must follow one another", async () => {
    after(part, { ...part, offset: 20 }, "FRAME_INVALID");
    after(part, part, "FRAME_INVALID");
    after(part, { ...part, lo: 3, offset: 10 }, "FRAME_INVALID");
    after(part, { ...part, origin: incarnation("cloud", 1), lo: 1 }, "AUTHORITY");
  });
  t.test("must fit into what they declare, and that into the limit, before memory is taken", async (t) => {
    closes(t, scene().cloud, { ...part, offset: 995 }, "FRAME_INVALID");
    closes(t, scene().cloud, { ...part, bytes: new Uint8Array(0) }, "FRAME_INVALID");
    closes(t, scene().cloud, { ...part, total: maxSegmentBytes + 1 }, "FRAME_TOO_LARGE");
  });
  t.test("must begin where the log ends", async (t) => {
    closes(t, scene().cloud, { ...part, lo: 5 }, "LOG_GAP");
  });
  t.test("must make the segment that they say", async (t) => {
    const { cloud, more } = scene();
    const bytes = more.read(node1, 5, 1)[0]?.bytes ?? new Uint8Array(1);
    closes(t, cloud, { ...part, total: bytes.length, bytes }, "FRAME_INVALID");
    t.equal(cloud.closed?.partial, undefined);
  });
});

t.test("credit", async (t) => {
  t.test("more than was granted closes the session", async (t) => {
    const node = new FakeLog("node");
    const both = connected(node, new FakeLog("cloud"), { windowBytes: 300 });
    both.cloud.holdSync = true;
    const more = node.copy();
    for (let index = 0; index < 3; index += 1) more.append(1, 100);
    closes(t, both.cloud, segmentsOf(more, 1, 3), "CREDIT_EXCEEDED");
  });
  t.test("and so does an ack of what was not sent", async (t) => {
    closes(t, scene().node, { type: "ack", credit: 1e6, durable: [[node1, 4]] }, "FRAME_INVALID");
    closes(
      t,
      scene().node,
      { type: "ack", credit: 1e6, durable: [[incarnation("cloud", 1), 1]] },
      "FRAME_INVALID",
    );
  });
});

t.test("the greeting", async (t) => {
  const hello = decodeFrame(firstMessage("node")) as Frame & { type: "hello" };
  const fresh = (side: "node" | "cloud"): End => {
    const end = new End(new FakeLog(side));
    end.input({ kind: "open" });
    return end;
  };
  t.test("of another version says both", async (t) => {
    const row = unpack(encodeFrame(hello)) as unknown[];
    const message = closes(t, fresh("cloud"), pack([1, 2, { what: "ever" }]), "PROTOCOL_VERSION");
    t.match(message, /version 2 of the link's protocol, this side 1/);
    closes(t, fresh("node"), pack([2, 7]), "PROTOCOL_VERSION");
    const longer = fresh("cloud");
    longer.input({ kind: "frame", bytes: pack([...row, "of a later version"]) });
    t.ok(longer.established, "what is added at the end is ignored");
  });
  t.test("comes once", async (t) => {
    closes(t, scene().cloud, hello, "FRAME_INVALID");
  });
  t.test("comes first", async (t) => {
    closes(t, fresh("cloud"), { type: "ping" }, "FRAME_INVALID");
    closes(t, fresh("node"), { type: "ack", credit: 1, durable: [] }, "FRAME_INVALID");
    closes(t, fresh("node"), hello, "FRAME_INVALID");
    const idle = new End(new FakeLog("cloud"));
    idle.input({ kind: "frame", bytes: encodeFrame(hello) });
    t.equal(idle.closed?.code, "FRAME_INVALID");
  });
  t.test("waits for its answer: no segments before the welcome", async (t) => {
    const both = pair(new FakeLog("node"), new FakeLog("cloud"));
    both.cloud.verify = () => ({ kind: "tick" });
    start(both);
    run(both);
    closes(t, both.cloud, segmentsOf(scene().more, 1, 1), "FRAME_INVALID");
  });
  t.test("of another node than the certificate's", async (t) => {
    closes(t, fresh("cloud"), { ...hello, node: "n2" }, "NODE_MISMATCH");
  });
  t.test("with fields that make no sense", async (t) => {
    const cases: Frame[] = [
      { ...hello, incarnation: incarnation("cloud", 1) },
      { ...hello, window: 0 },
      { ...hello, node: "n".repeat(300) },
      { ...hello, holdings: [...hello.holdings, ...hello.holdings] },
      { ...hello, partial: { origin: node1, lo: 1, total: 10, received: 11, crc: 0 } },
      {
        ...hello,
        holdings: hello.holdings.map((held) => Object.assign({}, held, { hash: new Uint8Array(3) })),
      },
    ];
    for (const frame of cases) closes(t, fresh("cloud"), frame, "FRAME_INVALID");
  });
  t.test("of a log that was rolled back goes no further, should the shell have missed it", async (t) => {
    const node = new FakeLog("node");
    node.append(1, 10);
    const cloud = new FakeLog("cloud");
    for (const segment of node.read(node1, 1, 1e6)) cloud.take(segment);
    const both = connected(new FakeLog("node"), cloud);
    t.equal(both.node.closed?.code, "LOG_FORKED");
  });
  t.test("that is refused closes with the reason, and how long to stay away", async (t) => {
    const both = pair(new FakeLog("node"), new FakeLog("cloud"));
    both.cloud.verify = () => ({
      kind: "close",
      code: "NODE_FORKED",
      message: "two of you",
      retryAfterMs: 5,
    });
    start(both);
    run(both);
    t.match(both.node.closed, { code: "NODE_FORKED", message: "two of you", retryAfterMs: 5, by: "peer" });
  });
});

t.test("authority over origins", async (t) => {
  const sends = (log: FakeLog, origin = log.live): Frame => {
    log.append(1, 10, { origin });
    return plainFrame(log.read(origin, 1, 1).map(({ bytes }) => bytes));
  };
  const both = (): Pair => connected(new FakeLog("node"), new FakeLog("cloud"));
  const stranger = new FakeLog("node", 7);
  const otherCloud = new FakeLog("cloud", 7);
  t.test("a node may send neither the cloud's own, nor one that the cloud does not know", async (t) => {
    closes(t, both().cloud, sends(new FakeLog("cloud")), "AUTHORITY");
    closes(t, both().cloud, sends(stranger), "AUTHORITY");
    closes(t, both().cloud, sends(otherCloud), "AUTHORITY");
  });
  t.test("a cloud may send neither the node's own, nor one that it did not name", async (t) => {
    closes(t, both().node, sends(new FakeLog("node")), "AUTHORITY");
    closes(t, both().node, sends(stranger), "AUTHORITY");
  });
  t.test("a closed one ends where it was closed", async (t) => {
    const cloud = new FakeLog("cloud");
    cloud.chain(stranger.live).closedAt = 1;
    const { cloud: end } = connected(new FakeLog("node"), cloud);
    const old = new FakeLog("node", 7);
    old.append(2, 20);
    closes(t, end, sends(old), "AUTHORITY");
  });
});

t.test("inputs that come too late or too early do nothing", async (t) => {
  const end = new End(new FakeLog("node"));
  t.same(end.input({ kind: "tick" }), []);
  t.same(end.input({ kind: "writable" }), []);
  t.same(end.input({ kind: "durable", origin: node1, seq: 1 }), []);
  t.same(end.input({ kind: "read", origin: node1, segments: [] }), []);
  t.same(end.input({ kind: "verified" }), []);
  end.input({ kind: "open" });
  t.same(end.input({ kind: "open" }), []);
  const { cloud } = scene();
  t.same(cloud.input({ kind: "read", origin: node1, segments: [] }), [], "a read that was not asked for");
  t.same(cloud.input({ kind: "durable", origin: incarnation("node", 9), seq: 1 }), []);
  const idle = new End(new FakeLog("node"));
  idle.input({ kind: "close", code: "SHUTTING_DOWN", message: "bye" });
  t.same(idle.sentTypes, [], "there is no peer yet to tell");
  t.equal(idle.closed?.code, "SHUTTING_DOWN");
});

t.test("a cloud's answer to a hello says with what it accepts", async (t) => {
  const session = createSession(new End(new FakeLog("cloud")).session.options);
  const moment = { nowMs: 0, buffered: 0 };
  step(session, { kind: "open" }, moment);
  step(session, { kind: "frame", bytes: firstMessage("node") }, moment);
  t.throws(() => step(session, { kind: "verified" }, moment), /broken invariant/);
});
