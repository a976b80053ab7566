import type { Credentials } from "../protocol/adapters/credentials.ts";
import { requestBytes, requestJson, requestLines } from "../protocol/adapters/http-client.ts";
import type { VerifyRow } from "../protocol/rest/log-api.ts";
import { type Target, logPath, logQuery } from "./target.ts";

/** Walking a large log takes as long as it takes. */
const verifyMsMax = 3_600_000;

/** A process that is asked over HTTP. */
export interface RunningTarget extends Target {
  /** Bytes of a stream as they come. */
  bytes(path: string): AsyncIterable<Uint8Array>;
}

export function runningTarget(
  name: string,
  access: { server: string; credentials?: Credentials },
): RunningTarget {
  return {
    name,
    isRunning: true,
    get: (path, query = {}) => requestJson({ ...access, path, query }),
    lines: (path, query, signal) => requestLines({ ...access, path, query, ...(signal && { signal }) }),
    bytes: (path) => requestBytes({ ...access, path }),
    send: (method, path, options = {}) => requestJson({ ...access, method, path, ...options }),
    async verify(log) {
      const asked = { path: logPath(log, "/verify"), query: logQuery(log), timeoutMs: verifyMsMax };
      return (await requestJson({ ...access, ...asked })) as VerifyRow;
    },
    close: () => Promise.resolve(),
  };
}
