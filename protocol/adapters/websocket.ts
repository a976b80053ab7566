import { type IncomingMessage, STATUS_CODES } from "node:http";
import { type Server, createServer } from "node:https";
import type { TLSSocket } from "node:tls";
import { WebSocket, WebSocketServer } from "ws";
import { TidemarkError } from "../../core/errors.ts";
import type { Logger } from "../../core/ports.ts";
import { type TextResponse, errorOfResponse, statusResponse } from "../rest/http.ts";
import { type Transport, linkPath } from "../transport.ts";
import { paceAccepts } from "./accept-pace.ts";
import { connectionError } from "./connection-errors.ts";
import type { Credentials } from "./credentials.ts";
import { peerIdentity } from "./identity.ts";
import { type ListenAddress, listen, trackConnections } from "./listening.ts";
import { WebSocketTransport, socketOptions } from "./websocket-transport.ts";

export interface LinkListenerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** The server's, with the authority that nodes' certificates must be from. */
  readonly credentials: Credentials;
  readonly logger: Logger;
  /** How many connections a second may begin their handshake (0.7 ms of CPU each); 500 unless said. */
  readonly paceHandshakesPerSecond?: number;
  /** 20,000 unless said; more are cut at once. */
  readonly maxConnections?: number;
}

/** Takes a node's connection; `admission` is that of its certificate (`PeerIdentity`). */
export type LinkAccept = (transport: Transport, node: string, admission: number) => void;

/** Why a node's certificate of that admission is refused; undefined when it is not. */
export type LinkRefuse = (node: string, admission: number) => string | undefined;

export interface LinkListener {
  readonly address: ListenAddress;
  /** Sets who takes the nodes' connections; before that they are answered 503 and come again. */
  onConnection(accept: LinkAccept, refuse?: LinkRefuse): void;
  /** Stops listening and closes all connections with SHUTTING_DOWN; those that have not ended in two seconds are cut. */
  close(): Promise<void>;
}

/** Clients that wait for their handshake's turn are served or cut within this, ms. */
const acceptWaitMsMax = 5000;
const handshakeMsMax = 10_000;

/**
 * Opens the cloud's end of the link: mutual TLS, and only for certificates of nodes. Who connects is known from the
 * certificate, whatever is said later.
 * @throws TidemarkError PORT_TAKEN, CONFIGURATION
 */
export async function listenLink(options: LinkListenerOptions): Promise<LinkListener> {
  const { logger, credentials } = options;
  const open = new Set<WebSocketTransport>();
  let accept: LinkAccept | undefined;
  let refuse: LinkRefuse | undefined;
  const server = createServer({
    ...credentials,
    minVersion: "TLSv1.2",
    requestCert: true,
    // Checked below instead, where a client that is refused can be told why.
    rejectUnauthorized: false,
    handshakeTimeout: handshakeMsMax,
    headersTimeout: handshakeMsMax,
    requestTimeout: handshakeMsMax,
    connectionsCheckingInterval: 2000,
    noDelay: true,
    // Bytes of those who wait for their turn stay in the kernel.
    pauseOnConnect: true,
  });
  server.maxConnections = options.maxConnections ?? 20_000;
  const stopPacing = paceAccepts(server, {
    perSecond: options.paceHandshakesPerSecond ?? 500,
    waitMsMax: acceptWaitMsMax,
  });
  const cutAll = trackConnections(server);
  const sockets = new WebSocketServer({ noServer: true, clientTracking: false, ...socketOptions });

  server.on("request", (request, response) => {
    const answer = refusalOf(request, logger) ?? statusResponse(426, "this port speaks Tidemark's link only");
    response.writeHead(answer.status, { "content-type": "application/json", connection: "close" });
    response.end(answer.body);
  });
  server.on("upgrade", (request: IncomingMessage, socket: TLSSocket, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    const refusal =
      refusalOf(request, logger) ??
      (accept ? removalOf(socket, refuse) : statusResponse(503, "the cloud is starting"));
    if (refusal) return answerRaw(socket, refusal);
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const identity = nodeOf(socket);
      if (identity === undefined || accept === undefined) return webSocket.terminate();
      const transport = new WebSocketTransport(webSocket, socket);
      open.add(transport);
      webSocket.once("close", () => open.delete(transport));
      accept(transport, identity.node, identity.admission);
    });
  });
  server.on("tlsClientError", (error, socket) => {
    logger.log("debug", "TLS handshake failed on the link", {
      reason: error.message,
      peer: socket.remoteAddress,
    });
  });

  const address = await listen(server, options);
  let closing: Promise<void> | undefined;
  return {
    address,
    onConnection(callback, why) {
      accept = callback;
      refuse = why;
    },
    close() {
      stopPacing();
      closing ??= closeLink(server, open, cutAll);
      return closing;
    },
  };
}

async function closeLink(server: Server, open: Set<WebSocketTransport>, cutAll: () => void): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  for (const transport of open) transport.close("SHUTTING_DOWN");
  const cut = setTimeout(cutAll, socketOptions.closeTimeout);
  await closed;
  clearTimeout(cut);
}

function nodeOf(socket: TLSSocket): { readonly node: string; readonly admission: number } | undefined {
  const identity = peerIdentity(socket);
  return identity?.kind === "node" ? identity : undefined;
}

/** The answer to a node that may not come any more. */
function removalOf(socket: TLSSocket, refuse: LinkRefuse | undefined): TextResponse | undefined {
  const identity = nodeOf(socket);
  const message = identity && refuse?.(identity.node, identity.admission);
  if (message === undefined) return undefined;
  return statusResponse(403, message, { causes: [{ reason: "CERTIFICATE_REFUSED", message }] });
}

/** Why a request may not open a link, or undefined. */
function refusalOf(request: IncomingMessage, logger: Logger): TextResponse | undefined {
  const socket = request.socket as TLSSocket;
  if (nodeOf(socket) !== undefined) {
    return request.url === linkPath ? undefined : statusResponse(404, `the link is at ${linkPath}`);
  }
  const shown = socket.getPeerCertificate().subject?.CN;
  const problem = socket.authorized ? "it is not a node's" : String(socket.authorizationError);
  const reason = shown === undefined ? "none was shown" : problem;
  logger.log("warn", "link refused", {
    code: "CERTIFICATE_REFUSED",
    reason,
    certificate: shown,
    peer: socket.remoteAddress,
  });
  const message =
    `the cloud did not accept the node's certificate (${reason}; its clock says ${new Date().toISOString()}): ` +
    "have it issue one by tidemark cert issue --node NAME";
  return statusResponse(403, message, { causes: [{ reason: "CERTIFICATE_REFUSED", message }] });
}

function answerRaw(socket: TLSSocket, { status, body }: TextResponse): void {
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

export interface LinkDialOptions {
  /** `wss://HOST:PORT`; the link's path is added when there is none. */
  readonly url: string;
  readonly credentials: Credentials;
  /** From dialling to the open link, ms. */
  readonly timeoutMs: number;
  /** Gives up when it aborts. */
  readonly signal?: AbortSignal;
}

/**
 * Opens the node's end of the link, having verified the cloud's certificate and host name.
 * @throws TidemarkError NOT_REACHABLE, CERTIFICATE_REFUSED (by either side), CONFIGURATION for a bad URL
 */
export async function dialLink({ url, credentials, timeoutMs, signal }: LinkDialOptions): Promise<Transport> {
  const target = linkUrl(url);
  const attempt = { url, credentials, now: Date.now() };
  let socket: WebSocket;
  try {
    socket = new WebSocket(target, {
      ...socketOptions,
      ...credentials,
      minVersion: "TLSv1.2",
      // Masks keep scripts in browsers from writing what a plain-text proxy mistakes for a request. Inside TLS, from a
      // program, they only cost a copy of each message; the all-zero mask says so.
      generateMask: () => undefined,
    });
  } catch (error) {
    throw connectionError(error, attempt);
  }
  return new Promise<Transport>((resolve, reject) => {
    let stream: IncomingMessage["socket"] | undefined;
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    const fail = (error: unknown): void => {
      settle();
      reject(connectionError(error, attempt));
      socket.terminate();
    };
    const abort = (): void => fail(new TidemarkError("SHUTTING_DOWN", `dialling ${url} was called off`));
    const timer = setTimeout(() => {
      fail(
        new TidemarkError("NOT_REACHABLE", `${url} did not answer within ${timeoutMs} ms`, { data: { url } }),
      );
    }, timeoutMs);
    // It stays for errors that follow giving up.
    socket.on("error", fail);
    socket.on("unexpected-response", (_request, response) => {
      readRefusal(response).then((body) => fail(refusalError(url, response.statusCode ?? 0, body)), fail);
    });
    socket.on("upgrade", (response) => {
      stream = response.socket;
    });
    socket.on("open", () => {
      settle();
      socket.off("error", fail);
      if (stream) resolve(new WebSocketTransport(socket, stream));
    });
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
  });
}

function linkUrl(url: string): URL {
  if (!URL.canParse(url) || new URL(url).protocol !== "wss:") {
    throw new TidemarkError(
      "CONFIGURATION",
      `${JSON.stringify(url)} is no address of a cloud: write wss://HOST:PORT`,
      {
        data: { url },
      },
    );
  }
  const target = new URL(url);
  if (target.pathname === "/") target.pathname = linkPath;
  return target;
}

const refusalBytesMax = 16_384;

async function readRefusal(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > refusalBytesMax) return undefined;
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    return undefined;
  }
}

function refusalError(url: string, status: number, body: unknown): TidemarkError {
  if (status === 403 || status === 503) return errorOfResponse(status, body);
  return new TidemarkError(
    "NOT_REACHABLE",
    `what listens at ${url} answered ${status}: is it the link's port?`,
    {
      data: { url, status },
    },
  );
}
