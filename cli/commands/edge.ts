import type { Command } from "commander";
import { TidemarkError } from "../../core/errors.ts";
import type { RetentionPolicy } from "../../core/retention.ts";
import { type Act, example } from "../act.ts";
import type { Context } from "../context.ts";
import { logLimitOption } from "../log-limit.ts";
import { findPlaces } from "../places.ts";
import { keptPort, parsePort } from "../port-option.ts";
import { retainOption } from "../retain.ts";

interface EdgeOptions {
  readonly cloud: string;
  readonly mqttPort: number;
  readonly mqttBindAddress: string;
  readonly edgeApiPort: number;
  readonly logLimit: number;
  readonly retain?: RetentionPolicy;
}

export function addEdge(program: Command, act: Act): void {
  program
    .command("edge")
    .summary("run a node")
    .description(
      "Run the node --node NAME, until interrupted: its MQTT broker and local API, with or without a cloud. Without --node: the only one of the data directory.",
    )
    .option("--cloud <url>", "the cloud's link", "wss://127.0.0.1:10000")
    .option("--mqtt-port <port>", "where devices connect", parsePort, 1883)
    .option("--mqtt-bind-address <address>", "where MQTT listens", "127.0.0.1")
    .option("--edge-api-port <port>", "the local API, on 127.0.0.1", parsePort, 10_550)
    .addOption(logLimitOption("edge"))
    .addOption(retainOption())
    .addHelpText(
      "after",
      example("npx tidemark edge --node edge-node-1 --cloud wss://cloud.example.com:10000"),
    )
    .action(act(runEdge));
}

async function runEdge(context: Context, options: EdgeOptions): Promise<number> {
  const { cloud, mqttBindAddress, logLimit, retain } = options;
  let { mqttPort, edgeApiPort } = options;
  if (!URL.canParse(cloud) || !cloud.startsWith("wss://"))
    throw new TidemarkError("USAGE", `--cloud ${cloud} is no address of a cloud: write wss://HOST:PORT`);
  const node = context.node ?? (await onlyNode(context.dataDir));
  const [{ startEdge }, { stderrLogger }, { serve }] = await Promise.all([
    import("../../edge/edge-process.ts"),
    import("../../protocol/adapters/environment.ts"),
    import("../serve.ts"),
  ]);
  const { env, stderr } = context.world;
  const logger = stderrLogger({ level: env["TIDEMARK_DEBUG"] === "1" ? "debug" : "info", stream: stderr });
  return serve(context, {
    logger,
    ports: { "--mqtt-port": mqttPort, "--edge-api-port": edgeApiPort },
    start: async (onProgress) => {
      const running = await startEdge({
        dataDir: context.dataDir,
        node,
        cloudUrl: cloud,
        mqttHost: mqttBindAddress,
        mqttPort,
        apiPort: edgeApiPort,
        // 0 is no limit.
        logLimitBytes: logLimit || undefined,
        retain,
        logger,
        onProgress,
      });
      mqttPort = keptPort(mqttPort, running.addresses.mqtt);
      edgeApiPort = keptPort(edgeApiPort, running.addresses.edgeApi);
      return running;
    },
  });
}

/** @throws TidemarkError USAGE */
async function onlyNode(dataDir: string): Promise<string> {
  const { nodes } = await findPlaces(dataDir);
  const [first] = nodes;
  if (first?.node !== undefined && nodes.length === 1) return first.node;
  const known = nodes.map(({ node }) => node).join(", ");
  throw new TidemarkError(
    "USAGE",
    `say which node this is: --node NAME${known === "" ? "" : ` (this data directory has ${known})`}`,
  );
}
