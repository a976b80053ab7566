import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the whole project, ending in a slash; tests run compiled, from `build/test/repo/`. */
export const root: string = fileURLToPath(new URL("../../../", import.meta.url));

export interface SourceFile {
  /** From the root: `core/event.ts`. */
  readonly path: string;
  readonly text: string;
}

/** The TypeScript files of a top folder, inner folders included. */
export function sourcesOf(folder: string): SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => ({ path: `${folder}/${name}`, text: readFileSync(join(root, folder, name), "utf8") }));
}

/** What a file imports, as written: `node:fs`, `ws`, `../core/event.ts`. Types, re-exports and `import()` too. */
export function importsOf(text: string): string[] {
  const code = text.replace(/^\s*\/\/.*$/gm, "").replace(/\/\*[\s\S]*?\*\//g, "");
  const statements = /^\s*(?:import|export)\s(?:[^"';]*?\sfrom\s*)?"([^"]+)"/gm;
  const calls = /\bimport\(\s*["'`]([^"'`]+)["'`]/g;
  return [...code.matchAll(statements), ...code.matchAll(calls)].map((match) => match[1] ?? "");
}

/** An import's target as a path from the root; a package or a `node:` module stays as written. */
export function resolveImport(from: string, specifier: string): string {
  return specifier.startsWith(".") ? normalize(join(dirname(from), specifier)) : specifier;
}

/** `ws/lib/x.js` is of `ws`, `@peculiar/x509` of itself. */
export function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}
