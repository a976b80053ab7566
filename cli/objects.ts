/** Objects of the Kubernetes API, of whatever kinds the server serves. */
import { TidemarkError, hasCode } from "../core/errors.ts";
import { defaultNamespace } from "../protocol/devices/topics.ts";
import { type JsonObject, type KubeObject, isJsonObject } from "../protocol/rest/objects.ts";
import type { Manifest } from "./manifests.ts";
import type { Target } from "./target.ts";

/** A kind, as the server names it. */
export interface ServedKind {
  /** `devices.kubeedge.io/v1beta1`, or `v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
}

export interface ObjectPlace {
  readonly kind: ServedKind;
  readonly namespace: string;
  readonly name: string;
}

export type Applied = "created" | "configured" | "unchanged";

/** A client of one API server; asks for each group's kinds once. */
export class Objects {
  readonly #target: Target;
  readonly #kinds = new Map<string, Promise<readonly ServedKind[]>>();

  constructor(target: Target) {
    this.#target = target;
  }

  /** @throws TidemarkError NOT_FOUND when the server does not serve it, USAGE for a namespace that contradicts */
  async placeOf(manifest: Manifest, namespace: string | undefined): Promise<ObjectPlace> {
    const { apiVersion, kind: name, source } = manifest;
    const kinds = await this.#kindsOf(apiVersion).catch((error: unknown) => {
      if (hasCode(error, "NOT_FOUND")) return [];
      throw error;
    });
    const kind = kinds.find((served) => served.kind === name);
    if (kind === undefined) {
      throw new TidemarkError("NOT_FOUND", `${source}: the server has no kind ${name} in ${apiVersion}`);
    }
    if (manifest.namespace !== undefined && namespace !== undefined && manifest.namespace !== namespace) {
      throw new TidemarkError(
        "USAGE",
        `${source}: ${manifest.name} is in the namespace ${manifest.namespace}, and --namespace says ${namespace}`,
      );
    }
    return { kind, namespace: manifest.namespace ?? namespace ?? defaultNamespace, name: manifest.name };
  }

  /** By any of its names: `device`, `devices`, `Device`, a short name, or `devices.devices.kubeedge.io`. */
  async kindNamed(text: string): Promise<ServedKind> {
    const wanted = text.toLowerCase();
    const versions = await this.#apiVersions();
    const all = (await Promise.all(versions.map((version) => this.#kindsOf(version)))).flat();
    const kind = all.find(({ kind, plural, singular, shortNames, apiVersion }) =>
      [kind.toLowerCase(), plural, singular, ...shortNames, `${plural}.${groupOf(apiVersion)}`].includes(
        wanted,
      ),
    );
    if (kind !== undefined) return kind;
    const known = all.map(({ singular }) => singular).join(", ");
    throw new TidemarkError("USAGE", `the server has no kind ${text}: it has ${known}`);
  }

  /** Makes the object as it is given, whether or not it was there. */
  async apply(place: ObjectPlace, object: JsonObject): Promise<Applied> {
    const path = pathOf(place);
    const before = await this.find(place);
    const metadata = isJsonObject(object["metadata"]) ? object["metadata"] : {};
    const body = {
      ...object,
      metadata: { ...metadata, ...(place.kind.namespaced && { namespace: place.namespace }) },
    };
    const query = { fieldValidation: "Strict" };
    if (before === undefined) {
      await this.#target.send("POST", collectionOf(place), { body, query });
      return "created";
    }
    const after = (await this.#target.send("PUT", path, { body, query })) as KubeObject;
    return after.metadata.resourceVersion === before.metadata.resourceVersion ? "unchanged" : "configured";
  }

  /** @returns undefined when there is none */
  async find(place: ObjectPlace): Promise<KubeObject | undefined> {
    try {
      return (await this.#target.get(pathOf(place))) as KubeObject;
    } catch (error) {
      if (hasCode(error, "NOT_FOUND")) return undefined;
      throw error;
    }
  }

  /** @throws TidemarkError NOT_FOUND */
  async delete(place: ObjectPlace): Promise<void> {
    await this.#target.send("DELETE", pathOf(place));
  }

  async #apiVersions(): Promise<string[]> {
    const { groups } = (await this.#target.get("/apis")) as {
      groups: { versions: { groupVersion: string }[] }[];
    };
    const { versions } = (await this.#target.get("/api")) as { versions: string[] };
    return [
      ...versions,
      ...groups.flatMap((group) => group.versions.map(({ groupVersion }) => groupVersion)),
    ];
  }

  #kindsOf(apiVersion: string): Promise<readonly ServedKind[]> {
    let kinds = this.#kinds.get(apiVersion);
    if (kinds === undefined) {
      kinds = this.#askKinds(apiVersion);
      this.#kinds.set(apiVersion, kinds);
    }
    return kinds;
  }

  async #askKinds(apiVersion: string): Promise<ServedKind[]> {
    const { resources } = (await this.#target.get(rootOf(apiVersion))) as {
      resources: {
        name: string;
        singularName: string;
        kind: string;
        namespaced: boolean;
        shortNames?: string[];
      }[];
    };
    return resources
      .filter(({ name }) => !name.includes("/"))
      .map(({ name, singularName, kind, namespaced, shortNames = [] }) => ({
        apiVersion,
        kind,
        plural: name,
        singular: singularName === "" ? kind.toLowerCase() : singularName,
        shortNames,
        namespaced,
      }));
  }
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes("/") ? (apiVersion.split("/")[0] as string) : "";
}

function rootOf(apiVersion: string): string {
  const [first = "", second] = apiVersion.split("/").map((part) => encodeURIComponent(part));
  return second === undefined ? `/api/${first}` : `/apis/${first}/${second}`;
}

function collectionOf({ kind, namespace }: ObjectPlace): string {
  const within = kind.namespaced ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${rootOf(kind.apiVersion)}${within}/${kind.plural}`;
}

function pathOf(place: ObjectPlace): string {
  return `${collectionOf(place)}/${encodeURIComponent(place.name)}`;
}

/** `device.devices.kubeedge.io`: what kubectl calls a kind when it says what it did. */
export function kindTitle({ singular, apiVersion }: ServedKind): string {
  const group = groupOf(apiVersion);
  return group === "" ? singular : `${singular}.${group}`;
}
