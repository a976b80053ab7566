/** `--retain`: how long what was replaced is kept. */
import t from "tap";
import { parseRetain } from "../../cli/retain.ts";
import { retentionDefault, retentionTexts } from "../../core/retention.ts";
import { durationText, parseDuration } from "../../core/time.ts";

const day = 86_400_000;

t.test("what is not said is kept as long as it is without the flag", (t) => {
  t.strictSame(parseRetain("twin=12h"), { ...retentionDefault, twin: day / 2 });
  t.strictSame(parseRetain("twin=2d, audit=forever"), {
    ...retentionDefault,
    twin: 2 * day,
    audit: Infinity,
  });
  t.end();
});

t.test("what can't be read says what can", (t) => {
  t.throws(() => parseRetain("twins=1d"), /"twins" is no class: there are resource, twin, telemetry/);
  t.throws(() => parseRetain("twin=tomorrow"), /"tomorrow" is no age for twin: write 12h, 30d or forever/);
  t.throws(() => parseRetain("twin"), /"" is no age for twin/);
  t.end();
});

t.test("it is shown as it is written", (t) => {
  t.match(retentionTexts(parseRetain("twin=1d12h,telemetry=90m,audit=forever")), {
    twin: "1d12h",
    telemetry: "1h30m",
    audit: "forever",
    resource: "90d",
  });
  for (const text of ["0s", "1ms", "59s", "1m", "1h30m", "365d"])
    t.equal(durationText(parseDuration(text) ?? -1), text);
  t.end();
});
