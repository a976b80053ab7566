/** What a client asks before it asks for objects: which kinds there are, and what they look like. */
import { type HttpRequest, type HttpResponse, jsonResponse } from "../../protocol/rest/http.ts";
import { type Kind, apiVersionOf } from "../../protocol/rest/kind.ts";
import { metadataSchema } from "../../protocol/rest/metadata.ts";
import type { JsonObject } from "../../protocol/rest/objects.ts";
import { openApiSchema } from "../../protocol/rest/schema.ts";
import { type GroupVersion, groupVersions } from "./kinds.ts";

const verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];

/** The Kubernetes version whose API this is a part of. */
const kubernetesMinor = 30;

export interface DiscoveryOptions {
  readonly kinds: readonly Kind[];
  /** Tidemark's version. */
  readonly version: string;
}

/** @returns undefined when the path leads to no such document */
export function discover(options: DiscoveryOptions, request: HttpRequest): HttpResponse | undefined {
  const path = request.path.length > 1 ? request.path.replace(/\/$/, "") : request.path;
  if (path === "/healthz" || path === "/livez" || path === "/readyz") {
    return { status: 200, headers: { "content-type": "text/plain; charset=utf-8" }, body: "ok" };
  }
  // Clients of 1.27 and 1.28 insist on this one in Protocol Buffers, and are content when nothing is in it.
  if (path === "/openapi/v2") {
    const type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    return { status: 200, headers: { "content-type": type }, body: new Uint8Array() };
  }
  const body = documents(options).get(path)?.();
  return body === undefined ? undefined : jsonResponse(200, body);
}

function documents({ kinds, version }: DiscoveryOptions): ReadonlyMap<string, () => JsonObject> {
  const all = groupVersions(kinds);
  const grouped = all.filter(({ group }) => group !== "");
  const coreVersions = all.filter(({ group }) => group === "").map((at) => at.version);
  const found = new Map<string, () => JsonObject>([
    ["/version", () => versionDocument(version)],
    ["/api", () => ({ kind: "APIVersions", versions: coreVersions, serverAddressByClientCIDRs: [] })],
    [
      "/apis",
      () => ({
        kind: "APIGroupList",
        apiVersion: "v1",
        groups: groupNames(grouped).map((name) => groupDocument(grouped, name)),
      }),
    ],
    ["/openapi/v3", () => openApiIndex(all, version)],
  ]);
  for (const name of groupNames(grouped)) {
    found.set(`/apis/${name}`, () => ({
      kind: "APIGroup",
      apiVersion: "v1",
      ...groupDocument(grouped, name),
    }));
  }
  for (const at of all) {
    const own = kinds.filter((kind) => kind.group === at.group && kind.version === at.version);
    found.set(`/${pathOf(at)}`, () => resourceList(at, own));
    found.set(`/openapi/v3/${pathOf(at)}`, () => openApiDocument(own, version));
  }
  return found;
}

function pathOf(at: GroupVersion): string {
  return at.group === "" ? `api/${at.version}` : `apis/${at.group}/${at.version}`;
}

function groupNames(all: readonly GroupVersion[]): readonly string[] {
  return [...new Set(all.map(({ group }) => group))];
}

function groupDocument(all: readonly GroupVersion[], name: string): JsonObject {
  const versions = all
    .filter(({ group }) => group === name)
    .map((at) => ({ groupVersion: apiVersionOf(at), version: at.version }));
  return { name, versions, preferredVersion: versions[0] ?? null };
}

function resourceList(at: GroupVersion, kinds: readonly Kind[]): JsonObject {
  const resources = kinds.map(({ plural, singular, shortNames, namespaced, kind }) => ({
    name: plural,
    singularName: singular,
    namespaced,
    kind,
    verbs,
    shortNames,
  }));
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion: apiVersionOf(at), resources };
}

function versionDocument(version: string): JsonObject {
  return {
    major: "1",
    minor: String(kubernetesMinor),
    gitVersion: `v1.${kubernetesMinor}.0+tidemark-${version}`,
    gitCommit: "",
    gitTreeState: "clean",
    buildDate: "1970-01-01T00:00:00Z",
    goVersion: "",
    compiler: "",
    platform: "linux/amd64",
  };
}

function openApiIndex(all: readonly GroupVersion[], version: string): JsonObject {
  const entry = (at: GroupVersion): [string, JsonObject] => {
    const path = pathOf(at);
    // Clients cache by this address: another version, another address.
    return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${encodeURIComponent(version)}` }];
  };
  return { paths: Object.fromEntries(all.map(entry)) };
}

function openApiDocument(kinds: readonly Kind[], version: string): JsonObject {
  return {
    openapi: "3.0.0",
    info: { title: "Tidemark", version },
    paths: Object.fromEntries(kinds.map((kind) => [itemPath(kind), pathItem(kind)])),
    components: { schemas: Object.fromEntries(kinds.map((kind) => [schemaName(kind), kindSchema(kind)])) },
  };
}

function itemPath(kind: Kind): string {
  return `/${pathOf(kind)}${kind.namespaced ? "/namespaces/{namespace}" : ""}/${kind.plural}/{name}`;
}

/** Clients look here whether the server checks fields itself, and whether it can run dry. */
function pathItem(kind: Kind): JsonObject {
  const parameter = (name: string): JsonObject => ({ name, in: "query", schema: { type: "string" } });
  const operation = (action: string): JsonObject => ({
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": { group: kind.group, version: kind.version, kind: kind.kind },
    parameters: ["dryRun", "fieldManager", "fieldValidation"].map(parameter),
    responses: { "200": { description: "OK" } },
  });
  return { put: operation("put"), patch: operation("patch"), delete: operation("delete") };
}

function schemaName({ group, version, kind }: Kind): string {
  return [...group.split(".").toReversed(), version, kind].join(".");
}

function kindSchema({ group, version, kind, spec }: Kind): JsonObject {
  return {
    type: "object",
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: openApiSchema(metadataSchema),
      spec: openApiSchema(spec),
      status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
    },
    "x-kubernetes-group-version-kind": [{ group, version, kind }],
  };
}
