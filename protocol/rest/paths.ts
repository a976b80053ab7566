/** Where a path of the Kubernetes API leads: `/apis/GROUP/VERSION[/namespaces/NS]/PLURAL[/NAME[/SUBRESOURCE]]`. */
export interface ResourcePath {
  /** Empty for `/api/VERSION/…`. */
  readonly group: string;
  readonly version: string;
  /** Undefined for all namespaces, or a kind that has none. */
  readonly namespace: string | undefined;
  readonly plural: string;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** @returns undefined when the path is not a resource's */
export function parseResourcePath(segments: readonly string[]): ResourcePath | undefined {
  const core = segments[0] === "api";
  if (!core && segments[0] !== "apis") return undefined;
  const [group, version, ...rest] = core ? ["", ...segments.slice(1)] : segments.slice(1);
  if (group === undefined || version === undefined || rest.length === 0) return undefined;
  // `/api/v1/namespaces/x` is a namespace; with more behind it, what is in it.
  const inNamespace = rest[0] === "namespaces" && rest.length > 2;
  const namespace = inNamespace ? rest[1] : undefined;
  const [plural, name, subresource, ...more] = inNamespace ? rest.slice(2) : rest;
  if (plural === undefined || more.length > 0) return undefined;
  return { group, version, namespace, plural, name, subresource };
}
