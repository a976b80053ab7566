/**
 * A backup over HTTP, the same at the cloud and on the node:
 *
 *     GET /tidemark/v1/backup    the whole of it, as a stream
 */
import { type HttpRequest, type HttpResponse, statusResponse } from "./http.ts";

/**
 * @param backup begins one
 * @returns undefined when the path is not this one
 */
export function serveBackup(
  backup: () => AsyncIterable<Uint8Array>,
  request: HttpRequest,
  path: readonly string[],
): HttpResponse | undefined {
  if (path.join("/") !== "tidemark/v1/backup") return undefined;
  if (request.method !== "GET") return statusResponse(405, "a backup can only be read");
  return { status: 200, headers: { "content-type": "application/octet-stream" }, body: backup() };
}
