import { type ErrorCode, TidemarkError, errorCodes, messageOf } from "../../core/errors.ts";

/**
 * A request and its answer, apart from any server: what the Kubernetes REST surface and the APIs beside it are written
 * against, in the cloud and on the node.
 */
export interface HttpRequest {
  /** In capitals. */
  readonly method: string;
  /** As sent, without the query: still percent-encoded, begins with "/". */
  readonly path: string;
  /** Decoded; every value of a name, in order. */
  readonly query: ReadonlyMap<string, readonly string[]>;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Whole, at most `bodyBytesMax`; empty when there is none. */
  readonly body: Uint8Array;
  readonly identity: Identity;
}

/** Who asks: proven by a certificate, or, on the node's own loopback address, any program of that machine. */
export type Identity =
  | { readonly kind: "node"; readonly node: string }
  | { readonly kind: "admin"; readonly name: string }
  | { readonly kind: "local" };

export type BodyChunk = string | Uint8Array;

export interface HttpResponse {
  readonly status: number;
  /** Names in lower case; `content-type` is JSON unless said otherwise. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Chunks are sent as they come, no faster than the client reads, until they end or the signal aborts. */
  readonly body?: BodyChunk | AsyncIterable<BodyChunk>;
}

/** The part of an `AbortSignal` that pure code may use. */
export interface Cancellation {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/**
 * Answers one request. `gone` aborts when the client has gone or the server stops: an endless body must then end.
 * What is thrown becomes a `Status`, as `responseOfError` says.
 */
export type HttpHandler = (request: HttpRequest, gone: Cancellation) => Promise<HttpResponse>;

/** The largest request body, bytes: what a Kubernetes API server takes. */
export const bodyBytesMax: number = 3 * 1024 * 1024;

/** The first value of a query parameter. */
export function queryValue(request: Pick<HttpRequest, "query">, name: string): string | undefined {
  return request.query.get(name)?.[0];
}

/** The decoded parts of a path between its slashes, or undefined when it is not well encoded. */
export function pathSegments(path: string): readonly string[] | undefined {
  try {
    return path
      .split("/")
      .filter((segment) => segment !== "")
      .map((segment) => decodeURIComponent(segment));
  } catch {
    return undefined;
  }
}

/** An answer whose whole body is at hand. */
export interface TextResponse extends HttpResponse {
  readonly body: string;
}

export function jsonResponse(status: number, value: unknown): TextResponse {
  return { status, body: JSON.stringify(value) };
}

/** A Kubernetes `Status` of a failure. */
export interface StatusBody {
  readonly kind: "Status";
  readonly apiVersion: "v1";
  readonly metadata: Readonly<Record<string, never>>;
  readonly status: "Failure";
  readonly message: string;
  readonly reason: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly code: number;
}

const reasons: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  406: "NotAcceptable",
  409: "Conflict",
  410: "Expired",
  413: "RequestEntityTooLarge",
  415: "UnsupportedMediaType",
  422: "Invalid",
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/** A `Status` answer; `details` as Kubernetes has them: `name`, `kind`, `causes`, … */
export function statusResponse(
  status: number,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): TextResponse {
  const body: StatusBody = {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    reason: reasons[status] ?? "",
    ...(details && { details }),
    code: status,
  };
  return jsonResponse(status, body);
}

const statuses: Partial<Record<ErrorCode, number>> = {
  USAGE: 400,
  EVENT_INVALID: 400,
  FORBIDDEN: 403,
  AUTHORITY: 403,
  NODE_MISMATCH: 403,
  NOT_FOUND: 404,
  NODE_UNKNOWN: 404,
  NOT_YET: 404,
  DELETED: 404,
  FORGOTTEN: 410,
  CONFLICT: 409,
  EVENT_TOO_LARGE: 413,
  INVALID: 422,
  LOG_OVERLOADED: 429,
  UNSUPPORTED: 501,
  LOG_CLOSED: 503,
  SHUTTING_DOWN: 503,
  NOT_REACHABLE: 503,
  DISK_FULL: 507,
  LOG_FULL: 507,
};

/** The `Status` of a thrown error. Its code goes in `details.causes`; of an unforeseen error nothing is told. */
export function responseOfError(error: unknown): TextResponse {
  if (!(error instanceof TidemarkError)) {
    return statusResponse(500, "the server met an error it did not foresee; its log says which");
  }
  const causes = [{ reason: error.code, message: error.message }];
  return statusResponse(statuses[error.code] ?? 500, error.message, { ...error.data, causes });
}

/** The error that an answer of 400 and above stands for: by the code it names, else by its HTTP status. */
export function errorOfResponse(status: number, body: unknown): TidemarkError {
  const failure: Partial<StatusBody> = typeof body === "object" && body !== null ? body : {};
  const causes = failure.details?.["causes"];
  const named: unknown = Array.isArray(causes) ? causes[0]?.reason : undefined;
  const message =
    typeof failure.message === "string"
      ? failure.message
      : `the server answered ${status} without saying why`;
  const code = isErrorCode(named) ? named : codeOfStatus(status);
  return new TidemarkError(code, message, { data: { ...failure.details, status } });
}

function codeOfStatus(status: number): ErrorCode {
  if (status === 401 || status === 403) return "FORBIDDEN";
  if (status === 404) return "NOT_FOUND";
  if (status === 409) return "CONFLICT";
  if (status === 413) return "EVENT_TOO_LARGE";
  if (status === 429) return "LOG_OVERLOADED";
  if (status === 501) return "UNSUPPORTED";
  // A proxy, or a process that is starting or ending, says by these that nobody was there to answer.
  if (status === 502 || status === 503 || status === 504) return "NOT_REACHABLE";
  return status >= 500 ? "SERVER_FAILED" : "INVALID";
}

function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(errorCodes, value);
}

/** One object of a watch, a line of NDJSON. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

/** An object of NDJSON. @throws TidemarkError INVALID when the line is not JSON. */
export function parseJsonLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new TidemarkError("INVALID", `the server sent what is not JSON: ${messageOf(cause)}`, { cause });
  }
}
