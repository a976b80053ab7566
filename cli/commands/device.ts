import type { Command } from "commander";
import { TidemarkError } from "../../core/errors.ts";
import type { DeviceAnswer, DeviceView } from "../../protocol/devices/twin-view.ts";
import type { ChangeRow } from "../../protocol/rest/device-api.ts";
import type { StateAnswer } from "../../protocol/rest/past-state.ts";
import { type Act, example } from "../act.ts";
import { completeness } from "../completeness.ts";
import { type Context, lineWidth, printJson, printJsonLine, printText } from "../context.ts";
import { type TextOptions, changeLines, deviceListText, deviceText } from "../device-text.ts";
import { parseDeviceName } from "../names.ts";
import { instants, pastPath, printPast, resolveInstant } from "../past.ts";
import { type SideOptions, sideOption } from "../side.ts";
import { addDeviceDiff } from "./device-diff.ts";
import { addDeviceHistory } from "./device-history.ts";
import { openTarget, openWriter } from "../target.ts";

export function addDevice(program: Command, act: Act): void {
  const device = program
    .command("device")
    .summary("what devices report, and what is wanted of them")
    .description("Devices: what they report, and what is wanted of them.")
    .addHelpText("after", example("npx tidemark device get default/thermo-1"));
  device
    .command("list")
    .description("List devices, of all namespaces unless --namespace says one.")
    .addOption(sideOption())
    .addHelpText("after", example("npx tidemark device list", "npx tidemark device list -n plant-2 --json"))
    .action(act(listDevices));
  device
    .command("get")
    .argument("<device>", "NAMESPACE/NAME, or NAME")
    .description("Show a device: every property as it is reported and as it is wanted, now or at an instant.")
    .option("--at <instant>", `as it was then: ${instants}`)
    .addOption(sideOption())
    .addHelpText(
      "after",
      example("npx tidemark device get default/thermo-1", "npx tidemark device get thermo-1 --at -15m"),
    )
    .action(act(getDevice));
  device
    .command("set")
    .argument("<device>", "NAMESPACE/NAME, or NAME")
    .argument("<property>")
    .argument("<value>")
    .description(
      "Say what is wanted of a property. It reaches the device when its node is there. With --side node, or --server and the node's API, it is said on the node: without a cloud too.",
    )
    .addOption(sideOption("say it at the cloud (the default), or on the node"))
    .addHelpText(
      "after",
      example(
        "npx tidemark device set default/thermo-1 temp 21",
        "npx tidemark device set thermo-1 temp 21 --side node",
      ),
    )
    .action(act(setDesired));
  addDeviceHistory(device, act);
  addDeviceDiff(device, act);
  device
    .command("watch")
    .argument("[device]", "NAMESPACE/NAME, or NAME")
    .description("Print a line for each change, from now on, until interrupted.")
    .addOption(sideOption())
    .addHelpText("after", example("npx tidemark device watch", "npx tidemark device watch thermo-1 --json"))
    .action(act(watchDevices));
}

function textOptions(context: Context): TextOptions {
  return { paint: context.paint, nowMs: context.world.now(), lineWidth: lineWidth(context) };
}

interface DeviceListAnswer {
  readonly items: readonly DeviceView[];
  readonly complete: boolean;
}

async function listDevices(context: Context, options: SideOptions): Promise<number> {
  const target = await openTarget(context, options.side);
  try {
    const query = { namespace: context.namespace };
    const answer = (await target.get("/tidemark/v1/devices", query)) as DeviceListAnswer;
    const items = answer.items.filter(({ node }) => context.node === undefined || node === context.node);
    if (context.json) await printJson(context, { ...answer, items });
    else await printText(context, deviceListText(items, textOptions(context)));
    return completeness(context, answer.complete);
  } finally {
    await target.close();
  }
}

interface GetOptions extends SideOptions {
  readonly at?: string;
}

async function getDevice(context: Context, options: GetOptions, device: string): Promise<number> {
  const { namespace, name } = parseDeviceName(device, context.namespace);
  const target = await openTarget(context, options.side);
  try {
    if (options.at !== undefined) {
      const at = await resolveInstant(target, options.at);
      const answer = (await target.get(pastPath(context, { namespace, name }), { at })) as StateAnswer;
      // What was so then is as old as it was then.
      const nowMs = Date.parse(answer.asOf.time);
      return await printPast(context, answer, () => deviceText(answer, { ...textOptions(context), nowMs }));
    }
    const answer = (await target.get(devicePath(namespace, name))) as DeviceAnswer;
    if (context.json) await printJson(context, answer);
    else await printText(context, deviceText(answer, textOptions(context)));
    return completeness(context, answer.complete);
  } finally {
    await target.close();
  }
}

async function setDesired(
  context: Context,
  options: SideOptions,
  ...[device, property, value]: readonly [string, string, string]
): Promise<void> {
  const { namespace, name } = parseDeviceName(device, context.namespace);
  const target = await openWriter(context, options.side);
  const path = `${devicePath(namespace, name)}/desired/${encodeURIComponent(property)}`;
  const answer = await target.send("PUT", path, { body: { value } });
  if (context.json) await printJson(context, answer);
  else await printText(context, `${namespace}/${name}: ${property} wanted ${value}\n`);
}

async function watchDevices(context: Context, options: SideOptions, device?: string): Promise<void> {
  const only = device === undefined ? undefined : parseDeviceName(device, context.namespace);
  const target = await openTarget(context, options.side);
  try {
    if (!target.isRunning) throw nothingToWatch(target.name);
    const stopping = context.world.stopping();
    const query = { watch: "true", namespace: only?.namespace ?? context.namespace, name: only?.name };
    const line = changeLines(textOptions(context));
    for await (const row of target.lines("/tidemark/v1/devices", query, stopping)) {
      if (!isChange(row) || (context.node !== undefined && row.node !== context.node)) continue;
      if (context.json) await printJsonLine(context, row);
      else await printText(context, `${line(row)}\n`);
    }
    if (!stopping.aborted)
      throw new TidemarkError("NOT_REACHABLE", `${target.name} ended the watch: has it stopped?`);
  } finally {
    await target.close();
  }
}

function nothingToWatch(name: string): TidemarkError {
  return new TidemarkError(
    "NOT_REACHABLE",
    `there is only ${name}, in which nothing changes: start the process`,
  );
}

function isChange(row: unknown): row is ChangeRow {
  return typeof row === "object" && row !== null && "event" in row;
}

function devicePath(namespace: string, name: string): string {
  return `/tidemark/v1/namespaces/${encodeURIComponent(namespace)}/devices/${encodeURIComponent(name)}`;
}
