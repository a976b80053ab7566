import t from "tap";

import { importsOf, packageOf, resolveImport, sourcesOf } from "./tree.ts";

interface Layer {
  readonly name: string;
  readonly holds: (path: string) => boolean;
  /** The layers it may import from, itself included. */
  readonly sees: readonly string[];
  /** Pure: no `node:*`, and of the packages only those that compute and do no I/O. */
  readonly pure: boolean;
}

const computingPackages = new Set(["msgpackr", "yaml"]);

// In order: the first that holds a file is its layer, so the inner folders come first.
const layers: readonly Layer[] = [
  layer("core/store", { sees: ["core", "core/store"] }),
  layer("core", { sees: ["core"], pure: true }),
  layer("protocol/adapters", { sees: ["core", "protocol", "protocol/adapters"] }),
  layer("protocol", { sees: ["core", "protocol"], pure: true }),
  layer("cloud", { sees: ["core", "core/store", "protocol", "protocol/adapters", "cloud"] }),
  layer("edge", { sees: ["core", "core/store", "protocol", "protocol/adapters", "edge"] }),
  layer("cli", { sees: ["core", "core/store", "protocol", "protocol/adapters", "cloud", "edge", "cli"] }),
];

function layer(name: string, { sees, pure = false }: { sees: string[]; pure?: boolean }): Layer {
  return { name, holds: (path) => path.startsWith(`${name}/`), sees, pure };
}

function layerOf(path: string): Layer | undefined {
  return layers.find((candidate) => candidate.holds(path));
}

/** Each import of a file that its layer may not have, as a sentence. */
function violations(path: string, text: string): string[] {
  const own = layerOf(path);
  if (own === undefined) return [`${path} is in no layer`];
  return importsOf(text).flatMap((specifier) => {
    const target = resolveImport(path, specifier);
    if (!specifier.startsWith(".")) {
      const forbidden = own.pure && !computingPackages.has(packageOf(specifier));
      return forbidden ? [`${path} is pure and imports ${specifier}`] : [];
    }
    const layer = layerOf(target)?.name ?? "no layer";
    return own.sees.includes(layer) ? [] : [`${path} (${own.name}) imports ${target} (${layer})`];
  });
}

t.test("a forbidden import is found, however it is written", async (t) => {
  const cases: [path: string, text: string][] = [
    ["core/event.ts", `import { readFile } from "node:fs/promises";`],
    ["core/event.ts", `import type { Buffer } from "node:buffer";`],
    ["core/event.ts", `import {\n  a,\n  b,\n} from "./store/level.ts";`],
    ["core/event.ts", `export * from "../protocol/index.ts";`],
    ["core/event.ts", `import "ws";`],
    ["protocol/link/session.ts", `const tls = await import("../adapters/tls.ts");`],
    ["protocol/link/session.ts", `import { x509 } from "@peculiar/x509";`],
    ["cloud/cloud.ts", `import { createEdge } from "../edge/index.ts";`],
    ["cloud/hub/hub.ts", `import { main } from "../../cli/main.ts";`],
    ["edge/edge.ts", `export { createCloud } from "../cloud/index.ts";`],
    ["edge/edge.ts", `import { world } from "../test/sim/world.ts";`],
    ["cli/main.ts", `import { bench } from "../benchmarks/main.ts";`],
  ];
  for (const [path, text] of cases) t.equal(violations(path, text).length, 1, `${path}: ${text}`);
});

t.test("an allowed import is not", async (t) => {
  const cases: [path: string, text: string][] = [
    ["core/codec.ts", `import { Packr } from "msgpackr";\nimport { assert } from "./errors.ts";`],
    [
      "core/store/level.ts",
      `import { fsync } from "node:fs";\nimport type { Store } from "../store-port.ts";`,
    ],
    [
      "protocol/link/session.ts",
      `// unlike import("node:net")\nimport { Clock } from "../../core/ports.ts";`,
    ],
    ["cloud/cloud.ts", `import { serve } from "../protocol/adapters/https.ts";\nimport ws from "ws";`],
    [
      "cli/up.ts",
      `import { createCloud } from "../cloud/index.ts";\nimport { edge } from "../edge/index.ts";`,
    ],
  ];
  for (const [path, text] of cases) t.same(violations(path, text), [], `${path}: ${text}`);
});

t.test(
  "imports go one way: core ← protocol ← cloud, edge ← cli, and the pure folders stay pure",
  async (t) => {
    for (const folder of ["core", "protocol", "cloud", "edge", "cli"]) {
      const sources = sourcesOf(folder);
      t.ok(sources.length > 0, `${folder}/ has sources`);
      t.same(
        sources.flatMap(({ path, text }) => violations(path, text)),
        [],
        folder,
      );
    }
  },
);
