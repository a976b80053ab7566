/** `tidemark up`: starts the processes, shows what they say, and ends them. */
import { setTimeout as delay } from "node:timers/promises";
import { TidemarkError, messageOf } from "../../core/errors.ts";
import { rfc3339 } from "../../core/time.ts";
import type { ChangeRow } from "../../protocol/rest/device-api.ts";
import type { StatusRow } from "../../protocol/rest/status-api.ts";
import { productVersion } from "../../protocol/version.ts";
import type { Context } from "../context.ts";
import { Objects } from "../objects.ts";
import { openCloud } from "../target.ts";
import { shellWord } from "../text.ts";
import { untilAborted } from "../until.ts";
import { type Child, startChild } from "./child.ts";
import { type Display, openDisplay } from "./display.ts";
import {
  type Part,
  type UpModel,
  createPart,
  isConnected,
  note,
  takeChange,
  takeDevice,
  takeStatus,
} from "./model.ts";
import { observe } from "./observer.ts";
import { type Plan, type PlannedPart, command } from "./plan.ts";
import { type RunningDevice, declarations, startDevice, thisMachine, topic } from "./this-machine.ts";

const endMsMax = 5000;

export class Up {
  readonly #context: Context;
  readonly #plan: Plan;
  readonly #model: UpModel;
  readonly #quit = new AbortController();
  readonly #children = new Map<string, Child>();
  /** Parts not started yet. */
  readonly #toCome: Set<string>;
  readonly #display: Display;
  #device: RunningDevice | undefined;

  constructor(context: Context, plan: Plan) {
    this.#context = context;
    this.#plan = plan;
    this.#toCome = new Set([plan.cloud, ...plan.nodes].map(({ name }) => name));
    const part = ({ name, isCloud, byHand }: PlannedPart): Part =>
      createPart(name, isCloud, byHand.map(shellWord).join(" "));
    this.#model = {
      version: productVersion,
      dataDir: context.dataDir,
      cloud: part(plan.cloud),
      nodes: plan.nodes.map(part),
      device: plan.device ? thisMachine : undefined,
      events: new Map(),
      notes: [],
      lines: () => this.#lines(),
      stopping: false,
    };
    this.#display = openDisplay(context.world, this.#model, context.paint, (key) => this.#pressed(key));
  }

  /** Runs until a signal, or the key q, ends it. @throws TidemarkError when something can't be started */
  async run(): Promise<number> {
    const signal = AbortSignal.any([this.#context.world.stopping(), this.#quit.signal]);
    // They look on while everything ends, too.
    const over = new AbortController();
    const watching = this.#parts().map(([planned, part]) => this.#observe(planned, part, over.signal));
    try {
      for (const remark of this.#plan.remarks) this.#note(remark);
      await Promise.race([this.#start(), untilAborted(signal), ...watching]);
      await Promise.race([untilAborted(signal), ...watching]);
      return 0;
    } finally {
      await this.#end();
      over.abort();
      await Promise.allSettled(watching);
      this.#display.close();
    }
  }

  #parts(): [PlannedPart, Part][] {
    const { cloud, nodes } = this.#model;
    return [
      [this.#plan.cloud, cloud],
      ...nodes.map((node, index): [PlannedPart, Part] => [this.#plan.nodes[index] as PlannedPart, node]),
    ];
  }

  async #start(): Promise<void> {
    const [cloud, ...nodes] = this.#parts();
    if (cloud !== undefined) await this.#startPart(...cloud);
    if (this.#model.stopping) return;
    await Promise.all(nodes.map((node) => this.#startPart(...node)));
    if (this.#model.stopping) return;
    const { cloud: up, nodes: parts } = this.#model;
    // What `run.json` says may not have been looked at yet.
    while (parts.concat(up).some(({ state }) => state === "starting") && !this.#model.stopping)
      await delay(20);
    if (this.#plan.device) await this.#addDevice();
    if (!this.#model.stopping) this.#display.ready(readyOf(up, parts));
  }

  async #startPart(planned: PlannedPart, part: Part): Promise<void> {
    const { name, args, nodeFlags } = planned;
    const { world } = this.#context;
    const child = startChild({
      args,
      nodeFlags,
      env: world.env,
      onLine: (line) => this.#logged(name, line),
      onEnd: (how) => {
        if (this.#children.get(name) !== child) return;
        this.#children.delete(name);
        part.ending = how;
        part.state = "down";
        part.status = undefined;
        this.#display.stateChanged(part);
      },
    });
    this.#children.set(name, child);
    this.#toCome.delete(name);
    part.state = "starting";
    this.#display.update();
    await child.ready;
  }

  async #addDevice(): Promise<void> {
    const { dataDir } = this.#context;
    const [node] = this.#plan.nodes;
    const target = await openCloud(this.#context);
    const objects = new Objects(target);
    for (const object of declarations(node?.name ?? "")) {
      const { apiVersion, kind, metadata } = object as {
        apiVersion: string;
        kind: string;
        metadata: { name: string };
      };
      const place = await objects.placeOf(
        { source: kind, apiVersion, kind, name: metadata.name, namespace: undefined, object },
        undefined,
      );
      // A device that is there keeps what is wanted of it.
      if (kind !== "Device" || (await objects.find(place)) === undefined) await objects.apply(place, object);
    }
    await target.close();
    if (!this.#model.stopping) this.#device = startDevice(`mqtt://127.0.0.1:${this.#plan.mqttPort}`, dataDir);
  }

  #observe(planned: PlannedPart, part: Part, signal: AbortSignal): Promise<void> {
    const model = this.#model;
    return observe({
      context: this.#context,
      part,
      directory: planned.directory,
      ownPid: () => this.#children.get(planned.name)?.pid,
      isToCome: () => this.#toCome.has(planned.name) && !model.stopping,
      device: model.device,
      signal,
      onState: () => this.#display.stateChanged(part),
      onDevice: (device) => {
        takeDevice(part, device);
        this.#display.update();
      },
      onStatus: (status) => this.#took(part, status),
      onChange: (change) => this.#saw(part, change),
    });
  }

  #took(part: Part, status: StatusRow): void {
    const before = isConnected(part);
    takeStatus(this.#model, part, status);
    if (!part.isCloud && isConnected(part) !== before) this.#display.stateChanged(part);
    else this.#display.update();
  }

  #saw(part: Part, change: ChangeRow): void {
    takeChange(this.#model, part, change, performance.now());
    this.#display.changed(part, change);
  }

  #note(text: string): void {
    note(this.#model, rfc3339(this.#context.world.now()), text);
    this.#display.noted(text);
  }

  #logged(name: string, line: string): void {
    const match = /^\S+ (?:WARN|ERROR) +(.*)$/.exec(line);
    if (match !== null) note(this.#model, rfc3339(this.#context.world.now()), `${name}: ${match[1]}`);
    this.#display.logged(name, line);
  }

  #lines(): (readonly [string, readonly string[]])[] {
    const { cloud, nodes, device } = this.#model;
    const { mqttPort } = this.#plan;
    const port = mqttPort === 1883 ? [] : ["-p", String(mqttPort)];
    const name = device === undefined ? "" : `${device.namespace}/${device.name}`;
    const payload = '{"twin":{"note":{"actual":{"value":"hello"}}}}';
    const ofDevice = [
      ["publish", ["mosquitto_pub", "-q", "1", ...port, "-t", `${topic}/twin/update`, "-m", payload]],
      ["want", command(this.#context, "device", "set", name, "interval", "5")],
      ["look", command(this.#context, "device", "get", name)],
    ] as const;
    return [
      ...(device === undefined ? [] : ofDevice),
      ["cloud down", ["kill", "-9", cloud.state === "down" ? "PID" : String(cloud.pid ?? "PID")]],
      ["and back", this.#plan.cloud.byHand],
      ...this.#plan.nodes.flatMap(({ name, byHand }, index): [string, readonly string[]][] =>
        nodes[index]?.state === "down" ? [[`${name} back`, byHand]] : [],
      ),
    ];
  }

  #pressed(key: string): void {
    // In the live view Ctrl-C is a key.
    if (key === "q" || key === "\u0003") {
      if (this.#quit.signal.aborted) process.exit(130);
      this.#quit.abort();
      return;
    }
    const [cloud, node] = this.#parts();
    const meant = key === "c" ? cloud : key === "e" ? node : undefined;
    if (meant !== undefined && !this.#model.stopping) this.#toggle(...meant);
  }

  #toggle(planned: PlannedPart, part: Part): void {
    if (part.state === "down") {
      this.#startPart(planned, part).catch((error: unknown) =>
        this.#note(`${part.name}: ${messageOf(error)}`),
      );
      return;
    }
    const child = this.#children.get(part.name);
    if (child !== undefined) child.kill("SIGKILL");
    else if (part.pid !== undefined) killHard(part.pid);
  }

  async #end(): Promise<void> {
    this.#model.stopping = true;
    this.#display.update();
    await this.#device?.stop();
    const children = [...this.#children.values()];
    for (const child of children) child.kill("SIGTERM");
    const ended = Promise.all(children.map((child) => child.ended));
    const late = new AbortController();
    await Promise.race([ended, delay(endMsMax, undefined, { signal: late.signal }).catch(() => undefined)]);
    late.abort();
    for (const child of children) child.kill("SIGKILL");
    await ended;
  }
}

/** A process that someone else started, and that may be gone by now. */
function killHard(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH")
      throw new TidemarkError("FORBIDDEN", messageOf(error));
  }
}

/** What a program needs to know to go on. */
function readyOf(cloud: Part, nodes: readonly Part[]): Record<string, unknown> {
  const { link, api, kubeconfig } = cloud.addresses;
  const [first] = nodes;
  return {
    link,
    api,
    ...first?.addresses,
    kubeconfig,
    nodes: Object.fromEntries(nodes.map(({ name, addresses }) => [name, addresses])),
  };
}
