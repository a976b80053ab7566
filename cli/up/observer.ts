/** Keeps the model of one part up to date: whether it runs, what it says, which changes reach it. */
import { setTimeout as delay } from "node:timers/promises";
import { TidemarkError } from "../../core/errors.ts";
import type { DeviceAnswer } from "../../protocol/devices/twin-view.ts";
import { readRunFile } from "../../protocol/adapters/run-file.ts";
import type { ChangeRow } from "../../protocol/rest/device-api.ts";
import type { StatusRow } from "../../protocol/rest/status-api.ts";
import type { Context } from "../context.ts";
import { type Target, targetOf } from "../target.ts";
import type { Part } from "./model.ts";

export interface ObserverOptions {
  readonly context: Context;
  readonly part: Part;
  /** Where its `run.json` is. */
  readonly directory: string;
  /** The pid of `up`'s own child for it, while there is one. */
  readonly ownPid: () => number | undefined;
  /** Whether it is still to be started for the first time. */
  readonly isToCome: () => boolean;
  readonly device: { readonly namespace: string; readonly name: string } | undefined;
  readonly onState: () => void;
  readonly onDevice: (device: DeviceAnswer) => void;
  readonly onStatus: (status: StatusRow) => void;
  readonly onChange: (change: ChangeRow) => void;
  readonly signal: AbortSignal;
}

const lookMs = 250;
const statusMs = 1000;

/** Runs until the signal aborts. */
export async function observe(options: ObserverOptions): Promise<void> {
  const { signal } = options;
  while (!signal.aborted) {
    const target = await look(options);
    if (target !== undefined) await follow(options, target);
    await pause(lookMs, signal);
  }
}

/** Looks whether it runs. @returns whom to ask then */
async function look({
  context,
  part,
  directory,
  ownPid,
  isToCome,
  onState,
}: ObserverOptions): Promise<Target | undefined> {
  const run = await readRunFile(directory);
  const own = ownPid();
  const state = run !== undefined ? "running" : own === undefined && !isToCome() ? "down" : "starting";
  const pid = run?.pid ?? own;
  const byHand = run !== undefined && run.pid !== own;
  if (state !== part.state || pid !== part.pid || byHand !== part.byHand) {
    Object.assign(part, { state, pid, byHand, addresses: run?.addresses ?? part.addresses });
    onState();
  }
  if (run === undefined) {
    part.status = undefined;
    return undefined;
  }
  part.addresses = run.addresses;
  const node = part.isCloud ? undefined : part.name;
  try {
    return await targetOf(context, { node, directory, run, hasLog: false });
  } catch (error) {
    return unlessExpected(error);
  }
}

/** Asks and listens until it does not answer any more. */
async function follow(options: ObserverOptions, target: Target): Promise<void> {
  const over = new AbortController();
  const signal = AbortSignal.any([options.signal, over.signal]);
  const polling = poll(options, target, signal);
  try {
    for await (const row of target.lines("/tidemark/v1/devices", { watch: "true" }, signal)) {
      if (typeof row === "object" && row !== null && "event" in row) options.onChange(row as ChangeRow);
      else await readDevice(options, target);
    }
  } catch (error) {
    unlessExpected(error);
  } finally {
    over.abort();
    await polling;
  }
}

/** The watch is in force: what there was before it. */
async function readDevice({ device, onDevice }: ObserverOptions, target: Target): Promise<void> {
  if (device === undefined) return;
  const path = `/tidemark/v1/namespaces/${device.namespace}/devices/${device.name}`;
  try {
    onDevice((await target.get(path)) as DeviceAnswer);
  } catch (error) {
    unlessExpected(error);
  }
}

async function poll({ onStatus }: ObserverOptions, target: Target, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      onStatus((await target.get("/tidemark/v1/status")) as StatusRow);
    } catch (error) {
      unlessExpected(error);
    }
    await pause(statusMs, signal);
  }
}

/** A process that is starting, stopping or gone refuses: that is seen at the next look. */
function unlessExpected(error: unknown): undefined {
  if (!(error instanceof TidemarkError)) throw error;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal }).catch(() => undefined);
}
