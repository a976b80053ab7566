import { existsSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import t from "tap";

import { importsOf, packageOf, root, sourcesOf } from "./tree.ts";

interface Manifest {
  readonly bin: Record<string, string>;
  readonly exports: Record<string, Record<string, string>>;
  readonly dependencies: Record<string, string>;
  readonly allowScripts: Record<string, boolean>;
  readonly scripts: Record<string, string>;
}

interface Lock {
  readonly packages: Record<string, { readonly hasInstallScript?: boolean }>;
}

function read(name: string): unknown {
  return JSON.parse(readFileSync(join(root, name), "utf8"));
}

const manifest = read("package.json") as Manifest;

t.test("every command of `bin` is there after a build, and starts Node", async (t) => {
  for (const [command, path] of Object.entries(manifest.bin)) {
    if (!t.ok(existsSync(join(root, path)), `${command}: ${path}`)) continue;
    t.match(
      readFileSync(join(root, path), "utf8"),
      /^#!\/usr\/bin\/env (-S )?node\b/,
      `${command}: first line`,
    );
  }
});

t.test("every entry of `exports` is there after a build", async (t) => {
  for (const [entry, conditions] of Object.entries(manifest.exports)) {
    t.equal(Object.keys(conditions)[0], "types", `${entry}: types come first`);
    for (const path of Object.values(conditions)) t.ok(existsSync(join(root, path)), `${entry}: ${path}`);
  }
});

t.test("`allowScripts` names exactly the installed packages that have install scripts", async (t) => {
  const { packages } = read("package-lock.json") as Lock;
  const scripted = Object.entries(packages)
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([path]) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length));
  t.same(Object.keys(manifest.allowScripts).toSorted(), [...new Set(scripted)].toSorted());
});

t.test("the product imports every package of `dependencies`, and no other", async (t) => {
  const imported = ["core", "protocol", "cloud", "edge", "cli"]
    .flatMap((folder) => sourcesOf(folder))
    .flatMap(({ text }) => importsOf(text))
    .filter((specifier) => !specifier.startsWith(".") && !specifier.startsWith("node:"))
    .map((specifier) => packageOf(specifier));
  t.same(
    imported.filter((name) => builtinModules.includes(name)),
    [],
    "Node's own modules are imported as node:…",
  );
  t.same([...new Set(imported)].toSorted(), Object.keys(manifest.dependencies).toSorted());
});

t.test("every file that a script runs is there", async (t) => {
  for (const [name, command] of Object.entries(manifest.scripts)) {
    for (const [, path] of command.matchAll(/\bnode (\S+)/g)) {
      t.ok(existsSync(join(root, path ?? "")), `npm run ${name}: ${path}`);
    }
  }
});
