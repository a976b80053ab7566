import { createServer } from "node:net";
import type { Command } from "commander";
import t from "tap";
import { exitCodeOf } from "../../cli/exit-codes.ts";
import { createProgram } from "../../cli/program.ts";
import { TidemarkError } from "../../core/errors.ts";
import { TestWorld, run } from "./command-line.ts";

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap((inner) => allCommands(inner))];
}

function pathOf(command: Command): string[] {
  return command.parent === null ? [] : [...pathOf(command.parent), command.name()];
}

t.test("every command has a help, with an example, and asking for it is no failure", async (t) => {
  const commands = allCommands(createProgram(new TestWorld(), () => async () => {}));
  t.ok(commands.length > 15);
  for (const command of commands) {
    const { code, out, err } = await run([...pathOf(command), "--help"]);
    const name = pathOf(command).join(" ");
    t.equal(code, 0, name);
    t.match(out, /\nExamples?:\n {2}\S/, `${name}: an example`);
    t.match(out, /--data-dir/, `${name}: the common flags`);
    t.equal(err, "");
  }
});

t.test("the version", async (t) => {
  const { code, out } = await run(["--version"]);
  t.equal(code, 0);
  t.match(out, /^\d+\.\d+\.\d+\n$/);
});

t.test("a command line that is not understood: exit code 2, one line, no stack trace", async (t) => {
  const cases: [string[], RegExp][] = [
    [["devise", "list"], /unknown command 'devise'.*did you mean device/i],
    [["device", "get"], /missing required argument 'device'/],
    [["device", "get", "a", "--bogus"], /unknown option '--bogus'/],
    [["device", "get", "a", "extra"], /too many arguments/],
    [["device", "get", "a/b/c"], /is no device/],
    [["device", "list", "-o", "yaml"], /the only format is json/],
    [["device", "get", "a", "--side", "left"], /Allowed choices are cloud, node/],
    [["log", "tail", "--last", "x"], /is no count/],
    [["log", "show", "--from", "yesterday"], /is no place in a log/],
    [["apply"], /required option '-f/],
    [["delete"], /say what to delete/],
    [["delete", "device", "a", "-f", "x"], /not both/],
    [["cert", "issue"], /--node NAME/],
    [["edge", "--data-dir", "/nonexistent"], /--node NAME/],
    [["edge", "--node", "a", "--cloud", "http://x"], /write wss:/],
    [["cloud", "--api-port", "65536"], /0 to 65535/],
    [["up", "--nodes", "0"], /1 to 50/],
  ];
  for (const [argv, message] of cases) {
    const { code, out, err } = await run(argv);
    t.equal(code, 2, argv.join(" "));
    t.match(err, /^error: [^\n]*\n$/, "one line");
    t.match(err, message);
    t.equal(out, "");
  }
});

t.test("no subcommand: the help, on standard error", async (t) => {
  for (const argv of [[], ["device"], ["log"]]) {
    const { code, out, err } = await run(argv);
    t.equal(code, 2, argv.join(" "));
    t.match(err, /^Usage: tidemark/);
    t.equal(out, "");
  }
});

t.test("with --json errors are JSON, also of a command line that can't be read", async (t) => {
  for (const argv of [
    ["--json", "nonsense"],
    ["nonsense", "-o", "json"],
    ["nonsense", "--output=json"],
  ]) {
    const { err } = await run(argv);
    t.match(JSON.parse(err), { error: { code: "USAGE", message: /unknown command/ } }, argv.join(" "));
  }
});

t.test("a configuration file is refused, and what to do instead is said", async (t) => {
  const { code, err } = await run(["status", "--config", "edge.yaml", "--json"]);
  t.not(code, 0);
  t.match(JSON.parse(err), { error: { code: "UNSUPPORTED", message: /--config edge\.yaml/ } });
});

t.test("nothing there to ask: exit code 69", async (t) => {
  const dataDir = t.testdir({});
  for (const argv of [["device", "list"], ["status"], ["log", "verify"], ["device", "set", "a", "b", "-5"]]) {
    const { code, err } = await run([...argv, "--data-dir", dataDir]);
    t.equal(code, 69, argv.join(" "));
    t.match(err, /^error: .*(npx tidemark)/);
  }
  const server = "http://127.0.0.1:9";
  const { code } = await run(["device", "list"], { env: { TIDEMARK_SERVER: server } });
  t.equal(code, 69, "from the environment");
});

t.test("HTTPS without a kubeconfig: exit code 78", async (t) => {
  const { code, err } = await run([
    "device",
    "list",
    "--server",
    "https://127.0.0.1:9",
    "--data-dir",
    t.testdir({}),
  ]);
  t.equal(code, 78);
  t.match(err, /--kubeconfig/);
});

t.test("the data directory comes from the flag, else from the environment", async (t) => {
  const directory = t.testdir({});
  const env = { TIDEMARK_DATA_DIR: "from-env" };
  const says = async (argv: readonly string[]): Promise<string> => (await run(argv, { env, directory })).err;
  t.match(await says(["device", "list"]), `${directory}/from-env`);
  t.match(await says(["device", "list", "--data-dir", "from-flag"]), `${directory}/from-flag`);
});

t.test("a taken port: exit code 78, with the port and its flag", async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve());
  });
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const dataDir = ["--data-dir", t.testdir({})];
  for (const argv of [
    ["up", "--mqtt-port", String(port)],
    ["cloud", "--bind-address", "127.0.0.1", "--link-port", "0", "--api-port", String(port)],
    ["edge", "--node", "n1", "--edge-api-port", "0", "--mqtt-port", String(port)],
  ]) {
    const { code, err } = await run([...argv, ...dataDir]);
    t.equal(code, 78, argv.join(" "));
    t.match(err, `port ${port} (${argv[0] === "cloud" ? "--api-port" : "--mqtt-port"}) is taken`);
  }
});

t.test("stack traces come only when asked for", async (t) => {
  const { err } = await run(["nonsense"], { env: { TIDEMARK_DEBUG: "1" } });
  t.match(err, /\n {4}at /);
});

t.test("exit codes by error code", async (t) => {
  const of = (code: TidemarkError["code"]): number => exitCodeOf(new TidemarkError(code, ""));
  t.equal(of("USAGE"), 2);
  t.equal(of("NOT_FOUND"), 3);
  t.equal(of("NODE_UNKNOWN"), 3);
  t.equal(of("NOT_REACHABLE"), 69);
  t.equal(of("LOG_LOCKED"), 75);
  t.equal(of("CONFIGURATION"), 78);
  t.equal(of("PORT_TAKEN"), 78);
  t.equal(of("INVALID"), 1);
  t.equal(exitCodeOf(new Error("?")), 1);
});
