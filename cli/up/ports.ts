import { createServer } from "node:net";
import { listen } from "../../protocol/adapters/listening.ts";
import { TidemarkError, hasCode } from "../../core/errors.ts";
import { portTaken } from "../port-option.ts";

export interface PortWish {
  /** `--mqtt-port` */
  readonly flag: string;
  /** What was asked for; undefined for the default, which may be moved. 0 is any free one. */
  readonly given: number | undefined;
  readonly fallback: number;
}

export interface PickedPort {
  readonly port: number;
  /** The default that was taken. */
  readonly instead: number | undefined;
}

const host = "127.0.0.1";
const triesMax = 100;

/** Picks ports that are free now, each once. */
export class PortPicker {
  readonly #picked = new Set<number>();

  /** @throws TidemarkError PORT_TAKEN for a given port, CONFIGURATION */
  async pick({ flag, given, fallback }: PortWish): Promise<PickedPort> {
    if (given !== undefined) {
      const port = this.#picked.has(given) ? undefined : await freePort(given);
      if (port === undefined) throw portTaken(given, flag);
      this.#picked.add(port);
      return { port, instead: undefined };
    }
    for (let port = fallback; port < fallback + triesMax; port += 1) {
      if (this.#picked.has(port) || (await freePort(port)) === undefined) continue;
      this.#picked.add(port);
      return { port, instead: port === fallback ? undefined : fallback };
    }
    throw new TidemarkError(
      "PORT_TAKEN",
      `ports ${fallback} to ${fallback + triesMax - 1} are all taken: choose one with ${flag}`,
      {
        data: { port: fallback, flag },
      },
    );
  }
}

/** @returns the port, a real one for 0; undefined when it is taken */
async function freePort(port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    const address = await listen(server, { host, port });
    return address.port;
  } catch (error) {
    if (hasCode(error, "PORT_TAKEN")) return undefined;
    throw error;
  } finally {
    await new Promise((resolve) => {
      server.close(resolve);
    });
  }
}
