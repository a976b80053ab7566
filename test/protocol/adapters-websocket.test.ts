import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, type Server, connect, createServer } from "node:net";
import { join } from "node:path";
import t, { type Test } from "tap";
import { WebSocket } from "ws";
import { connectionError } from "../../protocol/adapters/connection-errors.ts";
import type { Credentials } from "../../protocol/adapters/credentials.ts";
import {
  ensureAuthority,
  ensureServerCertificate,
  issueNodeCertificate,
} from "../../protocol/adapters/pki.ts";
import {
  type LinkListener,
  type LinkListenerOptions,
  dialLink,
  listenLink,
} from "../../protocol/adapters/websocket.ts";
import {
  type Transport,
  type TransportEnd,
  linkPath,
  messageBytesMax,
  writableBelowBytes,
} from "../../protocol/transport.ts";
import {
  type Certificates,
  type RecordingLogger,
  certificates,
  expiredNodeCertificate,
  promised,
  recordingLogger,
} from "./adapters-fixtures.ts";

interface Link {
  readonly pki: Certificates;
  readonly root: string;
  readonly listener: LinkListener;
  readonly url: string;
  readonly logger: RecordingLogger;
  /** The cloud's end of the next connection. */
  readonly accepted: () => Promise<{ transport: Transport; node: string }>;
}

async function link(t: Test, options: Partial<LinkListenerOptions> = {}): Promise<Link> {
  const root = t.testdir({ pki: {}, other: {} });
  const pki = await certificates(join(root, "pki"));
  const logger = recordingLogger();
  const listener = await listenLink({
    host: "127.0.0.1",
    port: 0,
    credentials: pki.server,
    logger,
    ...options,
  });
  t.teardown(async () => {
    for (const transport of dialled.splice(0)) transport.close();
    await listener.close();
  });
  const come: { transport: Transport; node: string }[] = [];
  const waiting: ((connection: { transport: Transport; node: string }) => void)[] = [];
  listener.onConnection((transport, node) => {
    const next = waiting.shift();
    if (next) next({ transport, node });
    else come.push({ transport, node });
  });
  return {
    pki,
    root,
    listener,
    logger,
    url: `wss://127.0.0.1:${listener.address.port}`,
    accepted: () => {
      const first = come.shift();
      return first ? Promise.resolve(first) : new Promise((resolve) => waiting.push(resolve));
    },
  };
}

const dialled: Transport[] = [];

async function dial(url: string, credentials: Credentials): Promise<Transport> {
  const transport = await dialLink({ url, credentials, timeoutMs: 5000 });
  dialled.push(transport);
  return transport;
}

function ended(transport: Transport): Promise<TransportEnd> {
  return new Promise((resolve) => transport.onClose(resolve));
}

function messages(transport: Transport, count: number): Promise<Uint8Array[]> {
  const received: Uint8Array[] = [];
  return new Promise((resolve) => {
    transport.onMessage((bytes) => {
      if (received.push(bytes) === count) resolve(received);
    });
  });
}

async function listenPlain(t: Test, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => server.close());
  return `wss://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

t.test("messages go both ways, whole and in order, and the node is the certificate's", async (t) => {
  const { pki, url, accepted } = await link(t);
  const edge = await dial(url, pki.node);
  const { transport: cloud, node } = await accepted();
  t.equal(node, "node-a");
  const count = 500;
  const atCloud = messages(cloud, count);
  const atEdge = messages(edge, count);
  for (let index = 0; index < count; index += 1) {
    const size = index === 7 ? messageBytesMax : index;
    edge.send(new Uint8Array(size).fill(index));
    cloud.send(new Uint8Array(size).fill(index + 1));
  }
  for (const [received, offset] of [
    [await atCloud, 0],
    [await atEdge, 1],
  ] as const) {
    t.ok(
      received.every((bytes, index) => {
        const size = index === 7 ? messageBytesMax : index;
        return bytes.length === size && bytes.every((byte) => byte === (index + offset) % 256);
      }),
    );
    t.notOk(
      received.some((bytes) => Buffer.isBuffer(bytes)),
      "pure code meets plain bytes only",
    );
  }
  t.ok(cloud.received > messageBytesMax);
  t.equal(edge.buffered, 0);
});

t.test("what is sent in one turn of the event loop goes out in one TLS record", async (t) => {
  const { pki, listener, accepted } = await link(t);
  let passed = 0;
  const counting = createServer((socket) => {
    const onward = connect(listener.address.port, "127.0.0.1");
    socket.on("data", (chunk) => (passed += chunk.length));
    socket.pipe(onward).pipe(socket);
    onward.on("error", () => socket.destroy());
    socket.on("error", () => onward.destroy());
  });
  const edge = await dial(await listenPlain(t, counting), pki.node);
  const { transport: cloud } = await accepted();
  const before = passed;
  const all = messages(cloud, 3);
  for (let index = 0; index < 3; index += 1) edge.send(new Uint8Array(20));
  await all;
  const bytes = passed - before;
  const frames = 3 * 26;
  const record = 22;
  t.equal(bytes, frames + record);
  edge.close();
  await ended(edge);
});

t.test("messages that come before anyone listens are kept", async (t) => {
  const { pki, url, accepted } = await link(t);
  const edge = await dial(url, pki.node);
  const { transport: cloud } = await accepted();
  cloud.send(new Uint8Array([1]));
  edge.send(new Uint8Array([2]));
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.same((await messages(edge, 1))[0], new Uint8Array([1]));
  t.same((await messages(cloud, 1))[0], new Uint8Array([2]));
});

t.test("a slow reader makes `buffered` grow, and `onWritable` says when it is read", async (t) => {
  const { pki, url, accepted } = await link(t);
  const edge = await dial(url, pki.node);
  const { transport: cloud } = await accepted();
  const frame = new Uint8Array(messageBytesMax);
  let writable = 0;
  edge.onWritable(() => {
    writable += 1;
    t.ok(edge.buffered < writableBelowBytes);
  });
  // Nobody reads at the cloud: once the kernel's buffers are full, the rest stays here.
  let sent = 0;
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  for (let idle = 0; idle < 50; idle += 1) {
    if (edge.buffered < 4 * messageBytesMax) {
      edge.send(frame);
      sent += 1;
      idle = 0;
    }
    await turn();
  }
  t.ok(edge.buffered >= 4 * messageBytesMax);
  const before = writable;
  t.equal((await messages(cloud, sent)).length, sent);
  t.ok(writable > before);
  t.equal(edge.buffered, 0);
});

t.test("closing with a code tells the other side, after what was sent", async (t) => {
  const { pki, url, accepted } = await link(t);
  const edge = await dial(url, pki.node);
  const { transport: cloud } = await accepted();
  const last = messages(edge, 1);
  cloud.send(new Uint8Array([9]));
  cloud.close("SESSION_SUPERSEDED");
  cloud.close("IGNORED");
  cloud.send(new Uint8Array([10]));
  t.same(await last, [new Uint8Array([9])]);
  t.match(await ended(edge), { by: "peer", code: "SESSION_SUPERSEDED" });
  t.match(await ended(cloud), { by: "self", code: "SESSION_SUPERSEDED" });
  t.match(await ended(cloud), { by: "self" }, "who asks late is told too");
  edge.send(new Uint8Array([1]));
  t.equal(edge.buffered, 0);
});

t.test("a frame over the limit ends the connection with FRAME_TOO_LARGE, on either side", async (t) => {
  const { pki, url, accepted } = await link(t);
  for (const large of ["edge", "cloud"] as const) {
    const edge = await dial(url, pki.node);
    const { transport: cloud } = await accepted();
    const [sender, receiver] = large === "edge" ? [edge, cloud] : [cloud, edge];
    receiver.onMessage(() => t.fail("it must not arrive"));
    sender.onMessage(() => undefined);
    sender.send(new Uint8Array(messageBytesMax + 1));
    t.match(await ended(receiver), { by: "self", code: "FRAME_TOO_LARGE" });
    t.match(await ended(sender), { by: "peer", code: "FRAME_TOO_LARGE" });
  }
});

t.test("a text frame is refused", async (t) => {
  const { pki, url, accepted } = await link(t);
  const raw = new WebSocket(`${url}${linkPath}`, { ...pki.node });
  const closed = promised<number>();
  raw.on("close", (status) => closed.resolve(status));
  raw.on("open", () => raw.send("hello"));
  const { transport: cloud } = await accepted();
  cloud.onMessage(() => t.fail("it must not arrive"));
  t.match(await ended(cloud), { by: "self", code: "FRAME_INVALID" });
  t.equal(await closed.promise, 1003);
});

t.test("a connection that is cut says so", async (t) => {
  const { pki, url, accepted } = await link(t);
  const raw = new WebSocket(`${url}${linkPath}`, { ...pki.node });
  raw.on("open", () => raw.terminate());
  const { transport: cloud } = await accepted();
  cloud.onMessage(() => undefined);
  t.match(await ended(cloud), { by: "cut", code: undefined });
});

t.test("only a node's certificate of this authority opens a link", async (t) => {
  const { pki, root, url, logger, listener } = await link(t);
  listener.onConnection(() => t.fail("nobody may come in"));
  const other = await ensureAuthority(join(root, "other"));
  const foreign = await issueNodeCertificate(other, "node-a");
  const cases: [string, Credentials, RegExp][] = [
    ["an administrator's", pki.admin, /not a node's/],
    ["the server's own", pki.server, /INVALID_PURPOSE|unsuitable|purpose/i],
    [
      "another authority's",
      { ...foreign, ca: pki.node.ca },
      /UNABLE_TO_VERIFY|signature|issuer|SELF_SIGNED/i,
    ],
    ["one that is over", await expiredNodeCertificate(pki.authority), /CERT_HAS_EXPIRED.*clock says/],
  ];
  for (const [whose, credentials, reason] of cases) {
    logger.records.length = 0;
    await t.rejects(dial(url, credentials), { code: "CERTIFICATE_REFUSED", message: reason }, whose);
    t.match(logger.records, [{ level: "warn", fields: { code: "CERTIFICATE_REFUSED" } }], whose);
  }
  const { ca } = pki.node;
  const raw = new WebSocket(`${url}${linkPath}`, { ca });
  raw.on("error", () => undefined);
  const status = await new Promise((resolve) =>
    raw.on("unexpected-response", (_request, response) => {
      resolve(response.statusCode);
      response.destroy();
    }),
  );
  t.equal(status, 403, "none at all");
});

t.test("the name is the certificate's, whatever the node would like to be", async (t) => {
  const { pki, url, accepted } = await link(t);
  const other = await issueNodeCertificate(pki.authority, "node-b");
  const edge = await dialLink({ url: `${url}${linkPath}`, credentials: other, timeoutMs: 5000 });
  t.equal((await accepted()).node, "node-b");
  edge.close();
});

t.test("the node refuses a cloud of another authority, or of another name", async (t) => {
  const { pki, root, url, listener } = await link(t);
  const other = await ensureAuthority(join(root, "other"));
  await t.rejects(dial(url, { ...pki.node, ca: other.certificate }), {
    code: "CERTIFICATE_REFUSED",
    message: /not from the authority in ca\.crt/,
  });
  const elsewhere = await listenLink({
    host: "127.0.0.2",
    port: 0,
    credentials: await ensureServerCertificate(join(root, "pki"), []),
    logger: recordingLogger(),
  });
  t.teardown(() => elsewhere.close());
  await t.rejects(dial(`wss://127.0.0.2:${elsewhere.address.port}`, pki.node), {
    code: "CERTIFICATE_REFUSED",
    message: /other names.*--advertise-address 127\.0\.0\.2/,
  });
  await t.rejects(dial(`wss://127.0.0.2:${elsewhere.address.port}`, { ...pki.node, key: other.key }), {
    code: "CERTIFICATE_REFUSED",
    message: /can't be used together/,
  });
  t.ok(listener.address.port > 0);
});

t.test("a wrong clock is named as a cause, and what the clock says", async (t) => {
  const { node } = await certificates(t.testdir());
  const explained = (code: string, now: number): Error =>
    connectionError(Object.assign(new Error(code), { code }), {
      url: "wss://cloud:10000",
      credentials: node,
      now,
    });
  t.match(explained("CERT_NOT_YET_VALID", 0), {
    code: "CERTIFICATE_REFUSED",
    message: /clock \(1970-01-01T.*set the clock/,
  });
  t.match(explained("CERT_HAS_EXPIRED", Date.UTC(2100, 1, 1)), {
    code: "CERTIFICATE_REFUSED",
    message: /clock \(2100-02-01T.*set the clock/,
  });
  t.match(explained("ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED", Date.UTC(2100, 1, 1)), {
    code: "CERTIFICATE_REFUSED",
    message: /our certificate ended 20.*set the clock/,
  });
});

t.test("a cloud that is not there is NOT_REACHABLE, and why", async (t) => {
  const { pki, listener, url } = await link(t);
  await listener.close();
  await t.rejects(dial(url, pki.node), { code: "NOT_REACHABLE", message: /nothing listens/ });
  await t.rejects(dial("wss://name.invalid:1", pki.node), { code: "NOT_REACHABLE", message: /looked up/ });
  await t.rejects(dial("http://cloud", pki.node), { code: "CONFIGURATION" });

  const notTls = await listenPlain(t, createHttpServer());
  await t.rejects(dial(notTls, pki.node), { code: "NOT_REACHABLE", message: /TLS/ });
  const mute = await listenPlain(t, createServer());
  await t.rejects(dialLink({ url: mute, credentials: pki.node, timeoutMs: 50 }), {
    code: "NOT_REACHABLE",
    message: /within 50 ms/,
  });
  const giveUp = new AbortController();
  const attempt = dialLink({ url: mute, credentials: pki.node, timeoutMs: 60_000, signal: giveUp.signal });
  giveUp.abort();
  await t.rejects(attempt, { code: "SHUTTING_DOWN" });
});

t.test("a port that is taken is named", async (t) => {
  const { listener, pki } = await link(t);
  const { port } = listener.address;
  await t.rejects(
    listenLink({ host: "127.0.0.1", port, credentials: pki.server, logger: recordingLogger() }),
    { code: "PORT_TAKEN", message: new RegExp(`${port}`), data: { port, host: "127.0.0.1" } },
  );
});

t.test("nodes that all come at once are let in at a pace, and all of them", async (t) => {
  const { pki, url } = await link(t, { paceHandshakesPerSecond: 10 });
  const before = performance.now();
  const edges = await Promise.all(Array.from({ length: 15 }, () => dial(url, pki.node)));
  const took = performance.now() - before;
  t.equal(edges.length, 15);
  t.ok(took > 400, `ten at once, five more at ten a second: ${took} ms`);
});

t.test("more at once than can be served in time are cut at once", async (t) => {
  const { pki, url } = await link(t, { paceHandshakesPerSecond: 1 });
  const attempts = Array.from({ length: 12 }, () => dial(url, pki.node));
  // Those that wait for their turn are cut when the listener closes.
  const refused = attempts.map((attempt) =>
    attempt.then(
      () => promised().promise,
      (error: unknown) => error,
    ),
  );
  t.match(await Promise.race(refused), { code: "NOT_REACHABLE", message: /hung up/ });
});

t.test("closing tells every node, waits for no one, and may be asked twice", async (t) => {
  const { pki, url, accepted, listener } = await link(t);
  const edge = await dial(url, pki.node);
  const { transport: cloud } = await accepted();
  cloud.onMessage(() => undefined);
  edge.onMessage(() => undefined);
  // One that never begins its handshake, and one that never reads.
  const idle = connect(listener.address.port, "127.0.0.1");
  t.teardown(() => idle.destroy());
  await new Promise((resolve) => idle.once("connect", resolve));
  await dial(url, pki.node);
  await accepted();
  const before = performance.now();
  await Promise.all([listener.close(), listener.close()]);
  t.ok(performance.now() - before < 4000);
  t.match(await ended(edge), { by: "peer", code: "SHUTTING_DOWN" });
});
