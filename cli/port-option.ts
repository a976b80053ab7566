import { InvalidArgumentError } from "commander";
import { TidemarkError, hasCode } from "../core/errors.ts";

/** A port on the command line; 0 is any free one. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (/^[0-9]{1,5}$/.test(text) && port <= 65_535) return port;
  throw new InvalidArgumentError("A port is a number from 0 to 65535.");
}

/** Ports by the flag that sets them: `{ "--mqtt-port": 1883 }`. */
export type PortFlags = Readonly<Record<string, number>>;

/** A port that is taken, said with the flag that sets it. Other errors are left as they are. */
export function namingFlag(error: unknown, flags: PortFlags): unknown {
  if (!(error instanceof TidemarkError) || !hasCode(error, "PORT_TAKEN")) return error;
  const { port } = error.data;
  const flag = Object.entries(flags).find(([, value]) => value === port)?.[0];
  if (flag === undefined) return error;
  return portTaken(Number(port), flag, error);
}

/** What the configuration calls what a flag sets; the API's port is set by its flag alone. */
const keys: Readonly<Record<string, string>> = {
  "--link-port": "modules.cloudHub.websocket.port",
  "--mqtt-port": "modules.eventBus.mqttServerInternal",
  "--edge-api-port": "modules.metaManager.metaServer.server",
};

export function portTaken(port: number, flag: string, cause?: unknown): TidemarkError {
  const key = keys[flag];
  const named = key === undefined ? flag : `${flag} (in a configuration: ${key})`;
  return new TidemarkError(
    "PORT_TAKEN",
    `port ${port} (${flag}) is taken: end what listens there, or choose another with ${named}`,
    { cause, data: { port, flag, ...(key !== undefined && { key }) } },
  );
}

/** The port to ask for the next time: where any was asked for, the one that `url` was given, since others know it now. */
export function keptPort(asked: number, url: string): number {
  return asked === 0 ? Number(new URL(url).port) : asked;
}
