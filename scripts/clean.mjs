// Removes build output whose source is gone, so that a deleted test doesn't go on running and a deleted module
// can't be imported by accident. What has a source stays: the compiler rebuilds only what changed.
import { existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const build = join(root, "build");
const { references } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"));
const folders = new Set(references.map(({ path }) => path.split("/")[0]));

for (const folder of folders) {
  if (!existsSync(join(build, folder))) continue;
  for (const file of readdirSync(join(build, folder), { recursive: true })) {
    const source = join(folder, file).replace(/(\.d\.ts|\.js)(\.map)?$/, ".ts");
    if (source.endsWith(".ts") && !existsSync(join(root, source))) {
      rmSync(join(build, folder, file), { force: true });
      console.log(`removed build${sep}${join(folder, file)}: ${source} is gone`);
    }
  }
}
