/**
 * Loads the product in another version beside this one: modules whose URL names a version are this one's with the edits
 * of that version made. Runs in Node's loader thread. Errors and failures are the same in all versions, because stores,
 * machines and people, who are of this one, make and tell them too.
 */
import type { LoadHook, ResolveHook } from "node:module";
import type { Edit } from "./mutant.ts";

/** By name of the version: the edits, of files named as they are compiled. */
export type EditsOf = Readonly<Record<string, readonly Edit[]>>;

interface Given {
  /** URL of the folder with the product, compiled. */
  readonly root: string;
  readonly edits: EditsOf;
}

const shared: readonly string[] = ["core/errors.js", "protocol/rest/status.js"];

let given: Given = { root: "", edits: {} };

export function initialize(data: Given): void {
  given = data;
}

function versionOf(url: string | undefined): string | null {
  return url === undefined ? null : new URL(url).searchParams.get("version");
}

function fileOf(url: string): string | undefined {
  const path = url.replace(/\?.*$/, "");
  return path.startsWith(given.root) ? path.slice(given.root.length) : undefined;
}

export const resolve: ResolveHook = async (specifier, context, next) => {
  const resolved = await next(specifier, context);
  const version = versionOf(context.parentURL);
  const file = fileOf(resolved.url);
  if (version === null || file === undefined || shared.includes(file)) return resolved;
  return { ...resolved, url: `${resolved.url}?version=${version}` };
};

export const load: LoadHook = async (url, context, next) => {
  const loaded = await next(url, context);
  const version = url.startsWith(given.root) ? versionOf(url) : null;
  if (version === null) return loaded;
  const file = fileOf(url);
  const edits = (given.edits[version] ?? []).filter((edit) => edit.file === file);
  const { source = "" } = loaded;
  const text = typeof source === "string" ? source : new TextDecoder().decode(source);
  return { ...loaded, source: edits.reduce(edited, text) };
};

function edited(source: string, { file, find, replace }: Edit): string {
  const count = source.split(find).length - 1;
  if (count !== 1) throw new Error(`${file} holds this ${count} times, and not once: ${find}`);
  return source.replace(find, () => replace);
}
