import type { Server, Socket } from "node:net";
import { TidemarkError, messageOf } from "../../core/errors.ts";
import { errnoOf } from "./files.ts";

export interface ListenAddress {
  /** As it was asked for: a name, an address, or one that stands for all. */
  readonly host: string;
  /** The real one, also when 0 was asked for. */
  readonly port: number;
}

/**
 * Binds a server. @throws TidemarkError PORT_TAKEN with `port` and `host`, or CONFIGURATION when this machine can't listen
 * there at all
 */
export function listen(server: Server, { host, port }: ListenAddress): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(listenError(error, host, port));
    server.once("error", fail);
    server.listen({ host, port }, () => {
      server.off("error", fail);
      const address = server.address();
      resolve({ host, port: typeof address === "object" && address !== null ? address.port : port });
    });
  });
}

function listenError(cause: Error, host: string, port: number): TidemarkError {
  const options = { cause, data: { host, port } };
  const errno = errnoOf(cause);
  if (errno === "EADDRINUSE") {
    const message = `port ${port} on ${host} is taken: end what listens there, or choose another`;
    return new TidemarkError("PORT_TAKEN", message, options);
  }
  if (errno === "EACCES") {
    return new TidemarkError(
      "CONFIGURATION",
      `this user may not listen on port ${port}: choose one above 1023`,
      options,
    );
  }
  if (errno === "EADDRNOTAVAIL" || errno === "ENOTFOUND") {
    return new TidemarkError("CONFIGURATION", `${host} is no address of this machine`, options);
  }
  return new TidemarkError(
    "CONFIGURATION",
    `can't listen on ${host} port ${port}: ${messageOf(cause)}`,
    options,
  );
}

/** Keeps an eye on a server's connections. @returns what cuts all that there are, also those still in their handshake */
export function trackConnections(server: Server): () => void {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  return () => {
    for (const socket of open) socket.destroy();
  };
}

/** The host and port of a URL, as people write it: brackets around an IPv6 address. */
export function hostAndPort({ host, port }: ListenAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
