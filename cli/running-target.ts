import { readExport } from "../core/export-read.ts";
import { nodeDigest } from "../core/store/node-digest.ts";
import type { Credentials } from "../protocol/adapters/credentials.ts";
import { requestBytes, requestJson, requestLines } from "../protocol/adapters/http-client.ts";
import type { VerifyRow } from "../protocol/rest/log-api.ts";
import { type LogRef, type Query, type Target, logPath, logQuery } from "./target.ts";

/** Walking a large log takes as long as it takes. */
const walkMsMax = 3_600_000;

/** A process that is asked over HTTP. */
export interface RunningTarget extends Target {
  /** Bytes of a stream as they come. */
  bytes(path: string): AsyncIterable<Uint8Array>;
}

export function runningTarget(
  name: string,
  access: { server: string; credentials?: Credentials },
): RunningTarget {
  const exportBytes = (log: LogRef, query: Query): AsyncIterable<Uint8Array> => {
    const asked = { path: logPath(log, "/export"), query: { ...query, ...logQuery(log) } };
    return requestBytes({ ...access, ...asked, timeoutMs: walkMsMax });
  };
  return {
    name,
    isRunning: true,
    get: (path, query = {}) => requestJson({ ...access, path, query }),
    lines: (path, query, signal) => requestLines({ ...access, path, query, ...(signal && { signal }) }),
    bytes: (path) => requestBytes({ ...access, path }),
    exportBytes,
    exportParts: (log, query) => readExport(exportBytes(log, query), nodeDigest),
    send: (method, path, options = {}) => requestJson({ ...access, method, path, ...options }),
    async verify(log) {
      const asked = { path: logPath(log, "/verify"), query: logQuery(log), timeoutMs: walkMsMax };
      return (await requestJson({ ...access, ...asked })) as VerifyRow;
    },
    close: () => Promise.resolve(),
  };
}
