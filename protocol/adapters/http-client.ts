import { type ClientRequest, type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestSecure } from "node:https";
import { TidemarkError, messageOf } from "../../core/errors.ts";
import { errorOfResponse, parseJsonLine } from "../rest/http.ts";
import { connectionError } from "./connection-errors.ts";
import type { Credentials } from "./credentials.ts";

export interface JsonRequest {
  /** `https://HOST:PORT` of a cloud or `http://127.0.0.1:PORT` of a node. */
  readonly server: string;
  /** Percent-encoded, begins with "/". */
  readonly path: string;
  /** GET unless said. */
  readonly method?: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Of the body, where it is another kind of JSON, such as a patch. */
  readonly contentType?: string;
  /** For HTTPS: whom to trust and what to show. */
  readonly credentials?: Credentials;
  /** For the whole answer; of a stream, for its beginning. 10 s unless said. */
  readonly timeoutMs?: number;
  /** Gives up when it aborts. */
  readonly signal?: AbortSignal;
}

/** An answer is read to this many bytes, and one object of a stream to as many. */
const answerBytesMax = 64 * 1024 * 1024;
const lineBytesMax = 4 * 1024 * 1024;

/**
 * Asks, and answers what the server said in JSON; undefined for nothing.
 * @throws TidemarkError NOT_REACHABLE, CERTIFICATE_REFUSED, SHUTTING_DOWN when the signal aborts; for an answer of 400 and
 * above the error that it names (`errorOfResponse`), with `status` in its data
 */
export async function requestJson(options: JsonRequest): Promise<unknown> {
  return begin(options, async (response) => {
    const body = await readJson(response);
    const { statusCode = 0 } = response;
    if (statusCode >= 400) throw errorOfResponse(statusCode, body);
    return body;
  });
}

/**
 * Asks for a stream of objects, one a line, and yields them as they come, no faster than they are taken. Ends when the
 * server ends it or the signal aborts.
 * @throws TidemarkError as `requestJson`, and NOT_REACHABLE when it is cut in the middle
 */
export async function* requestLines(options: JsonRequest): AsyncGenerator<unknown, void, undefined> {
  yield* streamed(options, linesOf);
}

/**
 * Asks for bytes, and yields them as they come, no faster than they are taken.
 * @throws TidemarkError as `requestLines`
 */
export async function* requestBytes(options: JsonRequest): AsyncGenerator<Uint8Array, void, undefined> {
  yield* streamed(options, (response) => response as AsyncIterable<Buffer>);
}

async function* streamed<T>(
  options: JsonRequest,
  read: (response: IncomingMessage) => AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  const response = await begin(options, async (answer) => {
    const { statusCode = 0 } = answer;
    if (statusCode >= 400) throw errorOfResponse(statusCode, await readJson(answer));
    return answer;
  });
  try {
    yield* read(response);
  } catch (error) {
    if (options.signal?.aborted) return;
    if (error instanceof TidemarkError) throw error;
    const message = `${options.server} cut the stream off: ${messageOf(error)}`;
    throw new TidemarkError("NOT_REACHABLE", message, { cause: error });
  } finally {
    response.destroy();
  }
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<unknown, void, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of response as AsyncIterable<Buffer>) {
    const bytes: Buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      if (end > start) yield parseJsonLine(bytes.toString("utf8", start, end));
      start = end + 1;
    }
    rest = bytes.subarray(start);
    if (rest.length > lineBytesMax) {
      throw new TidemarkError(
        "FRAME_TOO_LARGE",
        `the server sent an object of more than ${lineBytesMax} bytes`,
      );
    }
  }
  if (rest.length > 0) yield parseJsonLine(rest.toString());
}

/** Sends a request and lets `read` take what it wants of the answer in time. */
async function begin<T>(options: JsonRequest, read: (response: IncomingMessage) => Promise<T>): Promise<T> {
  const { server, credentials, timeoutMs = 10_000, signal } = options;
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), timeoutMs);
  let request: ClientRequest | undefined;
  const cancel = (): void => {
    request?.destroy();
  };
  late.signal.addEventListener("abort", cancel);
  signal?.addEventListener("abort", cancel);
  try {
    request = open(options);
    request.once("close", () => signal?.removeEventListener("abort", cancel));
    if (signal?.aborted) cancel();
    return await read(await send(request, options));
  } catch (error) {
    cancel();
    signal?.removeEventListener("abort", cancel);
    if (signal?.aborted) throw new TidemarkError("SHUTTING_DOWN", `the request to ${server} was called off`);
    if (late.signal.aborted) {
      throw new TidemarkError("NOT_REACHABLE", `${server} did not answer within ${timeoutMs} ms`, {
        cause: error,
      });
    }
    throw connectionError(error, { url: server, credentials, now: Date.now() });
  } finally {
    clearTimeout(timer);
  }
}

function open(options: JsonRequest): ClientRequest {
  const url = urlOf(options);
  return (url.protocol === "https:" ? requestSecure : requestPlain)(url, {
    ...options.credentials,
    method: options.method ?? "GET",
    // A connection of its own, closed with the answer.
    agent: false,
    minVersion: "TLSv1.2",
    headers: { accept: "application/json" },
  });
}

function send(request: ClientRequest, { body, contentType }: JsonRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // The listener stays: what fails after the answer has begun shows in the answer.
    request.on("error", reject);
    request.once("response", resolve);
    if (body === undefined) {
      request.end();
    } else {
      const text = JSON.stringify(body);
      request.setHeader("content-type", contentType ?? "application/json");
      request.setHeader("content-length", Buffer.byteLength(text));
      request.end(text);
    }
  });
}

async function readJson(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > answerBytesMax) {
      throw new TidemarkError("FRAME_TOO_LARGE", `the server's answer has more than ${answerBytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    // An error page of something else: its status says enough.
    if ((response.statusCode ?? 0) >= 400) return undefined;
    throw new TidemarkError("INVALID", `the server answered with what is not JSON: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function urlOf({ server, path, query = {} }: JsonRequest): URL {
  if (!URL.canParse(server) || !/^https?:\/\//.test(server)) {
    const message = `${JSON.stringify(server)} is no address of an API: write https://HOST:PORT`;
    throw new TidemarkError("CONFIGURATION", message, { data: { server } });
  }
  const url = new URL(`${server.replace(/\/+$/, "")}${path}`);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.append(name, value);
  }
  return url;
}
