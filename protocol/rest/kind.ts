import type { JsonObject, KubeObject } from "./objects.ts";
import type { Schema } from "./schema.ts";
import type { Cause } from "./status.ts";

/** How a kind is named in the Kubernetes API. */
export interface KindNames {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  /** `Device` */
  readonly kind: string;
  /** `devices`: in paths and keys. */
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
}

/** Finds another object by its key (`objectKey`). */
export type Lookup = (key: string) => KubeObject | undefined;

/** One row of the table of kinds: all that the API server knows of a kind. */
export interface Kind extends KindNames {
  readonly spec: Schema;
  /** What the schema can't say. Called with an object whose shape is right. */
  readonly validate: (object: KubeObject) => readonly Cause[];
  /** Fills in what was left out. */
  readonly withDefaults?: (object: KubeObject) => KubeObject;
  /** What is shown as `status`: worked out when the object is read, never stored. */
  readonly status?: (object: KubeObject, find: Lookup) => JsonObject;
}

export function apiVersionOf({ group, version }: Pick<KindNames, "group" | "version">): string {
  return group === "" ? version : `${group}/${version}`;
}

/** `devices.devices.kubeedge.io` */
export function qualifiedPlural({ plural, group }: KindNames): string {
  return group === "" ? plural : `${plural}.${group}`;
}
