import t from "tap";
import { TidemarkError } from "../../core/errors.ts";
import { errorOfResponse, responseOfError } from "../../protocol/rest/http.ts";

t.test("an error comes out of its answer with the code that it went in with", (t) => {
  for (const code of ["LOG_GAP", "NOT_FOUND", "SHUTTING_DOWN", "DISK_FULL", "LOG_FULL"] as const) {
    const { status, body } = responseOfError(new TidemarkError(code, "why"));
    t.match(errorOfResponse(status, JSON.parse(body)), { code, message: "why", data: { status } });
  }
  t.end();
});

t.test("an answer that names no code has that of its status", (t) => {
  const unforeseen = responseOfError(new Error("secret"));
  t.match(errorOfResponse(unforeseen.status, JSON.parse(unforeseen.body)), {
    code: "SERVER_FAILED",
    message: /did not foresee/,
  });
  const codes = {
    400: "INVALID",
    401: "FORBIDDEN",
    404: "NOT_FOUND",
    500: "SERVER_FAILED",
    501: "UNSUPPORTED",
    502: "NOT_REACHABLE",
    503: "NOT_REACHABLE",
    504: "NOT_REACHABLE",
    507: "SERVER_FAILED",
  };
  for (const [status, code] of Object.entries(codes)) {
    t.equal(errorOfResponse(Number(status), "<html>").code, code, status);
  }
  t.end();
});
