import { InvalidArgumentError } from "commander";
import t from "tap";
import { parseLogLimit } from "../../cli/log-limit.ts";
import { run } from "./command-line.ts";

t.test("a log limit is a quantity, and not so small that nothing fits", async (t) => {
  t.equal(parseLogLimit("512Mi"), 512 * 1024 ** 2);
  t.equal(parseLogLimit("16Mi"), 16 * 1024 ** 2);
  t.equal(parseLogLimit("0"), 0);
  for (const text of ["15Mi", "1", "1.5", "16", "-1Gi", "1 Gi", "much", ""]) {
    t.throws(() => parseLogLimit(text), InvalidArgumentError, text);
  }
});

t.test("what is no limit is said on the command line, before anything is started", async (t) => {
  for (const command of ["edge", "cloud", "up"]) {
    const small = await run([command, "--log-limit", "8Mi"]);
    t.equal(small.code, 2, command);
    t.match(small.err, /--log-limit.*8 MiB is too small for a log to work: 16Mi or more/);
    t.match((await run([command, "--log-limit", "lots"])).err, /512Mi, 2Gi/);
    t.match((await run([command, "--help"])).out, command === "edge" ? /1Gi/ : /10Gi/);
  }
});
