import t from "tap";
import { decodeFrame, encodeFrame } from "../../protocol/link/frames.ts";
import { type Input, step } from "../../protocol/link/session.ts";
import { writableBelowBytes } from "../../protocol/transport.ts";
import { End, FakeLog, connected } from "./link-pair.ts";

t.test("silence", async (t) => {
  const session = (role: "node" | "cloud") => {
    const end = new End(new FakeLog(role));
    const at = (nowMs: number, kind: "open" | "tick" | "heard") =>
      step(end.session, { kind }, { nowMs, buffered: 0 }).map((output) =>
        output.kind === "send" ? decodeFrame(output.bytes).type : output.kind,
      );
    at(1000, "open");
    return at;
  };
  t.test("of a node that says no hello is not waited out", async (t) => {
    const at = session("cloud");
    t.same(at(11_000, "tick"), []);
    t.same(at(11_001, "tick"), ["close", "closed"]);
  });
  t.test("of one's own is broken by a ping after 15 s", async (t) => {
    const at = session("node");
    t.same(at(15_999, "tick"), []);
    t.same(at(16_000, "tick"), ["ping"]);
    t.same(at(30_000, "tick"), []);
    t.same(at(31_000, "tick"), ["ping"]);
  });
  t.test("of the peer is the end after 45 s, and any bytes break it", async (t) => {
    const at = session("node");
    at(40_000, "heard");
    t.same(at(85_000, "tick"), ["ping"]);
    t.same(at(85_001, "tick"), ["close", "closed"]);
  });
  t.test("a ping is heard, and needs no answer", async (t) => {
    const { cloud } = connected(new FakeLog("node"), new FakeLog("cloud"));
    t.same(cloud.input({ kind: "frame", bytes: encodeFrame({ type: "ping" }) }), []);
  });
});

t.test("a close has room behind the largest frame", async (t) => {
  const node = new FakeLog("node");
  const end = connected(node.copy(), new FakeLog("cloud")).node;
  // Of a segment that is larger than a frame, each part but the last fills one.
  node.append(1, 200_000, { random: true });
  let buffered = writableBelowBytes - 1;
  const take = (input: Input): void => {
    for (const output of step(end.session, input, { nowMs: 0, buffered }))
      if (output.kind === "send") buffered += output.bytes.length;
  };
  take({ kind: "available", origin: node.live, end: node.end(node.live) });
  take({ kind: "read", origin: node.live, segments: node.read(node.live, 1, 1) });
  t.ok(buffered > writableBelowBytes + 65_000, "one frame went");
  take({ kind: "close", code: "LOG_GAP", message: "\u20ac".repeat(600) });
  t.ok(buffered <= 128 * 1024);
});

t.test("a socket that is full gets nothing more, until it is writable", async (t) => {
  const node = new FakeLog("node");
  for (let index = 0; index < 20; index += 1) node.append(1, 30_000, { random: true });
  const end = connected(node.copy(), new FakeLog("cloud")).node;
  const full = { nowMs: 0, buffered: 70_000 };
  t.same(
    step(end.session, { kind: "available", origin: node.live, end: 21 }, full).map(({ kind }) => kind),
    ["read"],
  );
  node.append(1, 100);
  const segments = node.read(node.live, 21, 1);
  t.same(step(end.session, { kind: "read", origin: node.live, segments }, full), []);
  t.same(
    step(end.session, { kind: "writable" }, { nowMs: 0, buffered: 0 }).map(({ kind }) => kind),
    ["send"],
  );
});
