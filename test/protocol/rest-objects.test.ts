import * as fc from "fast-check";
import t from "tap";
import { mergePatch } from "../../protocol/rest/merge-patch.ts";
import { nameProblem, namespaceProblem, validateMetadata } from "../../protocol/rest/metadata.ts";
import type { Json } from "../../protocol/rest/objects.ts";
import { parseResourcePath } from "../../protocol/rest/paths.ts";
import { type Schema, openApiSchema, shape } from "../../protocol/rest/schema.ts";
import { fieldSelector, labelSelector } from "../../protocol/rest/selectors.ts";
import {
  alreadyExists,
  conflict,
  invalid,
  invalidValue,
  isFailure,
  notFound,
} from "../../protocol/rest/status.ts";

const kind = {
  group: "devices.kubeedge.io",
  version: "v1beta1",
  kind: "Device",
  plural: "devices",
  singular: "device",
  shortNames: [],
  namespaced: true,
};

t.test("refusals read as kubectl's users know them", async (t) => {
  t.match(notFound(kind, "x"), {
    kind: "Status",
    apiVersion: "v1",
    status: "Failure",
    message: 'devices.devices.kubeedge.io "x" not found',
    reason: "NotFound",
    details: { name: "x", group: "devices.kubeedge.io", kind: "devices" },
    code: 404,
  });
  t.match(alreadyExists(kind, "x"), {
    message: 'devices.devices.kubeedge.io "x" already exists',
    reason: "AlreadyExists",
    code: 409,
  });
  t.match(conflict(kind, "x"), {
    message:
      'Operation cannot be fulfilled on devices.devices.kubeedge.io "x": the object has been modified; please apply your changes to the latest version and try again',
    reason: "Conflict",
    code: 409,
  });
  const one = invalidValue("spec.nodeName", "A_b", "no");
  t.equal(
    invalid(kind, "x", [one]).message,
    'Device.devices.kubeedge.io "x" is invalid: spec.nodeName: Invalid value: "A_b": no',
  );
  t.match(invalid(kind, "x", [one, one]), {
    message: /is invalid: \[spec\.nodeName: .*, spec\.nodeName: .*\]$/,
    code: 422,
    details: { causes: [{ reason: "FieldValueInvalid", field: "spec.nodeName" }, one] },
  });
});

t.test("an object that looks like a refusal is none", async (t) => {
  const told = notFound(kind, "x");
  t.equal(isFailure(told), true);
  t.equal(isFailure(JSON.parse(JSON.stringify(told))), false);
});

t.test("a schema", async (t) => {
  const schema: Schema = {
    fields: {
      name: "string",
      count: "integer",
      on: "boolean",
      mode: { oneOf: ["A", "B"] },
      tags: { map: "string" },
      rows: { list: { fields: { id: "string", free: "object" }, required: ["id"] } },
    },
    required: ["name"],
  };

  await t.test("keeps what it knows and names what it prunes", async (t) => {
    const given = {
      name: "x",
      colour: "red",
      tags: { a: "b" },
      rows: [{ id: "1", free: { any: [1, null] }, extra: true }],
      on: null,
    };
    const { value, unknown, causes } = shape(schema, given, "spec");
    t.strictSame(value, { name: "x", tags: { a: "b" }, rows: [{ id: "1", free: { any: [1, null] } }] });
    t.strictSame(unknown, ["spec.colour", "spec.rows[0].extra"]);
    t.strictSame(causes, []);
  });

  await t.test("says which field has the wrong type, is missing or is none of the choices", async (t) => {
    const given = { count: 1.5, on: "yes", mode: "C", tags: [], rows: [{}, { id: 7 }] };
    const { causes } = shape(schema, given, "spec");
    t.strictSame(
      causes.map(({ field, reason }) => [field, reason]),
      [
        ["spec.name", "FieldValueRequired"],
        ["spec.count", "FieldValueInvalid"],
        ["spec.on", "FieldValueInvalid"],
        ["spec.mode", "FieldValueNotSupported"],
        ["spec.tags", "FieldValueInvalid"],
        ["spec.rows[0].id", "FieldValueRequired"],
        ["spec.rows[1].id", "FieldValueInvalid"],
      ],
    );
    t.match(causes[1]?.message, 'spec.count in body must be of type integer: "number"');
    t.equal(causes[3]?.message, 'Unsupported value: "C": supported values: "A", "B"');
  });

  await t.test("does not take names of the language for fields", async (t) => {
    const given = JSON.parse(
      '{"name":"x","__proto__":{"count":1},"constructor":1,"tags":{"__proto__":"y"}}',
    ) as Json;
    const { value, unknown } = shape(schema, given, "");
    t.strictSame(unknown, ["__proto__", "constructor"]);
    t.same(Object.keys((value as { tags: object }).tags), ["__proto__"]);
  });

  await t.test("is said in OpenAPI's words", async (t) => {
    t.match(openApiSchema(schema), {
      type: "object",
      required: ["name"],
      properties: {
        count: { type: "integer" },
        mode: { enum: ["A", "B"] },
        tags: { additionalProperties: { type: "string" } },
        rows: {
          type: "array",
          items: { properties: { free: { "x-kubernetes-preserve-unknown-fields": true } } },
        },
      },
    });
  });
});

t.test("a merge patch", async (t) => {
  // The examples of RFC 7386, appendix A.
  const rows: readonly [Json, Json, Json][] = [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"],
    ],
    [{ a: "b" }, ["c"], ["c"]],
    [{ a: "foo" }, null, null],
    [{ a: "foo" }, "bar", "bar"],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, expected] of rows) {
    t.strictSame(mergePatch(target, patch), expected, JSON.stringify(patch));
  }

  await t.test("changes nothing more when it comes again, and leaves its target alone", async (t) => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3 }), fc.jsonValue({ maxDepth: 3 }), (target, patch) => {
        const before = JSON.stringify(target);
        const once = mergePatch(target as Json, patch as Json);
        t.strictSame(mergePatch(once, patch as Json), once);
        return JSON.stringify(target) === before;
      }),
      { numRuns: 200 },
    );
  });
});

t.test("names, labels and annotations", async (t) => {
  for (const name of ["a", "thermo-1", "a.b-c.d", "0"]) t.equal(nameProblem(name), undefined, name);
  for (const name of ["", "A", "a_b", "-a", "a.", "a/b", "ä", "a".repeat(254)]) t.ok(nameProblem(name), name);
  t.equal(namespaceProblem("default"), undefined);
  t.ok(namespaceProblem("a.b"));

  const fields = (metadata: object): readonly string[] =>
    validateMetadata({ name: "x", namespace: "default", ...metadata }, true).map(({ field }) => field);
  t.strictSame(fields({ labels: { "a.b/c": "D_1", e: "" }, annotations: { "k.io/last": "{ }" } }), []);
  t.strictSame(fields({ name: "X" }), ["metadata.name"]);
  t.strictSame(fields({ labels: { "a/b/c": "d" } }), ["metadata.labels"]);
  t.strictSame(fields({ labels: { a: "two words" } }), ["metadata.labels"]);
  t.strictSame(fields({ annotations: { a: "x".repeat(300_000) } }), ["metadata.annotations"]);
});

t.test("selectors", async (t) => {
  const metadata = { name: "x", namespace: "default", labels: { app: "web", tier: "front" } };
  const byLabel = (text: string): boolean | undefined => labelSelector(text)?.(metadata);
  for (const text of [
    "",
    "app=web",
    "app==web,tier!=back",
    "app in (api, web)",
    "app",
    "!gone",
    "zone notin (a,b)",
    "zone!=a",
  ]) {
    t.equal(byLabel(text), true, text);
  }
  for (const text of ["app=api", "!app", "gone", "app in (api),tier=front", "app notin (web)", "toString"]) {
    t.equal(byLabel(text), false, text);
  }
  for (const text of ["app=web=x", "app in web", "a b", "app>3"]) t.equal(byLabel(text), undefined, text);

  const byField = (text: string): unknown => {
    const selector = fieldSelector(text);
    return typeof selector === "function" ? selector(metadata) : selector;
  };
  t.equal(byField("metadata.name=x,metadata.namespace!=other"), true);
  t.equal(byField("metadata.name=y"), false);
  t.strictSame(byField("spec.nodeName=n"), { unsupported: "spec.nodeName=n" });
});

t.test("paths lead to a kind, a namespace and a name", async (t) => {
  const at = (path: string): unknown => {
    const found = parseResourcePath(path.split("/").slice(1));
    return (
      found && [found.group, found.version, found.namespace, found.plural, found.name, found.subresource]
    );
  };
  t.strictSame(at("/apis/g/v/things"), ["g", "v", undefined, "things", undefined, undefined]);
  t.strictSame(at("/apis/g/v/namespaces/ns/things/x/status"), ["g", "v", "ns", "things", "x", "status"]);
  t.strictSame(at("/api/v1/nodes/n"), ["", "v1", undefined, "nodes", "n", undefined]);
  t.strictSame(at("/api/v1/namespaces/default"), ["", "v1", undefined, "namespaces", "default", undefined]);
  t.strictSame(at("/apis/g/v"), undefined);
  t.strictSame(at("/apis/g/v/a/b/c/d"), undefined);
  t.strictSame(at("/other/g/v/a"), undefined);
});
