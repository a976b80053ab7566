import t from "tap";
import { createApiHandler } from "../../cloud/api/handler.ts";
import { Resources, objectBytesMax } from "../../cloud/api/resources.ts";
import type { HttpRequest, HttpResponse } from "../../protocol/rest/http.ts";
import { FakeReplica } from "./fake-replica.ts";
import { clock, countingRandom, device, model, timers } from "./fixtures.ts";

const group = "/apis/devices.kubeedge.io/v1beta1";
const devices = `${group}/namespaces/default/devices`;

interface Ask {
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly gone?: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  // What JSON says has any shape; each test says which.
  readonly body: unknown;
}

class World {
  readonly log = new FakeReplica("cluster");
  readonly resources = new Resources({ log: this.log, clock, random: countingRandom() });
  readonly #handler = createApiHandler({ resources: this.resources, timers, version: "0.1.0" });

  raw(method: string, url: string, ask: Ask = {}): Promise<HttpResponse> {
    const { pathname, searchParams } = new URL(url, "http://localhost");
    const text = typeof ask.body === "string" ? ask.body : JSON.stringify(ask.body ?? "");
    const request: HttpRequest = {
      method,
      path: pathname,
      query: new Map([...searchParams.keys()].map((name) => [name, searchParams.getAll(name)])),
      headers: { "content-type": "application/json", ...ask.headers },
      body: ask.body === undefined ? new Uint8Array() : new TextEncoder().encode(text),
      identity: { kind: "admin", name: "test" },
    };
    return this.#handler(request, ask.gone ?? new AbortController().signal);
  }

  async ask(method: string, url: string, ask: Ask = {}): Promise<Answer> {
    const { status, headers = {}, body } = await this.raw(method, url, ask);
    return { status, headers, body: typeof body === "string" ? JSON.parse(body) : body };
  }

  /** A watch: `next` gives the next line. */
  async watch(url: string, gone?: AbortSignal): Promise<AsyncIterator<unknown>> {
    const { status, body } = await this.raw("GET", url, gone === undefined ? {} : { gone });
    if (status !== 200 || typeof body !== "object" || body instanceof Uint8Array)
      throw new Error(`no watch: ${status}`);
    const lines = body[Symbol.asyncIterator]();
    const next = async (): Promise<IteratorResult<unknown>> => {
      const { done, value } = await lines.next();
      return done === true ? { done, value: undefined } : { done: false, value: JSON.parse(String(value)) };
    };
    return { next, return: () => lines.return?.() as Promise<IteratorResult<unknown>> };
  }
}

async function take(lines: AsyncIterator<unknown>, count: number): Promise<string[]> {
  const taken: string[] = [];
  while (taken.length < count) {
    const { done, value } = await lines.next();
    if (done === true) break;
    const { type, object } = value as {
      type: string;
      object: { metadata: { name: string; resourceVersion: string } };
    };
    taken.push(`${type} ${object.metadata.name} ${object.metadata.resourceVersion}`);
  }
  return taken;
}

t.test("an object's way: created, read, replaced, patched, listed, deleted", async (t) => {
  const world = new World();
  t.match(await world.ask("GET", `${devices}/thermo-1`), {
    status: 404,
    body: { kind: "Status", reason: "NotFound" },
  });
  t.match(await world.ask("POST", devices, { body: device({ node: "edge-1" }) }), {
    status: 201,
    body: {
      kind: "Device",
      metadata: { namespace: "default", resourceVersion: "1" },
      status: { conditions: [] },
    },
  });
  t.match(await world.ask("POST", devices, { body: device() }), {
    status: 409,
    body: { reason: "AlreadyExists" },
  });
  t.match(await world.ask("GET", `${devices}/thermo-1`), {
    status: 200,
    body: { spec: { nodeName: "edge-1" } },
  });
  t.match(await world.ask("PUT", `${devices}/thermo-1`, { body: device({ node: "edge-2" }) }), {
    status: 200,
  });
  t.match(await world.ask("PUT", `${devices}/thermo-2`, { body: device({ name: "thermo-2" }) }), {
    status: 201,
  });
  const patched = await world.ask("PATCH", `${devices}/thermo-1`, {
    headers: { "content-type": "application/merge-patch+json" },
    body: { metadata: { labels: { hall: "3" } }, spec: { nodeName: null } },
  });
  t.match(patched, { status: 200, body: { metadata: { labels: { hall: "3" }, generation: 3 } } });
  t.notHas(patched.body, { spec: { nodeName: "edge-2" } });
  t.match(await world.ask("GET", `${group}/devices`), {
    status: 200,
    body: {
      kind: "DeviceList",
      apiVersion: "devices.kubeedge.io/v1beta1",
      metadata: { resourceVersion: "4" },
      items: [{ metadata: { name: "thermo-1" } }, { metadata: { name: "thermo-2" } }],
    },
  });
  t.match(await world.ask("GET", `${devices}?labelSelector=hall%3D3`), { body: { items: { length: 1 } } });
  t.match(await world.ask("GET", `${devices}?fieldSelector=metadata.name%3Dthermo-2`), {
    body: { items: { length: 1 } },
  });
  t.match(await world.ask("DELETE", `${devices}/thermo-1`), { status: 200, body: { status: "Success" } });
  t.match(await world.ask("GET", `${devices}/thermo-1`), { status: 404 });
});

t.test("bad requests are told what is wrong, and change nothing", async (t) => {
  const world = new World();
  await world.ask("POST", devices, { body: device() });
  const at = `${devices}/thermo-1`;
  const patchType = { "content-type": "application/merge-patch+json" };
  const deep = `{"apiVersion":${"[".repeat(5000)}${"]".repeat(5000)}}`;
  const rows: readonly [string, string, Ask, number, RegExp][] = [
    ["PUT", at, { body: "{" }, 400, /not JSON/],
    ["PUT", at, { body: "[]" }, 400, /not a JSON object/],
    ["PUT", at, { body: deep }, 400, /levels deep/],
    ["PUT", at, { body: { ...device(), kind: "DeviceModel" } }, 400, /does not match the expected kind/],
    [
      "PUT",
      at,
      { body: { ...device(), apiVersion: "devices.kubeedge.io/v1alpha2" } },
      400,
      /expected API version/,
    ],
    ["PUT", at, { body: { metadata: {} } }, 400, /missing/],
    ["PUT", at, { body: device({ name: "other" }) }, 400, /does not match the name on the URL/],
    ["PUT", at, { body: { ...device(), metadata: { namespace: "other" } } }, 400, /namespace/],
    ["PUT", at, { body: { ...device(), spec: {} } }, 422, /spec.deviceModelRef: Required value/],
    ["PUT", at, { body: { ...device(), metadata: [] } }, 422, /metadata/],
    ["PUT", at, { body: { kind: "Status", status: "Failure", code: 200 } }, 400, /missing/],
    ["PUT", at, { headers: { "content-type": "application/yaml" }, body: "a: b" }, 415, /application\/json/],
    ["PUT", at, { body: " ".repeat(objectBytesMax + 1) }, 413, /limit is 1572864/],
    ["PUT", `${at}?fieldValidation=Maybe`, { body: device() }, 422, /fieldValidation/],
    ["PUT", `${at}?dryRun=Some`, { body: device() }, 422, /dryRun/],
    ["PATCH", at, { body: {} }, 415, /merge-patch\+json/],
    [
      "PATCH",
      at,
      { headers: patchType, body: { metadata: { resourceVersion: "9" } } },
      409,
      /has been modified/,
    ],
    ["PATCH", at, { headers: patchType, body: { spec: { nodeName: 7 } } }, 422, /must be of type string/],
    ["DELETE", at, { body: { preconditions: { uid: "x" } } }, 409, /Precondition failed/],
    ["DELETE", devices, {}, 405, /does not allow/],
    ["POST", `${group}/devices`, { body: device() }, 405, /does not allow/],
    ["POST", at, { body: device() }, 405, /does not allow/],
    ["GET", `${devices}?labelSelector=a%20b`, {}, 400, /label selector/],
    ["GET", `${devices}?fieldSelector=spec.nodeName%3Dx`, {}, 400, /field label not supported/],
    ["GET", `${devices}?watch=1&resourceVersion=x`, {}, 400, /resourceVersion/],
    ["GET", `${devices}?watch=1&sendInitialEvents=true`, {}, 422, /sendInitialEvents/],
    ["GET", `${devices}?watch=1&resourceVersion=5000`, {}, 410, /too old resource version/],
    ["GET", `${group}/namespaces/default/gadgets`, {}, 404, /could not find the requested resource/],
    ["GET", `${at}/status`, {}, 404, /could not find/],
    ["GET", `${group}/namespaces/a%2Fb/devices/x`, {}, 404, /could not find/],
    ["GET", "/apis/%zz/v1/x", {}, 404, /could not find/],
    ["GET", "/elsewhere", {}, 404, /could not find/],
  ];
  for (const [method, url, ask, code, message] of rows) {
    const answer = await world.ask(method, url, ask);
    t.match(
      answer,
      { status: code, body: { kind: "Status", status: "Failure", code, message } },
      `${method} ${url} ${code}`,
    );
  }
  t.equal(world.log.position, 1);
});

t.test("unknown fields: refused, or pruned with a warning, or just pruned", async (t) => {
  const world = new World();
  const odd = { ...device(), spec: { ...device().spec, colour: "red\nblue" }, extra: 1 };
  const url = `${devices}/thermo-1?fieldValidation=`;
  t.match(await world.ask("PUT", `${url}Strict`, { body: odd }), {
    status: 400,
    body: { message: /strict decoding error: unknown field "spec.colour", unknown field "extra"/ },
  });
  const warned = await world.ask("PUT", `${url}Warn`, { body: odd });
  t.equal(
    warned.headers["warning"],
    '299 - "unknown field \\"spec.colour\\"", 299 - "unknown field \\"extra\\""',
  );
  const ignored = await world.ask("PUT", `${url}Ignore`, { body: odd });
  t.equal(ignored.headers["warning"], undefined);
  t.equal(JSON.stringify(ignored.body).includes("colour"), false);
});

t.test("dry runs in the query and in the body", async (t) => {
  const world = new World();
  t.match(await world.ask("POST", `${devices}?dryRun=All`, { body: device() }), { status: 201 });
  t.equal(world.log.position, 0);
  await world.ask("POST", devices, { body: device() });
  t.match(await world.ask("DELETE", `${devices}/thermo-1`, { body: { dryRun: ["All"] } }), { status: 200 });
  t.equal(world.log.position, 1);
});

t.test("a watch", async (t) => {
  const world = new World();
  const put = (name: string, node?: string): Promise<Answer> =>
    world.ask("PUT", `${devices}/${name}`, { body: device(node === undefined ? { name } : { name, node }) });

  await t.test("tells what is there, and then what changes", async (t) => {
    await put("a");
    await put("b");
    const lines = await world.watch(`${devices}?watch=true`);
    t.strictSame(await take(lines, 2), ["ADDED a 1", "ADDED b 2"]);
    await put("a", "edge-1");
    await world.ask("PUT", `${group}/namespaces/default/devicemodels/m`, { body: model(undefined, "m") });
    await world.ask("PUT", `${group}/namespaces/other/devices/z`, { body: device({ name: "z" }) });
    await world.ask("DELETE", `${devices}/b`);
    t.strictSame(await take(lines, 2), ["MODIFIED a 3", "DELETED b 6"]);
    await lines.return?.();
  });

  await t.test("goes on from a version, and a deleted object comes whole", async (t) => {
    const lines = await world.watch(`${group}/devices?watch=1&resourceVersion=4`);
    t.strictSame(await take(lines, 1), ["ADDED z 5"]);
    t.match(await lines.next(), {
      value: { type: "DELETED", object: { metadata: { name: "b" }, spec: {} } },
    });
  });

  await t.test("takes a version up where a list left it", async (t) => {
    const { body } = await world.ask("GET", devices);
    const { resourceVersion } = (body as { metadata: { resourceVersion: string } }).metadata;
    const lines = await world.watch(`${devices}?watch=1&resourceVersion=${resourceVersion}`);
    const first = take(lines, 1);
    await put("c");
    t.strictSame(await first, ["ADDED c 7"]);
  });

  await t.test("ends when its time is over", async (t) => {
    const lines = await world.watch(`${devices}?watch=1&resourceVersion=7&timeoutSeconds=0.02`);
    t.strictSame(await take(lines, 1), []);
  });

  await t.test("ends when the client has gone", async (t) => {
    const client = new AbortController();
    const lines = await world.watch(`${devices}?watch=1&resourceVersion=7`, client.signal);
    const waiting = take(lines, 1);
    client.abort();
    t.strictSame(await waiting, []);
  });

  await t.test("of one object, and by label", async (t) => {
    const one = await world.watch(`${devices}?watch=1&fieldSelector=metadata.name%3Dc`);
    t.strictSame(await take(one, 1), ["ADDED c 7"]);
    const labelled = await world.watch(`${devices}?watch=1&resourceVersion=7&labelSelector=hall`);
    const body = { ...device({ name: "c" }), metadata: { labels: { hall: "3" } } };
    await put("d");
    await world.ask("PUT", `${devices}/c`, { body });
    await put("c");
    t.strictSame(await take(labelled, 2), ["MODIFIED c 9", "DELETED c 10"], "without the label it is gone");
    t.strictSame(await take(one, 2), ["MODIFIED c 9", "MODIFIED c 10"]);
  });
});

t.test("clients find out what there is", async (t) => {
  const world = new World();
  t.match((await world.ask("GET", "/api")).body, { kind: "APIVersions", versions: [] });
  t.match((await world.ask("GET", "/apis")).body, {
    kind: "APIGroupList",
    groups: [{ name: "devices.kubeedge.io", preferredVersion: { version: "v1beta1" } }],
  });
  t.match((await world.ask("GET", "/apis/devices.kubeedge.io")).body, { kind: "APIGroup" });
  t.match((await world.ask("GET", group)).body, {
    kind: "APIResourceList",
    groupVersion: "devices.kubeedge.io/v1beta1",
    resources: [
      { name: "devicemodels", kind: "DeviceModel", namespaced: true },
      {
        name: "devices",
        kind: "Device",
        verbs: ["create", "delete", "get", "list", "patch", "update", "watch"],
      },
    ],
  });
  t.match((await world.ask("GET", "/version")).body, {
    major: "1",
    gitVersion: /^v1\.\d+\.0\+tidemark-0\.1\.0$/,
  });
  for (const path of ["/healthz", "/livez", "/readyz"])
    t.match(await world.raw("GET", path), { status: 200, body: "ok" });
  t.match((await world.ask("GET", "/openapi/v3")).body, {
    paths: {
      "apis/devices.kubeedge.io/v1beta1": {
        serverRelativeURL: /^\/openapi\/v3\/apis\/devices.kubeedge.io\/v1beta1\?hash=/,
      },
    },
  });
  t.match((await world.ask("GET", `/openapi/v3${group}`)).body, {
    components: { schemas: { "io.kubeedge.devices.v1beta1.Device": { properties: { spec: {} } } } },
  });
  t.match(await world.raw("GET", "/openapi/v2"), { status: 200, headers: { "content-type": /protobuf/ } });
});
