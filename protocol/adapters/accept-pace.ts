import type { Server, Socket } from "node:net";

export interface AcceptPace {
  /** Connections a second that go on to their TLS handshake; a second's worth may go at once. */
  readonly perSecond: number;
  /** How long one may wait for its turn, ms: less than clients wait. Longer queues are refused at the end. */
  readonly waitMsMax: number;
}

/**
 * Lets the connections of a TLS server into their handshakes at a bounded rate: when thousands of nodes come back at
 * once, a server that begins them all finishes none in time. The rest wait unread in the order they came; those that
 * would wait too long are cut, and dial again later. @returns what stops it and cuts those that wait
 */
export function paceAccepts(server: Server, { perSecond, waitMsMax }: AcceptPace): () => void {
  const handshakes = server.listeners("connection");
  const waiting: Socket[] = [];
  const waitingMax = Math.max(1, Math.floor((perSecond * waitMsMax) / 1000));
  let tokens = perSecond;
  let countedAt = performance.now();
  let timer: NodeJS.Timeout | undefined;

  const refill = (): void => {
    const now = performance.now();
    tokens = Math.min(perSecond, tokens + ((now - countedAt) * perSecond) / 1000);
    countedAt = now;
  };
  const begin = (socket: Socket): void => {
    tokens -= 1;
    for (const handshake of handshakes) Reflect.apply(handshake, server, [socket]);
  };
  const wait = (): void => {
    timer ??= setTimeout(serve, Math.ceil(1000 / perSecond));
  };
  const serve = (): void => {
    timer = undefined;
    refill();
    for (const socket of waiting.splice(0, Math.floor(tokens))) {
      if (!socket.destroyed) begin(socket);
    }
    if (waiting.length > 0) wait();
  };

  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    refill();
    if (waiting.length === 0 && tokens >= 1) {
      begin(socket);
    } else if (waiting.length < waitingMax) {
      waiting.push(socket);
      wait();
    } else {
      socket.destroy();
    }
  });
  return () => {
    clearTimeout(timer);
    for (const socket of waiting.splice(0)) socket.destroy();
  };
}
