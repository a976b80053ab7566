import t from "tap";
import type { Event } from "../../core/event.ts";
import { eventId } from "../../core/event.ts";
import { authorship, checkAuthority } from "../../protocol/link/authority.ts";
import { reconnectDelayMs } from "../../protocol/link/backoff.ts";
import { type BootDecision, decideBoot, noBoots } from "../../protocol/link/forks.ts";
import { type Frame, decodeFrame, encodeFrame } from "../../protocol/link/frames.ts";
import { type Holding, spacedMarks } from "../../protocol/link/heads.ts";
import { maxFrameBytes, maxMarks, maxOrigins } from "../../protocol/link/limits.ts";
import { digest, incarnation } from "./link-pair.ts";

const hash = (text: string): Uint8Array => digest.sha256(new TextEncoder().encode(text));

t.test("frames come out as they went in", async (t) => {
  const holding: Holding = {
    origin: incarnation("node", 1),
    end: 2 ** 40,
    hash: hash("a"),
    marks: [{ seq: 5, hash: hash("b") }],
    closedAt: 7,
    generation: 2,
    missingTo: 9,
  };
  const statement = {
    product: "0.1.0",
    generation: undefined,
    holdings: [holding],
    partial: { origin: holding.origin, lo: 1, total: 100_000, received: 5, crc: 0xffff_ffff },
    window: 1000,
  };
  const frames: Frame[] = [
    { type: "hello", node: "n1", bootId: "b", incarnation: holding.origin, ...statement },
    {
      type: "welcome",
      sessionId: "s",
      incarnation: incarnation("cloud", 1),
      nodeGeneration: 3,
      ...statement,
      partial: undefined,
    },
    { type: "segments", rawBytes: 3, compressed: true, payload: new Uint8Array([1, 2]) },
    { type: "part", origin: holding.origin, lo: 3, total: 10, offset: 2, bytes: new Uint8Array(8) },
    { type: "ack", credit: 2 ** 45, durable: [[holding.origin, 2 ** 50]] },
    { type: "ping" },
    { type: "close", code: "SHUTTING_DOWN", message: "bye", retryAfterMs: undefined },
  ];
  for (const frame of frames) t.same(decodeFrame(encodeFrame(frame)), frame, frame.type);
  t.match(
    decodeFrame(
      encodeFrame({ type: "close", code: "LATER" as "INVALID", message: "what", retryAfterMs: 1e9 }),
    ),
    { code: "UNSUPPORTED", message: "LATER: what", retryAfterMs: 600_000 },
    "a code of a later version is told, and the wait is bounded",
  );
});

t.test("a hello of very many incarnations fits, by naming fewer marks of the closed ones", async (t) => {
  const marks = Array.from({ length: maxMarks }, (_, index) => ({ seq: index + 1, hash: hash("m") }));
  const holdings = Array.from({ length: maxOrigins }, (_, number): Holding => {
    const closedAt = number === 0 ? undefined : 100;
    return {
      origin: incarnation("node", number),
      end: 100,
      hash: hash("e"),
      marks,
      closedAt,
      generation: number,
    };
  });
  const self = { type: "hello", product: "p", node: "n", bootId: "b", generation: 1 } as const;
  const hello: Frame = {
    ...self,
    incarnation: incarnation("node", 0),
    holdings,
    partial: undefined,
    window: 1,
  };
  const bytes = encodeFrame(hello);
  t.ok(bytes.length <= maxFrameBytes);
  const decoded = decodeFrame(bytes) as typeof hello & { holdings: readonly Holding[] };
  t.equal(decoded.holdings.length, maxOrigins);
  t.equal(decoded.holdings[0]?.marks.length, maxMarks);
  const tooMany = [...holdings, ...holdings].map((held) => Object.assign({}, held, { marks: [] }));
  t.throws(() => encodeFrame({ ...hello, holdings: tooMany }), { code: "FRAME_TOO_LARGE" });
});

t.test("marks are dense near the head, and thin out by powers of two", async (t) => {
  const marks = Array.from({ length: 5000 }, (_, index) => ({ seq: index + 1, hash: hash("m") }));
  const chosen = spacedMarks(marks, 5000, 32).map(({ seq }) => 5000 - seq);
  t.same(chosen.toReversed(), [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]);
  t.same(spacedMarks(marks, 5000, 0), []);
  t.equal(spacedMarks(marks, 5000, 5).length, 5);
});

t.test("boot ids", async (t) => {
  const decisions = (...ids: string[]): BootDecision[] => {
    let history = noBoots;
    return ids.map((id) => {
      const decided = decideBoot(history, id);
      history = decided.history;
      return decided.decision;
    });
  };
  t.test("a process that reconnects is the same one", async (t) => {
    t.same(decisions("a", "a", "a"), ["accept", "accept", "accept"]);
  });
  t.test("a restarted process takes over, however often", async (t) => {
    t.same(decisions("a", "b", "c", "d"), ["accept", "supersede", "supersede", "supersede"]);
  });
  t.test("the third alternation of two is a fork, and stays one", async (t) => {
    t.same(decisions("a", "b", "a", "b", "b", "a"), [
      "accept",
      "supersede",
      "supersede",
      "forked",
      "forked",
      "forked",
    ]);
  });
  t.test("three that take turns are one too", async (t) => {
    t.equal(decisions("a", "b", "c", "a", "b").at(-1), "forked");
  });
  t.test("an overlap at one restart does not count at a later one", async (t) => {
    t.notOk(decisions("a", "b", "a", "c", "d", "c").includes("forked"));
  });
  t.test("a fork ends with a fresh process, and comes back with the old one", async (t) => {
    t.same(decisions("a", "b", "a", "b", "c").at(-1), "supersede");
    t.same(decisions("a", "b", "a", "b", "c", "a", "c").slice(-2), ["supersede", "forked"]);
  });
  t.test("no more than eight are remembered", async (t) => {
    let history = noBoots;
    for (let index = 0; index < 100; index += 1) history = decideBoot(history, `b${index}`).history;
    t.equal(history.bootIds.length, 8);
  });
});

t.test("the wait before reconnecting", async (t) => {
  const wait = (attempt: Partial<Parameters<typeof reconnectDelayMs>[0]>): number =>
    reconnectDelayMs({
      failures: 0,
      fraction: 0.999_999,
      code: undefined,
      retryAfterMs: undefined,
      ...attempt,
    });
  t.test("doubles from half a second to thirty, anywhere below", async (t) => {
    t.same(
      [0, 1, 2, 5, 6, 1000].map((failures) => Math.ceil(wait({ failures }) / 100) * 100),
      [500, 1000, 2000, 16_000, 30_000, 30_000],
    );
    t.equal(wait({ failures: 9, fraction: 0 }), 0);
  });
  t.test("is nothing when asked to come back at once, the first time", async (t) => {
    t.equal(wait({ code: "LOG_FORKED", retryAfterMs: 0 }), 0);
    t.ok(wait({ code: "LOG_FORKED", retryAfterMs: 0, failures: 1 }) > 0);
  });
  t.test("is at least what the cloud asks for, within reason", async (t) => {
    t.equal(wait({ code: "SHUTTING_DOWN", retryAfterMs: 5000, fraction: 0 }), 5000);
    t.equal(wait({ retryAfterMs: 1e12, fraction: 0 }), 600_000);
  });
  t.test("is a minute at least for a process whose place was taken", async (t) => {
    for (const code of ["SESSION_SUPERSEDED", "NODE_FORKED"] as const) {
      t.equal(wait({ code, fraction: 0 }), 60_000);
      t.equal(wait({ code, fraction: 0, retryAfterMs: 0 }), 60_000);
      t.equal(wait({ code, fraction: 0, retryAfterMs: 120_000 }), 120_000);
    }
  });
});

t.test("authority over events", async (t) => {
  const life = eventId(incarnation("cloud", 1), 1);
  const event = (change: Partial<Event>): Event =>
    ({ origin: incarnation("node", 1), seq: 1, type: "x", class: "twin", key: "k", ...change }) as Event;
  const slots: Record<string, string> = { "desired/": "desired/p", "reported/": "reported/p" };
  t.test("each known type has its authors", async (t) => {
    for (const [type, { authors, slot: rule, class: eventClass }] of Object.entries(authorship)) {
      const slot = rule === undefined ? undefined : (slots[rule] ?? rule);
      for (const side of ["cloud", "node"] as const) {
        const error = checkAuthority(side, event({ type, slot, class: eventClass, life }));
        t.equal(error?.code, authors.includes(side) ? undefined : "AUTHORITY", `${type} by the ${side}`);
      }
    }
  });
  const refused = (change: Partial<Event>, reason: RegExp): void => {
    t.match(checkAuthority("node", event(change))?.message, reason);
  };
  t.test("a node's must have their type's class and slot", async () => {
    refused({ type: "twin.reported", class: "resource", slot: "reported/p", life }, /class is resource/);
    refused({ type: "twin.reported", slot: "desired/p", life }, /may not write the slot desired\/p/);
    refused({ type: "twin.reported", slot: "reported/", life }, /may not write/);
    refused({ type: "device.state", slot: undefined, life }, /\(none\)/);
  });
  t.test("a node neither begins a life nor ends one", async () => {
    refused({ type: "twin.reported", slot: "reported/p" }, /may not begin a life/);
    refused({ type: "twin.reported", slot: "reported/p", life, deletes: true }, /may not end a life/);
    refused({ type: "later", deletes: true }, /may not end a life/);
  });
  t.test("unknown types are the cloud's, or carry a node's own facts", async (t) => {
    t.equal(checkAuthority("cloud", event({ type: "later", class: "resource", slot: "spec" })), undefined);
    t.equal(checkAuthority("node", event({ type: "later", class: "telemetry" })), undefined);
    t.equal(checkAuthority("node", event({ type: "later", slot: "later/p", life })), undefined);
    refused({ type: "later", class: "audit" }, /unknown types of class audit/);
    refused({ type: "toString", class: "resource" }, /unknown types/);
    for (const slot of ["spec", "desired/p", "reported/p", "state"]) {
      refused({ type: "later", slot, life }, /belongs to another type/);
    }
  });
});
