import { type Command, InvalidArgumentError } from "commander";
import type { RetentionPolicy } from "../../core/retention.ts";
import { type Act, example } from "../act.ts";
import type { Context } from "../context.ts";
import { logLimitOption } from "../log-limit.ts";
import { parsePort } from "../port-option.ts";
import { retainOption } from "../retain.ts";

/** Ports are undefined where the default will do, or the next free one. */
export interface UpOptions {
  readonly nodes: number;
  readonly linkPort?: number;
  readonly apiPort?: number;
  readonly mqttPort?: number;
  readonly edgeApiPort?: number;
  /** Bytes. */
  readonly logLimit?: number;
  readonly retain?: RetentionPolicy;
  /** False with `--no-device`. */
  readonly device: boolean;
}

const nodesMax = 50;

export function addUp(program: Command, act: Act): void {
  program
    .command("up")
    .summary("run everything on this machine: a cloud, a node, a device")
    .description(
      "Run everything on this machine, until interrupted: a cloud process, a process for each node, and this machine as a device. On a terminal, with a live view of what arrives where.",
    )
    .option("--nodes <count>", "how many nodes", parseNodes, 1)
    .option("--link-port <port>", "where nodes connect (default: 10000 or the next free one)", parsePort)
    .option("--api-port <port>", "the cloud's API (default: 6443 or the next free one)", parsePort)
    .option("--mqtt-port <port>", "where devices connect, of the first node (default: 1883 or …)", parsePort)
    .option("--edge-api-port <port>", "the local API of the first node (default: 10550 or …)", parsePort)
    .addOption(logLimitOption("each"))
    .addOption(retainOption())
    .option("--no-device", "without this machine as a device")
    .addHelpText("after", example("npx tidemark up", "npx tidemark up --nodes 3 --data-dir /tmp/try"))
    .action(act(up));
}

function parseNodes(text: string): number {
  const count = Number(text);
  if (/^[0-9]{1,3}$/.test(text) && count >= 1 && count <= nodesMax) return count;
  throw new InvalidArgumentError(`A number from 1 to ${nodesMax}.`);
}

async function up(context: Context, options: UpOptions): Promise<number> {
  const [{ makePlan }, { Up }] = await Promise.all([import("../up/plan.ts"), import("../up/up.ts")]);
  // Whatever else may be asked: this is about what runs here.
  const here: Context = { ...context, server: undefined, kubeconfig: undefined };
  return new Up(here, await makePlan(here, options)).run();
}
