// What `npm test` needs from the system beside Node: a foreign MQTT broker and its command-line clients.
//
// As root on a machine with apt-get they are installed, after saying so; TIDEMARK_TEST_INSTALL=0 turns that off.
// Elsewhere this says loudly which tests will be skipped. With CI set, anything missing is a failure.
import { spawnSync } from "node:child_process";
import { accessSync, chmodSync, constants, existsSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

const tools = [
  { command: "mosquitto", package: "mosquitto", use: "the tests against a foreign MQTT broker" },
  {
    command: "mosquitto_pub",
    package: "mosquitto-clients",
    use: "the tests that publish with foreign clients",
  },
  {
    command: "mosquitto_sub",
    package: "mosquitto-clients",
    use: "the tests that subscribe with foreign clients",
  },
];

const lockWaitSecondsMax = 180;
const lockRetrySeconds = 3;
// Debian starts a service as it installs one, unless this says no (101).
const servicePolicy = "/usr/sbin/policy-rc.d";
const serviceRefused = 101;

function isInstalled({ command }) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function missingTools() {
  return tools.filter((tool) => !isInstalled(tool));
}

function packagesOf(missing) {
  return [...new Set(missing.map((tool) => tool.package))];
}

/** Runs apt-get, waiting for another's lock; true when it succeeded. */
function aptGet(...args) {
  const env = { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive", NEEDRESTART_SUSPEND: "1" };
  for (let waitedSeconds = 0; ; waitedSeconds += lockRetrySeconds) {
    const { status, stdout, stderr, error } = spawnSync("apt-get", args, { env, encoding: "utf8" });
    if (status === 0) return true;
    const locked = /could not get lock|unable to (acquire|lock)/i.test(stderr ?? "");
    if (!locked || waitedSeconds >= lockWaitSecondsMax) {
      console.error(`apt-get ${args.join(" ")} failed:\n${error?.message ?? `${stdout}${stderr}`.trimEnd()}`);
      return false;
    }
    if (waitedSeconds === 0) console.log("Another process is installing packages: waiting for it …");
    spawnSync("sleep", [String(lockRetrySeconds)]);
  }
}

/** Runs `install` while no service may start; an own policy that is there already stays as it is. */
function withoutStartingServices(install) {
  if (existsSync(servicePolicy)) {
    const { status } = spawnSync(servicePolicy, ["mosquitto", "start"]);
    if (status === serviceRefused) return install();
    console.error(`Not installed: ${servicePolicy} is there, and lets the installation start services.`);
    return false;
  }
  const remove = () => rmSync(servicePolicy, { force: true });
  const stop = (signal) => {
    remove();
    process.exit(signal === "SIGINT" ? 130 : 143);
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  try {
    writeFileSync(servicePolicy, `#!/bin/sh\nexit ${serviceRefused}\n`, { flag: "wx" });
    chmodSync(servicePolicy, 0o755);
    return install();
  } finally {
    remove();
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}

function install(packages) {
  console.log(`npm test needs programs that are not installed here. As root, this now installs from the
system's packages: ${packages.join(", ")} (with what they depend on, nothing recommended). No service is
started, none will be at boot. TIDEMARK_TEST_INSTALL=0 skips this, and the tests that need them.`);
  const command = ["install", "-y", "--no-install-recommends", ...packages];
  // The lists of a fresh machine are empty, of an old one out of date: a first refusal means neither is known.
  const known = spawnSync("apt-cache", ["show", "--no-all-versions", ...packages]).status === 0;
  const done = withoutStartingServices(
    () => (known && aptGet(...command)) || (aptGet("update") && aptGet(...command)),
  );
  if (done && packages.includes("mosquitto") && existsSync("/run/systemd/system")) {
    spawnSync("systemctl", ["disable", "--quiet", "mosquitto.service"], { stdio: "inherit" });
  }
}

/** Why nothing may be installed here; undefined when it may. */
function obstacle() {
  if (process.env.TIDEMARK_TEST_INSTALL === "0") return "TIDEMARK_TEST_INSTALL is 0";
  if (process.getuid?.() !== 0) return "only root may install packages";
  if (spawnSync("apt-get", ["--version"]).status !== 0) return "there is no apt-get on this system";
  return undefined;
}

const needed = packagesOf(missingTools());
const reason = needed.length === 0 ? undefined : obstacle();
if (needed.length > 0 && reason === undefined) install(needed);

const missing = missingTools();
if (missing.length > 0) {
  const failing = Boolean(process.env.CI);
  const rule = "!".repeat(78);
  console.error(`${rule}
${missing.map(({ command, use }) => `${command} is missing: ${use} ${failing ? "can't run" : "will be SKIPPED"}.`).join("\n")}
Why it was not installed: ${reason ?? "the installation failed"}.
To have it: apt-get install --no-install-recommends ${packagesOf(missing).join(" ")}
${rule}`);
  if (failing) process.exitCode = 1;
}
