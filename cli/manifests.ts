/** Kubernetes objects as people keep them: YAML or JSON, several to a file, several files to a folder. */
import { readFile, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { LineCounter, parseAllDocuments } from "yaml";
import { TidemarkError, messageOf } from "../core/errors.ts";
import { hasErrno } from "../protocol/adapters/files.ts";
import { type JsonObject, isJsonObject } from "../protocol/rest/objects.ts";
import { absolute } from "./context.ts";
import type { World } from "./world.ts";

export interface Manifest {
  /** Where it stands: `devices.yaml:12`. */
  readonly source: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  /** Undefined when it does not say. */
  readonly namespace: string | undefined;
  readonly object: JsonObject;
}

const extensions = /\.(ya?ml|json)$/;

/** All objects of files and folders, in order; `-` is standard input. @throws TidemarkError NOT_FOUND, INVALID */
export async function readManifests(files: readonly string[], world: World): Promise<Manifest[]> {
  const found: Manifest[] = [];
  for (const file of files) {
    if (file === "-") found.push(...parseManifests(await text(world.stdin), "standard input"));
    else
      for (const path of await expand(file, world))
        found.push(...parseManifests(await read(path, world), path));
  }
  if (found.length > 0) return found;
  throw new TidemarkError("INVALID", `there are no objects in ${files.join(", ")}`);
}

/** A folder's files by name, without those of folders in it. */
async function expand(file: string, world: World): Promise<string[]> {
  const path = absolute(world, file);
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) return [file];
  const names = (await readdir(path)).filter((name) => extensions.test(name)).toSorted();
  if (names.length === 0) {
    throw new TidemarkError("NOT_FOUND", `there are no .yaml, .yml or .json files in ${file}`);
  }
  return names.map((name) => join(file, name));
}

async function read(path: string, world: World): Promise<string> {
  try {
    return await readFile(absolute(world, path), "utf8");
  } catch (cause) {
    const isMissing = hasErrno(cause, "ENOENT");
    const message = isMissing ? `there is no file ${path}` : `${path} can't be read: ${messageOf(cause)}`;
    throw new TidemarkError(isMissing ? "NOT_FOUND" : "INVALID", message, { cause });
  }
}

/** @throws TidemarkError INVALID, with the place */
export function parseManifests(content: string, source: string): Manifest[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(content, { lineCounter: lines });
  return [...documents].flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw invalid(`${source}: ${error.message.split("\n")[0]}`);
    const value: unknown = toPlain(document, source);
    const place = `${source}:${lines.linePos(document.contents?.range?.[0] ?? document.range[0]).line}`;
    // What is between two `---` may be nothing but comments.
    return value === null || value === undefined ? [] : objectsOf(value, place);
  });
}

function toPlain(document: { toJS(): unknown }, source: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new TidemarkError("INVALID", `${source}: ${messageOf(cause)}`, { cause });
  }
}

function objectsOf(value: unknown, source: string): Manifest[] {
  if (!isJsonObject(value))
    throw invalid(`${source}: it is no Kubernetes object, which has names and values`);
  const { apiVersion, kind, metadata, items } = value;
  if (typeof kind === "string" && kind.endsWith("List") && Array.isArray(items)) {
    return items.flatMap((item: unknown) => objectsOf(item, source));
  }
  if (typeof apiVersion !== "string" || apiVersion === "") throw invalid(`${source}: apiVersion is missing`);
  if (typeof kind !== "string" || kind === "") throw invalid(`${source}: kind is missing`);
  const meta = isJsonObject(metadata) ? metadata : {};
  const { name, namespace } = meta;
  if (typeof name !== "string" || name === "") throw invalid(`${source}: metadata.name is missing`);
  if (namespace !== undefined && typeof namespace !== "string")
    throw invalid(`${source}: metadata.namespace is not text`);
  return [{ source, apiVersion, kind, name, namespace, object: value }];
}

function invalid(message: string): TidemarkError {
  return new TidemarkError("INVALID", message);
}
