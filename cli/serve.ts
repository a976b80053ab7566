/** Runs the cloud or a node until it is told to stop; what fails is started again. */
import { setTimeout as delay } from "node:timers/promises";
import { TidemarkError, messageOf } from "../core/errors.ts";
import type { Logger } from "../core/ports.ts";
import { type Context, print } from "./context.ts";
import { type PortFlags, namingFlag } from "./port-option.ts";
import { Progress } from "./progress.ts";
import { untilAborted } from "./until.ts";

/** A running cloud or node. */
export interface Running {
  readonly addresses: Readonly<Record<string, string>>;
  /** Resolves when it can't go on. */
  readonly failed: Promise<TidemarkError>;
  stop(): Promise<void>;
}

export interface ServeOptions {
  readonly logger: Logger;
  /** Starts it. */
  readonly start: (onProgress: (events: number) => void) => Promise<Running>;
  readonly ports: PortFlags;
  /** The first wait before it is started again; 1 s unless said. */
  readonly retryDelayMs?: number;
}

const retryDelayMsDefault = 1000;
const retryDelayMsMax = 30_000;
/** What ran for so long had started well. */
const steadyMs = 60_000;
const drainMsMax = 8000;

/** What a parent that started this process is told. */
export type ChildMessage =
  | { readonly type: "ready"; readonly addresses: Readonly<Record<string, string>> }
  | { readonly type: "failed"; readonly code: string; readonly message: string };

/** @throws TidemarkError when it can't be started for a reason that time does not mend */
export async function serve(context: Context, options: ServeOptions): Promise<number> {
  context.world.outlivesOutput();
  const stopping = context.world.stopping();
  const { signal, end } = withParent(stopping);
  const guard = signalGuard(signal, options.logger);
  try {
    await serveUntil(context, options, signal);
    return 0;
  } catch (error) {
    const told = namingFlag(error, options.ports);
    const code = told instanceof TidemarkError ? told.code : "INTERNAL";
    tellParent({ type: "failed", code, message: messageOf(told) });
    throw told;
  } finally {
    guard();
    end();
  }
}

async function serveUntil(context: Context, options: ServeOptions, signal: AbortSignal): Promise<void> {
  const { logger, retryDelayMs = retryDelayMsDefault } = options;
  let delayMs = retryDelayMs;
  let hasRun = false;
  while (!signal.aborted) {
    const beganMs = performance.now();
    let failure: TidemarkError | undefined;
    try {
      failure = await runOnce(context, options, signal);
      hasRun = true;
    } catch (error) {
      const isOver = !(error instanceof TidemarkError) || isBeyondHelp(error);
      if (isOver || !(hasRun || mendsInTime(error))) throw error;
      failure = error;
    }
    if (failure === undefined) return;
    if (performance.now() - beganMs > steadyMs) delayMs = retryDelayMs;
    logger.log("error", failure.message, { code: failure.code, startsAgainInMs: delayMs });
    await delay(delayMs, undefined, { signal }).catch(() => undefined);
    delayMs = Math.min(retryDelayMsMax, delayMs * 2);
  }
}

/** What may be otherwise the next time, with nobody at the keyboard. */
function mendsInTime({ code }: TidemarkError): boolean {
  return code === "DISK_FULL" || code === "LOG_COMMIT_FAILED";
}

/** What was tried to be put right before it was said: it is no other the next time. */
function isBeyondHelp({ code }: TidemarkError): boolean {
  return code === "SEGMENT_CORRUPT";
}

/** @returns why it failed; undefined when it was stopped */
async function runOnce(
  { world, paintError }: Context,
  { start }: ServeOptions,
  signal: AbortSignal,
): Promise<TidemarkError | undefined> {
  const progress = new Progress({ output: world.stderr, label: "Opening the log", paint: paintError });
  const running = await start((events) => progress.update(events)).finally(() => progress.end());
  try {
    if (signal.aborted) return undefined;
    await print(world.stdout, `ready ${JSON.stringify(running.addresses)}\n`);
    tellParent({ type: "ready", addresses: running.addresses });
    return await Promise.race([running.failed, untilAborted(signal)]);
  } finally {
    await running.stop();
  }
}

function tellParent(message: ChildMessage): void {
  if (process.connected) process.send?.(message);
}

/** Stops also when the process that started this one is gone: its channel closes with it. */
function withParent(stopping: AbortSignal): { signal: AbortSignal; end: () => void } {
  if (!process.connected) return { signal: stopping, end: () => {} };
  const gone = new AbortController();
  const onDisconnect = (): void => gone.abort();
  process.once("disconnect", onDisconnect);
  const end = (): void => {
    process.off("disconnect", onDisconnect);
    if (process.connected) process.disconnect();
  };
  return { signal: AbortSignal.any([stopping, gone.signal]), end };
}

/** A drain that hangs is cut short. */
function signalGuard(signal: AbortSignal, logger: Logger): () => void {
  let timer: NodeJS.Timeout | undefined;
  signal.addEventListener(
    "abort",
    () => {
      timer = setTimeout(() => {
        // What was acknowledged is on the disk already.
        logger.log("error", "stopping took too long, and was cut short; nothing acknowledged is lost", {
          drainMsMax,
        });
        process.exit(1);
      }, drainMsMax);
      timer.unref();
    },
    { once: true },
  );
  return () => clearTimeout(timer);
}
