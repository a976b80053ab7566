import { Command, CommanderError, type Help } from "commander";
import { TidemarkError, messageOf } from "../core/errors.ts";
import { productVersion } from "../protocol/version.ts";
import { type Act, example } from "./act.ts";
import { addApply } from "./commands/apply.ts";
import { addBackup } from "./commands/backup.ts";
import { addBlame } from "./commands/blame.ts";
import { addCert } from "./commands/cert.ts";
import { addCloud } from "./commands/cloud.ts";
import { addConflicts } from "./commands/conflicts.ts";
import { addDelete } from "./commands/delete.ts";
import { addDevice } from "./commands/device.ts";
import { addEdge } from "./commands/edge.ts";
import { addLog } from "./commands/log.ts";
import { addNode } from "./commands/node.ts";
import { addReplay } from "./commands/replay.ts";
import { addStatus } from "./commands/status.ts";
import { addUp } from "./commands/up.ts";
import { addWhy } from "./commands/why.ts";
import { type CommonOptions, contextOf } from "./context.ts";
import { exitCode, exitCodeOf } from "./exit-codes.ts";
import { coloured, paintFor } from "./paint.ts";
import { printable } from "./text.ts";
import type { World } from "./world.ts";

/** Runs one command line, without the program's own name. @returns the exit code */
export async function main(argv: readonly string[], world: World): Promise<number> {
  let code = 0;
  const act: Act =
    (run) =>
    async (...given) => {
      const command = given.at(-1) as Command;
      const names = given.slice(0, -2);
      const { options, common } = optionsOf(command);
      const result = await run(contextOf(world, common), options as never, ...(names as never[]));
      code = result ?? 0;
    };
  try {
    await createProgram(world, act).parseAsync(argv, { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const told = error instanceof CommanderError ? usageError(error) : error;
    // Without a subcommand its help was shown, which says it all.
    if (told !== undefined) report(told, argv, world);
    return told === undefined ? exitCode.usage : exitCodeOf(told);
  }
}

/** Where a command writes to a file, `--output` names that. Commander gives it to the program, which knows it too. */
function optionsOf(command: Command): { options: object; common: CommonOptions } {
  const [options, common] = [command.opts(), command.optsWithGlobals<CommonOptions>()];
  if (!command.options.some((option) => option.attributeName() === "output")) return { options, common };
  const { output, ...rest } = common;
  return { options: { ...options, output }, common: rest };
}

function usageError(error: CommanderError): TidemarkError | undefined {
  if (error.code === "commander.help") return undefined;
  const message = error.message.replace(/^error: /, "").replaceAll("\n", " ");
  return new TidemarkError("USAGE", message);
}

/** Says on standard error what went wrong, in one line. */
function report(error: unknown, argv: readonly string[], world: World): void {
  const { env, stderr } = world;
  const paint = paintFor(stderr, env, !argv.includes("--no-color"));
  if (wantsJson(argv)) {
    const code = error instanceof TidemarkError ? error.code : "INTERNAL";
    stderr.write(`${JSON.stringify({ error: { code, message: messageOf(error) } })}\n`);
  } else {
    stderr.write(`${paint("red", "error:")} ${printable(messageOf(error))}\n`);
  }
  if (env["TIDEMARK_DEBUG"] !== "1") return;
  for (let at = error; at instanceof Error; at = at.cause) stderr.write(`${at.stack ?? at.message}\n`);
}

/** Also of a command line that could not be read. */
function wantsJson(argv: readonly string[]): boolean {
  return argv.some(
    (word, index) =>
      word === "--json" ||
      word === "-ojson" ||
      word === "--output=json" ||
      (word === "json" && (argv[index - 1] === "-o" || argv[index - 1] === "--output")),
  );
}

export function createProgram(world: World, act: Act): Command {
  const { env } = world;
  const program = new Command("tidemark")
    .description(
      "Runs containers and devices at the edge from a Kubernetes control plane, and keeps going when the link is down.",
    )
    .version(productVersion, "-V, --version", "print the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand(false)
    .option("--data-dir <dir>", "where everything is kept (TIDEMARK_DATA_DIR, default ./data)")
    .option("--server <url>", "the API to ask, instead of what runs here (TIDEMARK_SERVER)")
    .option("--kubeconfig <file>", "how to prove oneself to it (default: the data directory's)")
    .option("--node <name>", "the node it is about")
    .option("-n, --namespace <name>", "the namespace (default: default)")
    .option("--json", "print JSON")
    .option("-o, --output <format>", "json: the same as --json")
    .option("--config <file>", "a configuration file")
    .option("--no-color", "no colours (NO_COLOR)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void world.stdout.write(text),
      writeErr: (text) => void world.stderr.write(text),
      // `main` says it, in its own form.
      outputError: () => {},
      getOutHelpWidth: () => helpWidth(world.stdout.columns),
      getErrHelpWidth: () => helpWidth(world.stderr.columns),
      getOutHasColors: () => paintFor(world.stdout, env, true) === coloured,
      getErrHasColors: () => paintFor(world.stderr, env, true) === coloured,
    })
    .configureHelp({
      showGlobalOptions: true,
      styleTitle: (text) => coloured("bold", text),
      styleCommandText: (text) => coloured("cyan", text),
      subcommandTerm: (command) => termOf(command),
    })
    .addHelpText("after", example("npx tidemark up", "npx tidemark device list"));
  addUp(program, act);
  addCloud(program, act);
  addEdge(program, act);
  addCert(program, act);
  addApply(program, act);
  addDelete(program, act);
  addDevice(program, act);
  addBlame(program, act);
  addWhy(program, act);
  addConflicts(program, act);
  addNode(program, act);
  addLog(program, act);
  addBackup(program, act);
  addReplay(program, act);
  addStatus(program, act);
  return program;
}

function termOf(command: Parameters<Help["subcommandTerm"]>[0]): string {
  const names = command.registeredArguments.map((argument) =>
    argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
  );
  return [command.name(), ...names].join(" ");
}

function helpWidth(columns: number | undefined): number {
  return Math.min(columns ?? 100, 110);
}
