/** A cloud, two nodes, what lies between them, and the disks under them; made for a run and gone after it. */
import { once } from "node:events";
import { mkdirSync, mkdtempSync } from "node:fs";
import { cp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tidemark } from "../e2e/processes.ts";
import { type Disk, mountDisk } from "./disk.ts";
import { Host } from "./host.ts";
import { Api } from "./look.ts";
import { devicesOf, diskBytes, nodes, reportedProperties, wantedProperty } from "./options.ts";
import { LinkProxy } from "./proxy.ts";

export interface NodePlace {
  readonly host: Host;
  readonly proxy: LinkProxy;
  readonly api: Api;
  readonly mqttUrl: string;
  /** Of its log. */
  readonly directory: string;
}

export class World {
  /** Everything of the run is in here. */
  readonly directory: string = mkdtempSync(join(tmpdir(), "tidemark-crash-"));
  readonly dataDir: string = join(this.directory, "data");
  /** By `cloud` or node; empty where there can be none. */
  readonly disks: Map<string, Disk> = new Map();
  /** Why there are none. */
  noDisks: string | undefined;
  readonly places: Map<string, NodePlace> = new Map();
  readonly #hosts = new Map<string, Host>();
  #cloud: { readonly host: Host; readonly api: Api } | undefined;

  get cloud(): { readonly host: Host; readonly api: Api } {
    if (this.#cloud === undefined) throw new Error("the world has not begun");
    return this.#cloud;
  }

  /** The cloud's process, and each node's. */
  get hosts(): Iterable<Host> {
    return this.#hosts.values();
  }

  host(name: string): Host {
    return this.#hosts.get(name) as Host;
  }

  directoryOf(name: string): string {
    return name === "cloud" ? join(this.dataDir, "cloud") : join(this.dataDir, "edge", name);
  }

  /** Everything up, connected, and the devices known on both sides. */
  async begin(): Promise<void> {
    this.#mount();
    const [linkPort, apiPort] = [await freePort(), await freePort()];
    const ports = ["--link-port", `${linkPort}`, "--api-port", `${apiPort}`, "--bind-address", "127.0.0.1"];
    const host = this.#host("cloud", ["cloud", ...ports]);
    this.#cloud = { host, api: Api.ofCloud(this.dataDir) };
    await host.start();
    for (const node of nodes) {
      await this.#command("cert", "issue", "--node", node);
      await this.#beginNode(node, linkPort);
    }
    const file = join(this.directory, "devices.json");
    await writeFile(file, JSON.stringify(declarations()));
    await this.#command("apply", "-f", file);
  }

  /** Asks by the command line, as a person does. @throws when it says no */
  async want(device: string, property: string, value: string): Promise<void> {
    await this.#command("device", "set", `default/${device}`, property, value);
  }

  /** @param keep what is for a post-mortem stays, and it says where */
  async end(keep: boolean): Promise<string | undefined> {
    await Promise.all([...this.#hosts.values()].map((host) => host.destroy()));
    for (const { proxy } of this.places.values()) await proxy.close();
    for (const [name, disk] of this.disks) {
      disk.free();
      // What is on it goes with it.
      const copy = `${this.directoryOf(name)}.copy`;
      if (keep) await cp(this.directoryOf(name), copy, { recursive: true });
      disk.release();
      if (!keep) continue;
      await rm(this.directoryOf(name), { recursive: true });
      await cp(copy, this.directoryOf(name), { recursive: true });
      await rm(copy, { recursive: true });
    }
    if (keep) return this.directory;
    await rm(this.directory, { recursive: true, force: true });
    return undefined;
  }

  async #beginNode(node: string, linkPort: number): Promise<void> {
    const [mqttPort, apiPort] = [await freePort(), await freePort()];
    const proxy = await LinkProxy.open(linkPort);
    const cloud = `wss://127.0.0.1:${proxy.port}`;
    const ports = ["--mqtt-port", `${mqttPort}`, "--edge-api-port", `${apiPort}`];
    const host = this.#host(node, ["edge", "--node", node, "--cloud", cloud, ...ports]);
    this.places.set(node, {
      host,
      proxy,
      api: Api.ofNode(`http://127.0.0.1:${apiPort}`),
      mqttUrl: `mqtt://127.0.0.1:${mqttPort}`,
      directory: join(this.directoryOf(node), "log"),
    });
    await host.start();
  }

  #mount(): void {
    mkdirSync(this.dataDir, { mode: 0o700 });
    for (const name of ["cloud", ...nodes]) {
      const disk = mountDisk(this.directoryOf(name), diskBytes);
      if (typeof disk === "string") {
        this.noDisks = disk;
        return;
      }
      this.disks.set(name, disk);
    }
  }

  #host(name: string, args: readonly string[]): Host {
    const host = new Host(name, [...args, "--data-dir", this.dataDir], join(this.directory, `${name}.txt`));
    this.#hosts.set(name, host);
    return host;
  }

  async #command(...args: readonly string[]): Promise<void> {
    const { code, stderr } = await tidemark(this.dataDir, ...args);
    if (code !== 0) throw new Error(`tidemark ${args.join(" ")}: ${stderr.trim()}`);
  }
}

const apiVersion = "devices.kubeedge.io/v1beta1";

function declarations(): unknown {
  const namespace = "default";
  const properties = [
    ...reportedProperties.map((name) => ({ name, type: "STRING", accessMode: "ReadOnly" })),
    { name: wantedProperty, type: "INT", accessMode: "ReadWrite" },
  ];
  const model = {
    apiVersion,
    kind: "DeviceModel",
    metadata: { name: "machine", namespace },
    spec: { protocol: "mqtt", properties },
  };
  const devices = [...devicesOf].flatMap(([nodeName, names]) =>
    names.map((name) => ({
      apiVersion,
      kind: "Device",
      metadata: { name, namespace },
      spec: { deviceModelRef: { name: "machine" }, nodeName },
    })),
  );
  return { apiVersion: "v1", kind: "List", items: [model, ...devices] };
}

/** Below those that the system gives to whoever dials, or one that is taken for a moment would end a process. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await Promise.race([
      once(server, "listening").then(() => true),
      once(server, "error").then(() => false),
    ]).catch(() => false);
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}
