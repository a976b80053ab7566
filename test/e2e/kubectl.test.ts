/** The cloud's API through the real kubectl, every version of it that is on this machine. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import t from "tap";
import { run } from "./processes.ts";
import { Site, node } from "./site.ts";

/** `kubectl`, and `kubectl.1.N` beside the file it links to. */
function kubectls(): string[] {
  let found: string;
  try {
    found = execFileSync("which", ["kubectl"], { encoding: "utf8" }).trim();
  } catch {
    return [];
  }
  const directory = dirname(realpathSync(found));
  const versions = readdirSync(directory).filter((name) => /^kubectl\.1\.[0-9]+$/.test(name));
  return versions.length > 0 ? versions.map((name) => join(directory, name)) : [found];
}

const found = kubectls().filter((file) => existsSync(file));
const skip = found.length > 0 ? false : "there is no kubectl on PATH";

t.test("devices are declared, read, changed and deleted with kubectl", { skip }, async (t) => {
  const site = new Site(t);
  await site.startCloud();
  const { kubeconfig = "" } = (await site.cloud?.ready()) ?? {};
  const file = site.beside("device.yaml");
  for (const kubectl of found) {
    const device = (nodeName: string): string =>
      `apiVersion: devices.kubeedge.io/v1beta1
kind: Device
metadata: {name: lamp, namespace: default}
spec: {deviceModelRef: {name: lamps}, nodeName: ${nodeName}, protocol: {protocolName: mqtt}}
`;
    const ask = async (...args: readonly string[]): Promise<string> => {
      const home = ["--kubeconfig", kubeconfig, "--cache-dir", site.beside("cache")];
      const { code, stdout, stderr } = await run(kubectl, [...home, ...args]);
      if (code !== 0) throw new Error(`${kubectl} ${args.join(" ")}: ${stderr}`);
      return stdout;
    };
    await writeFile(file, device(node));
    t.match(await ask("apply", "-f", file), /device\.devices\.kubeedge\.io\/lamp created/);
    t.match(await ask("apply", "-f", file), /unchanged/);
    await writeFile(file, device("another"));
    t.match(await ask("apply", "-f", file), /configured/);
    t.equal(await ask("get", "device", "lamp", "-o", "jsonpath={.spec.nodeName}"), "another");
    t.match(await ask("get", "devices"), /lamp/);
    t.match(await ask("delete", "device", "lamp"), /deleted/);
    await t.rejects(ask("get", "device", "lamp"), { message: /NotFound/ });
  }
});
