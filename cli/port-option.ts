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

export function portTaken(port: number, flag: string, cause?: unknown): TidemarkError {
  return new TidemarkError(
    "PORT_TAKEN",
    `port ${port} (${flag}) is taken: end what listens there, or choose another with ${flag}`,
    { cause, data: { port, flag } },
  );
}
