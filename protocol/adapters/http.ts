import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { isIPv4 } from "node:net";
import type { TLSSocket } from "node:tls";
import { TidemarkError, messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/ports.ts";
import {
  type BodyChunk,
  type HttpHandler,
  type HttpRequest,
  type HttpResponse,
  type Identity,
  type TextResponse,
  bodyBytesMax,
  responseOfError,
  statusResponse,
} from "../rest/http.ts";
import type { Credentials } from "./credentials.ts";
import { peerIdentity } from "./identity.ts";
import { type ListenAddress, listen, trackConnections } from "./listening.ts";

export interface HttpListenerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly handler: HttpHandler;
  readonly logger: Logger;
  /** With them: HTTPS, for administrators' certificates only. Without: plain HTTP, for this machine only. */
  readonly credentials?: Credentials;
  /** 4,096 unless said; more are cut at once. */
  readonly maxConnections?: number;
}

export interface HttpListener {
  readonly address: ListenAddress;
  /** Stops listening, ends streams, waits two seconds at most for the other answers, and cuts what is left. */
  close(): Promise<void>;
}

const drainMsMax = 2000;
/** Of a body over the limit, as much is still read, and thrown away, so that its sender gets to read the refusal. */
const discardedBytesMax = 4 * bodyBytesMax;

/**
 * Serves a handler. Errors are answered as Kubernetes `Status` objects; bodies over `bodyBytesMax` with 413; without a
 * certificate of ours 401, with a node's 403.
 * @throws TidemarkError PORT_TAKEN, CONFIGURATION
 */
export async function listenHttp(options: HttpListenerOptions): Promise<HttpListener> {
  const { credentials, host } = options;
  if (!credentials && !isLoopback(host)) {
    const message = `without TLS the API listens on this machine only: use 127.0.0.1 instead of ${host}`;
    throw new TidemarkError("CONFIGURATION", message, { data: { host } });
  }
  const limits = { headersTimeout: 10_000, requestTimeout: 60_000, keepAliveTimeout: 65_000, noDelay: true };
  const server = credentials
    ? createSecureServer({
        ...credentials,
        ...limits,
        minVersion: "TLSv1.2",
        handshakeTimeout: 10_000,
        requestCert: true,
        // Checked at each request, where a client that is refused can be told why.
        rejectUnauthorized: false,
      })
    : createServer(limits);
  server.maxConnections = options.maxConnections ?? 4096;
  const cutAll = trackConnections(server);
  const exchanges = new Exchanges(options);
  server.on("request", (request: IncomingMessage, response: ServerResponse) =>
    exchanges.begin(request, response),
  );

  const address = await listen(server, options);
  let closing: Promise<void> | undefined;
  return {
    address,
    close() {
      closing ??= closeServer(server, exchanges, cutAll);
      return closing;
    },
  };
}

async function closeServer(server: Server, exchanges: Exchanges, cutAll: () => void): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  exchanges.drain();
  const cut = setTimeout(cutAll, drainMsMax);
  await closed;
  clearTimeout(cut);
}

/** The requests under way. */
class Exchanges {
  readonly #handler: HttpHandler;
  readonly #logger: Logger;
  readonly #secure: boolean;
  /** What ends the streams that are being sent. */
  readonly #streams = new Set<AbortController>();
  #draining = false;

  constructor({ handler, logger, credentials }: HttpListenerOptions) {
    this.#handler = handler;
    this.#logger = logger;
    this.#secure = credentials !== undefined;
  }

  begin(request: IncomingMessage, response: ServerResponse): void {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    this.#exchange(request, response, gone).catch((error: unknown) => {
      // A client that left, or a stream that broke in the middle: a cut tells the client that it is not whole.
      if (!response.destroyed && !request.socket.destroyed)
        this.#logger.log("error", "an answer broke off", fieldsOf(request, error));
      response.destroy();
    });
  }

  /** Ends the streams, and the connections of the rest with their answers. */
  drain(): void {
    this.#draining = true;
    for (const stream of this.#streams) stream.abort();
  }

  async #exchange(request: IncomingMessage, response: ServerResponse, gone: AbortController): Promise<void> {
    const answer = await this.#answer(request, gone.signal);
    if (response.destroyed) return;
    const { body = "" } = answer;
    if (this.#draining) response.setHeader("connection", "close");
    response.writeHead(answer.status, {
      "content-type": "application/json",
      ...(isWhole(body) && { "content-length": Buffer.byteLength(body) }),
      ...answer.headers,
    });
    if (isWhole(body)) {
      response.end(body);
      return;
    }
    this.#streams.add(gone);
    if (this.#draining) gone.abort();
    try {
      await sendStream(body, response, gone.signal);
    } finally {
      this.#streams.delete(gone);
    }
  }

  async #answer(request: IncomingMessage, gone: AbortSignal): Promise<HttpResponse> {
    const identity = this.#secure ? identityOf(request) : localIdentity(request);
    if ("status" in identity) return identity;
    const { url = "" } = request;
    if (!url.startsWith("/")) return statusResponse(400, "a request names a path that begins with /");
    const body = await readBody(request);
    if (body === undefined) return { ...tooLarge, headers: { connection: "close" } };
    try {
      return await this.#handler(requestOf(request, body, identity), gone);
    } catch (error) {
      if (!(error instanceof TidemarkError))
        this.#logger.log("error", "a request failed", fieldsOf(request, error));
      return responseOfError(error);
    }
  }
}

const tooLarge = statusResponse(413, `a request's body may have ${bodyBytesMax} bytes at most`);

function identityOf(request: IncomingMessage): Identity | TextResponse {
  const socket = request.socket as TLSSocket;
  const identity = peerIdentity(socket);
  if (identity?.kind === "admin") return identity;
  if (identity?.kind === "node") {
    return statusResponse(
      403,
      `node ${identity.node} may not use this API: it is for administrators' certificates`,
    );
  }
  return statusResponse(
    401,
    "this API asks for a certificate of this cloud's authority: use the admin.kubeconfig in its data directory",
  );
}

/** Only programs of this machine, and no web page they may show. */
function localIdentity({ headers }: IncomingMessage): Identity | TextResponse {
  // A page from elsewhere may make its own name resolve to 127.0.0.1, but it can't change the name that is sent.
  if (!isLoopback(hostOfHeader(headers.host ?? ""))) {
    return statusResponse(
      403,
      "this API answers to localhost and 127.0.0.1 only, not to the host that was asked for",
    );
  }
  const site = headers["sec-fetch-site"];
  if (headers.origin !== undefined || site === "cross-site" || site === "same-site") {
    return statusResponse(403, "this API does not answer web pages");
  }
  return { kind: "local" };
}

function hostOfHeader(host: string): string {
  return host.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
}

function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  return name === "localhost" || name === "::1" || (isIPv4(name) && name.startsWith("127."));
}

function requestOf(request: IncomingMessage, body: Uint8Array, identity: Identity): HttpRequest {
  const { url = "/", method = "GET" } = request;
  const mark = url.indexOf("?");
  const query = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1))) {
    const values = query.get(name);
    if (values) values.push(value);
    else query.set(name, [value]);
  }
  const headers = Object.entries(request.headers).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.join(", ") : value,
  ]);
  return {
    method: method.toUpperCase(),
    path: mark < 0 ? url : url.slice(0, mark),
    query,
    headers: Object.fromEntries(headers),
    body,
    identity,
  };
}

/** The whole body, or undefined when it is over the limit. */
async function readBody(request: IncomingMessage): Promise<Uint8Array | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > discardedBytesMax) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= bodyBytesMax) chunks.push(chunk);
    else chunks.length = 0;
    if (size > discardedBytesMax) return undefined;
  }
  if (size > bodyBytesMax) return undefined;
  const whole = Buffer.concat(chunks);
  return new Uint8Array(whole.buffer, whole.byteOffset, whole.length);
}

function isWhole(body: BodyChunk | AsyncIterable<BodyChunk>): body is BodyChunk {
  return typeof body === "string" || body instanceof Uint8Array;
}

/** Sends chunks no faster than the client reads them; ends cleanly when `gone` aborts, or they end. */
async function sendStream(
  chunks: AsyncIterable<BodyChunk>,
  response: ServerResponse,
  gone: AbortSignal,
): Promise<void> {
  response.flushHeaders();
  for await (const chunk of chunks) {
    if (gone.aborted) break;
    if (!response.write(chunk)) await writable(response, gone);
  }
  response.end();
}

function writable(response: ServerResponse, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      response.off("drain", go);
      gone.removeEventListener("abort", go);
      resolve();
    };
    if (gone.aborted) return go();
    response.once("drain", go);
    gone.addEventListener("abort", go, { once: true });
  });
}

function fieldsOf(request: IncomingMessage, error: unknown): Record<string, unknown> {
  const where = error instanceof Error ? error.stack : undefined;
  return { method: request.method, path: request.url, error: messageOf(error), where };
}
