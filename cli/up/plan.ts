/** What `up` will run where: ports that are free, certificates that are there. */
import { retentionTexts } from "../../core/retention.ts";
import { join } from "node:path";
import { TidemarkError } from "../../core/errors.ts";
import type { UpOptions } from "../commands/up.ts";
import type { Context } from "../context.ts";
import { cloudAuthority, ensureNodeCertificate } from "../node-certificate.ts";
import { findPlaces } from "../places.ts";
import { type PortWish, PortPicker } from "./ports.ts";

export interface PlannedPart {
  readonly name: string;
  readonly isCloud: boolean;
  /** Where its `run.json` is. */
  readonly directory: string;
  /** Arguments of `tidemark` that start it here. */
  readonly args: readonly string[];
  /** What a person types to start it again, word by word. */
  readonly byHand: readonly string[];
  readonly nodeFlags: readonly string[];
}

export interface Plan {
  readonly cloud: PlannedPart;
  readonly nodes: readonly PlannedPart[];
  readonly device: boolean;
  readonly mqttPort: number;
  /** What a person should know: ports that were moved. */
  readonly remarks: readonly string[];
}

const linkDefault = 10_000;
const apiDefault = 6443;
const mqttDefault = 1883;
const edgeApiDefault = 10_550;

/** @throws TidemarkError LOG_LOCKED when it runs already, PORT_TAKEN, CONFIGURATION */
export async function makePlan(context: Context, options: UpOptions): Promise<Plan> {
  await refuseRunning(context.dataDir);
  const remarks: string[] = [];
  const picker = new PortPicker();
  const pick = async (wish: PortWish): Promise<number> => {
    const { port, instead } = await picker.pick(wish);
    if (instead !== undefined) remarks.push(`port ${instead} is taken: ${wish.flag} is ${port} this time`);
    return port;
  };
  const link = await pick({ flag: "--link-port", given: options.linkPort, fallback: linkDefault });
  const api = await pick({ flag: "--api-port", given: options.apiPort, fallback: apiDefault });
  const nodes: { name: string; mqtt: number; edgeApi: number }[] = [];
  for (let index = 0; index < options.nodes; index += 1) {
    const first = index === 0;
    const mqtt = await pick({
      flag: "--mqtt-port",
      given: first ? options.mqttPort : undefined,
      fallback: (options.mqttPort || mqttDefault) + index,
    });
    const edgeApi = await pick({
      flag: "--edge-api-port",
      given: first ? options.edgeApiPort : undefined,
      fallback: (options.edgeApiPort || edgeApiDefault) + index,
    });
    nodes.push({ name: `edge-node-${index + 1}`, mqtt, edgeApi });
  }
  const limit = logFlags(options);
  const authority = await cloudAuthority(context.dataDir);
  for (const { name } of nodes) await ensureNodeCertificate(authority, context.dataDir, name);
  return {
    cloud: cloudPart(context, { link, api, limit }),
    nodes: nodes.map((node) => nodePart(context, { ...node, link, limit, alone: nodes.length === 1 })),
    device: options.device,
    mqttPort: nodes[0]?.mqtt ?? mqttDefault,
    remarks,
  };
}

async function refuseRunning(dataDir: string): Promise<void> {
  const { cloud, nodes } = await findPlaces(dataDir);
  const running = [cloud, ...nodes].find(({ run }) => run !== undefined);
  if (running?.run === undefined) return;
  const { pid } = running.run;
  const what = running.node === undefined ? "a cloud" : `the node ${running.node}`;
  throw new TidemarkError(
    "LOG_LOCKED",
    `${what} runs from ${dataDir} already (pid ${pid}): end it first, or take another data directory with --data-dir`,
    { data: { pid, dataDir } },
  );
}

/** What both sides are told of their logs. */
function logFlags({ logLimit, retain }: UpOptions): string[] {
  const flags: string[] = [];
  if (logLimit !== undefined) flags.push(`--log-limit=${logLimit}`);
  if (retain !== undefined) {
    const ages = Object.entries(retentionTexts(retain)).map(([of, age]) => `${of}=${age}`);
    flags.push(`--retain=${ages.join(",")}`);
  }
  return flags;
}

interface CloudFlags {
  readonly link: number;
  readonly api: number;
  readonly limit: readonly string[];
}

function cloudPart(context: Context, { link, api, limit }: CloudFlags): PlannedPart {
  const ports = [...flag("--link-port", link, linkDefault), ...flag("--api-port", api, apiDefault)];
  return {
    name: "cloud",
    isCloud: true,
    directory: join(context.dataDir, "cloud"),
    args: [
      "cloud",
      `--data-dir=${context.dataDir}`,
      "--bind-address=127.0.0.1",
      `--link-port=${link}`,
      `--api-port=${api}`,
      ...limit,
    ],
    byHand: [...command(context, "cloud"), ...ports, ...limit],
    nodeFlags: [],
  };
}

interface NodeFlags {
  readonly name: string;
  readonly mqtt: number;
  readonly edgeApi: number;
  readonly link: number;
  readonly limit: readonly string[];
  readonly alone: boolean;
}

function nodePart(context: Context, { name, mqtt, edgeApi, link, limit, alone }: NodeFlags): PlannedPart {
  const cloud = ["--cloud", `wss://127.0.0.1:${link}`];
  return {
    name,
    isCloud: false,
    directory: join(context.dataDir, "edge", name),
    args: [
      "edge",
      `--data-dir=${context.dataDir}`,
      `--node=${name}`,
      ...cloud,
      `--mqtt-port=${mqtt}`,
      `--edge-api-port=${edgeApi}`,
      ...limit,
    ],
    byHand: [
      ...command(context, "edge"),
      ...(alone ? [] : ["--node", name]),
      ...(link === linkDefault ? [] : cloud),
      ...flag("--mqtt-port", mqtt, mqttDefault),
      ...flag("--edge-api-port", edgeApi, edgeApiDefault),
      ...limit,
    ],
    // A small young generation: it can be said only at the start.
    nodeFlags: ["--max-semi-space-size=1"],
  };
}

function flag(name: string, port: number, byDefault: number): string[] {
  return port === byDefault ? [] : [name, String(port)];
}

/** A command to type in another terminal, whose environment is its own. */
export function command({ dataDirGiven }: Context, ...words: readonly string[]): string[] {
  return ["npx", "tidemark", ...words, ...(dataDirGiven === undefined ? [] : ["--data-dir", dataDirGiven])];
}
