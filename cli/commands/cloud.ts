import type { Command } from "commander";
import type { RetentionPolicy } from "../../core/retention.ts";
import { type Act, example } from "../act.ts";
import type { Context } from "../context.ts";
import { logLimitOption } from "../log-limit.ts";
import { keptPort, parsePort } from "../port-option.ts";
import { retainOption } from "../retain.ts";

interface CloudOptions {
  readonly linkPort: number;
  readonly apiPort: number;
  readonly bindAddress: string;
  readonly logLimit: number;
  readonly retain?: RetentionPolicy;
  readonly advertiseAddress?: readonly string[];
}

export function addCloud(program: Command, act: Act): void {
  program
    .command("cloud")
    .summary("run the cloud side")
    .description("Run the cloud side, until interrupted: the Kubernetes API, and the link that nodes dial.")
    .option("--link-port <port>", "where nodes connect", parsePort, 10_000)
    .option("--api-port <port>", "the API", parsePort, 6443)
    .option("--bind-address <address>", "where both listen", "0.0.0.0")
    .option("--advertise-address <addresses...>", "names and addresses by which nodes reach this machine")
    .addOption(logLimitOption("cloud"))
    .addOption(retainOption())
    .addHelpText("after", example("npx tidemark cloud --advertise-address cloud.example.com"))
    .action(act(runCloud));
}

async function runCloud(context: Context, options: CloudOptions): Promise<number> {
  const { bindAddress, logLimit, retain, advertiseAddress = [] } = options;
  let { linkPort, apiPort } = options;
  const [{ startCloud }, { stderrLogger }, { serve }] = await Promise.all([
    import("../../cloud/cloud-process.ts"),
    import("../../protocol/adapters/environment.ts"),
    import("../serve.ts"),
  ]);
  const { env, stderr } = context.world;
  const logger = stderrLogger({ level: env["TIDEMARK_DEBUG"] === "1" ? "debug" : "info", stream: stderr });
  return serve(context, {
    logger,
    ports: { "--link-port": linkPort, "--api-port": apiPort },
    start: async (onProgress) => {
      const running = await startCloud({
        dataDir: context.dataDir,
        host: bindAddress,
        linkPort,
        apiPort,
        advertiseAddresses: advertiseAddress,
        // 0 is no limit.
        logLimitBytes: logLimit || undefined,
        retain,
        logger,
        onProgress,
      });
      linkPort = keptPort(linkPort, running.addresses.link);
      apiPort = keptPort(apiPort, running.addresses.api);
      return running;
    },
  });
}
