import { execFile } from "node:child_process";
import { type IncomingMessage, request as requestPlain } from "node:http";
import { join } from "node:path";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { TidemarkError } from "../../core/errors.ts";
import { type HttpListener, listenHttp } from "../../protocol/adapters/http.ts";
import { type JsonRequest, requestJson, requestLines } from "../../protocol/adapters/http-client.ts";
import { adminKubeconfig } from "../../protocol/adapters/kubeconfig.ts";
import { ensureAuthority, issueAdminCertificate } from "../../protocol/adapters/pki.ts";
import {
  type HttpHandler,
  bodyBytesMax,
  jsonLine,
  jsonResponse,
  pathSegments,
  queryValue,
  statusResponse,
} from "../../protocol/rest/http.ts";
import {
  type Certificates,
  type RecordingLogger,
  certificates,
  expiredNodeCertificate,
  promised,
  recordingLogger,
} from "./adapters-fixtures.ts";

interface Api {
  readonly listener: HttpListener;
  readonly logger: RecordingLogger;
  readonly server: string;
}

/** A node's API: plain, on loopback. */
async function localApi(t: Test, handler: HttpHandler): Promise<Api> {
  const logger = recordingLogger();
  const listener = await listenHttp({ host: "127.0.0.1", port: 0, handler, logger });
  t.teardown(() => listener.close());
  return { listener, logger, server: `http://127.0.0.1:${listener.address.port}` };
}

/** The cloud's API: mutual TLS. */
async function cloudApi(
  t: Test,
  handler: HttpHandler,
): Promise<Api & { readonly pki: Certificates; root: string }> {
  const root = t.testdir({ pki: {}, other: {} });
  const pki = await certificates(join(root, "pki"));
  const logger = recordingLogger();
  const listener = await listenHttp({ host: "127.0.0.1", port: 0, handler, logger, credentials: pki.server });
  t.teardown(() => listener.close());
  return { listener, logger, pki, root, server: `https://127.0.0.1:${listener.address.port}` };
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

function raw(
  server: string,
  options: { path?: string; method?: string; headers?: Record<string, string> },
  body?: Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = requestPlain(server, { agent: false, ...options }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode, headers: response.headers, body: text }),
      );
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

const echo: HttpHandler = async (request) =>
  jsonResponse(200, {
    ...request,
    query: Object.fromEntries(request.query),
    body: Buffer.from(request.body).toString(),
  });

t.test("a handler gets the request as it is, and its answer goes back", async (t) => {
  const { server } = await localApi(t, echo);
  const answer = await requestJson({
    server,
    path: "/apis/devices%2Fx/%C3%A9",
    method: "PUT",
    query: { fieldManager: "a b&c", absent: undefined },
    body: { spec: { value: "é" } },
  });
  t.match(answer, {
    method: "PUT",
    path: "/apis/devices%2Fx/%C3%A9",
    query: { fieldManager: ["a b&c"] },
    headers: { "content-type": "application/json", accept: "application/json" },
    body: '{"spec":{"value":"é"}}',
    identity: { kind: "local" },
  });
  const repeated = await raw(server, { path: "/x?command=a&command=b" });
  t.match(JSON.parse(repeated.body), { path: "/x", query: { command: ["a", "b"] }, body: "" });
  t.same(pathSegments("/apis/devices%2Fx//%C3%A9"), ["apis", "devices/x", "é"]);
  t.equal(pathSegments("/%zz"), undefined);
});

t.test("errors are answered as a Status, and come back as the same error", async (t) => {
  const { server, logger } = await localApi(t, async (request) => {
    if (queryValue(request, "as") === "thrown")
      throw new TidemarkError("CONFLICT", "it changed", { data: { name: "x" } });
    if (queryValue(request, "as") === "bug") throw new Error("a secret detail");
    return statusResponse(404, "there is no such device", { name: "x" });
  });
  await t.rejects(requestJson({ server, path: "/", query: { as: "thrown" } }), {
    code: "CONFLICT",
    message: "it changed",
    data: { status: 409, name: "x" },
  });
  await t.rejects(requestJson({ server, path: "/" }), {
    code: "NOT_FOUND",
    message: "there is no such device",
  });
  t.same(logger.records, []);
  const { status, body } = await raw(server, { path: "/?as=bug" });
  t.equal(status, 500);
  t.match(JSON.parse(body), {
    kind: "Status",
    apiVersion: "v1",
    status: "Failure",
    reason: "InternalError",
    code: 500,
  });
  t.notMatch(body, /secret/);
  t.match(
    logger.records,
    [{ level: "error", fields: { error: "a secret detail" } }],
    "the log has it instead",
  );
});

t.test("a body may be as large as the limit and no larger, however it is sent", async (t) => {
  const { server } = await localApi(t, async (request) => jsonResponse(200, request.body.length));
  const exact = await raw(server, { method: "POST" }, Buffer.alloc(bodyBytesMax));
  t.equal(exact.body, String(bodyBytesMax));
  const announced = await raw(server, { method: "POST" }, Buffer.alloc(bodyBytesMax + 1));
  t.equal(announced.status, 413);
  t.match(JSON.parse(announced.body), { kind: "Status", reason: "RequestEntityTooLarge" });
  const chunked = { method: "POST", headers: { "transfer-encoding": "chunked" } };
  t.equal((await raw(server, chunked, Buffer.alloc(bodyBytesMax + 1))).status, 413);
  t.equal(
    (await raw(server, { method: "POST", headers: { "content-length": String(2 ** 40) } })).status,
    413,
  );
  const far = await raw(server, chunked, Buffer.alloc(8 * bodyBytesMax)).then(
    ({ status }) => status,
    () => "cut",
  );
  t.ok(far === 413 || far === "cut", "far too much is not read to its end");
});

t.test("the node's API answers programs of this machine, and no web page", async (t) => {
  const { server, listener } = await localApi(t, async () => jsonResponse(200, "ok"));
  const { port } = listener.address;
  for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, "127.0.0.1", `[::1]:${port}`, "LOCALHOST"]) {
    t.equal((await raw(server, { headers: { host } })).status, 200, host);
  }
  for (const host of [
    "evil.example",
    `evil.example:${port}`,
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "[::2]",
  ]) {
    t.equal((await raw(server, { headers: { host } })).status, 403, host);
  }
  const pages = [{ origin: "https://evil.example" }, { origin: "null" }, { "sec-fetch-site": "cross-site" }];
  for (const headers of pages) t.equal((await raw(server, { headers })).status, 403, JSON.stringify(headers));
  t.equal(
    (await raw(server, { headers: { "sec-fetch-site": "none" } })).status,
    200,
    "typed into the address bar",
  );
  await t.rejects(listenHttp({ host: "0.0.0.0", port: 0, handler: echo, logger: recordingLogger() }), {
    code: "CONFIGURATION",
  });
});

t.test("the cloud's API is for administrators: no certificate is 401, a node's is 403", async (t) => {
  const { server, pki, root } = await cloudApi(t, async ({ identity }) => jsonResponse(200, identity));
  const ask = (credentials: JsonRequest["credentials"]): Promise<unknown> =>
    requestJson({ server, path: "/version", ...(credentials && { credentials }) });
  t.same(await ask(pki.admin), { kind: "admin", name: "tester" });
  await t.rejects(ask(pki.node), { code: "FORBIDDEN", message: /node node-a/, data: { status: 403 } });
  const nothing = { ca: pki.admin.ca } as unknown as Certificates["admin"];
  await t.rejects(ask(nothing), { code: "FORBIDDEN", data: { status: 401 } });
  const foreign = await issueAdminCertificate(await ensureAuthority(join(root, "other")), "tester");
  await t.rejects(ask({ ...foreign, ca: pki.admin.ca }), { code: "FORBIDDEN", data: { status: 401 } });
  await t.rejects(ask(await expiredNodeCertificate(pki.authority)), {
    code: "FORBIDDEN",
    data: { status: 401 },
  });
  await t.rejects(ask(foreign), { code: "CERTIFICATE_REFUSED", message: /not from the authority/ });
});

t.test("objects of a stream come one by one, while it goes on", async (t) => {
  const second = promised();
  async function* watch(): AsyncGenerator<string> {
    yield jsonLine({ type: "ADDED", text: "é\n" });
    await second.promise;
    yield `${jsonLine({ type: "MODIFIED" })}{"type":`;
    yield '"DELETED"}';
  }
  const { server } = await localApi(t, async () => ({ status: 200, body: watch() }));
  const seen: unknown[] = [];
  for await (const object of requestLines({ server, path: "/watch" })) {
    seen.push(object);
    second.resolve();
  }
  t.same(seen, [{ type: "ADDED", text: "é\n" }, { type: "MODIFIED" }, { type: "DELETED" }]);
  const refused = await localApi(t, async () => statusResponse(410, "too old"));
  await t.rejects(
    async () => {
      for await (const object of requestLines({ server: refused.server, path: "/watch" }))
        t.fail(String(object));
    },
    { message: "too old", data: { status: 410 } },
  );
});

t.test("a client that reads slowly holds the stream back, and its going ends it", async (t) => {
  let produced = 0;
  const finished = promised();
  const aborted = promised();
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        produced += 1;
        yield new Uint8Array(65_536).fill(32);
      }
    } finally {
      finished.resolve();
    }
  }
  const { server, logger } = await localApi(t, async (_request, gone) => {
    gone.addEventListener("abort", () => aborted.resolve());
    return { status: 200, body: endless() };
  });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    requestPlain(server, { agent: false }, resolve).on("error", reject).end();
  });
  let before = -1;
  while (produced !== before) {
    before = produced;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.ok(produced < 1000, `${produced} chunks were made for nobody`);
  response.destroy();
  await Promise.all([finished.promise, aborted.promise]);
  t.same(logger.records, []);
});

t.test("a stream that breaks is cut, so that nobody takes it for whole", async (t) => {
  async function* broken(): AsyncGenerator<string> {
    yield jsonLine({ n: 1 });
    throw new Error("the disk went away");
  }
  const { server, logger } = await localApi(t, async () => ({ status: 200, body: broken() }));
  await t.rejects(
    async () => {
      for await (const object of requestLines({ server, path: "/" })) t.same(object, { n: 1 });
    },
    { code: "NOT_REACHABLE", message: /cut the stream off/ },
  );
  t.match(logger.records, [{ level: "error", fields: { error: "the disk went away" } }]);
});

t.test("closing ends streams cleanly, lets answers finish, and is done within seconds", async (t) => {
  const release = promised();
  const asked = promised();
  async function* untilGone(gone: {
    addEventListener(type: "abort", listener: () => void): void;
  }): AsyncGenerator<string> {
    const end = promised();
    gone.addEventListener("abort", () => end.resolve());
    yield jsonLine({ type: "ADDED" });
    await end.promise;
  }
  const { server, listener } = await localApi(t, async (request, gone) => {
    if (request.path === "/watch") return { status: 200, body: untilGone(gone) };
    asked.resolve();
    if (request.path === "/never") await new Promise(() => undefined);
    await release.promise;
    return jsonResponse(200, "done");
  });
  const objects = requestLines({ server, path: "/watch" });
  t.same((await objects.next()).value, { type: "ADDED" });
  const answer = requestJson({ server, path: "/slow" });
  const never = t.rejects(requestJson({ server, path: "/never" }), { code: "NOT_REACHABLE" });
  await asked.promise;
  const before = performance.now();
  const closed = Promise.all([listener.close(), listener.close()]);
  t.same(await objects.next(), { value: undefined, done: true });
  release.resolve();
  t.equal(await answer, "done");
  await closed;
  t.ok(performance.now() - before < 4000);
  await never;
  await t.rejects(requestJson({ server, path: "/" }), { code: "NOT_REACHABLE", message: /nothing listens/ });
});

t.test("who asks can give up, and waits no longer than it says", async (t) => {
  const { server } = await localApi(t, async (request, gone) => {
    if (request.path === "/watch") {
      return {
        status: 200,
        body: (async function* () {
          yield jsonLine(1);
          await new Promise<void>((resolve) => gone.addEventListener("abort", resolve));
        })(),
      };
    }
    return new Promise(() => undefined);
  });
  await t.rejects(requestJson({ server, path: "/", timeoutMs: 30 }), {
    code: "NOT_REACHABLE",
    message: /30 ms/,
  });
  const stop = new AbortController();
  const asked = requestJson({ server, path: "/", signal: stop.signal });
  const seen: unknown[] = [];
  for await (const object of requestLines({ server, path: "/watch", signal: stop.signal })) {
    seen.push(object);
    stop.abort();
  }
  t.same(seen, [1], "a stream ends quietly");
  await t.rejects(asked, { code: "SHUTTING_DOWN" });
  await t.rejects(requestJson({ server, path: "/", signal: AbortSignal.abort() }), { code: "SHUTTING_DOWN" });
  await t.rejects(requestJson({ server: "cloud:6443", path: "/" }), { code: "CONFIGURATION" });
});

t.test("a port that is taken is named", async (t) => {
  const { listener } = await localApi(t, echo);
  const { port } = listener.address;
  await t.rejects(listenHttp({ host: "127.0.0.1", port, handler: echo, logger: recordingLogger() }), {
    code: "PORT_TAKEN",
    data: { port },
  });
});

const run = promisify(execFile);
const kubectl = await run("kubectl", ["version", "--client"]).then(
  () => undefined,
  () => "kubectl is not installed",
);
const inCi = process.env["CI"] === "true";

t.test("kubectl takes the kubeconfig", { skip: inCi ? false : (kubectl ?? false) }, async (t) => {
  t.equal(kubectl, undefined, "CI has kubectl");
  const version = { major: "1", minor: "32", gitVersion: "v1.32.0", platform: "linux/amd64" };
  const { server, pki, root, logger } = await cloudApi(t, async ({ path }) =>
    path === "/version" ? jsonResponse(200, version) : statusResponse(404, `there is no ${path}`),
  );
  const file = join(root, "admin.kubeconfig");
  await adminKubeconfig({ authority: pki.authority, file, server });
  const options = { env: { ...process.env, HOME: root, KUBECONFIG: file } };
  const answer = await run("kubectl", ["version", "-o", "json"], options);
  t.match(JSON.parse(answer.stdout), { serverVersion: { gitVersion: "v1.32.0" } });
  await t.rejects(run("kubectl", ["get", "--raw", "/nothing"], options), { message: /NotFound/ });
  t.same(logger.records, []);
});
