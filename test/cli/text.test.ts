import * as fc from "fast-check";
import t from "tap";
import { coloured, paintFor } from "../../cli/paint.ts";
import { progressLine } from "../../cli/progress.ts";
import { Columns, facts, table } from "../../cli/table.ts";
import { age, count, counted, cut, pad, printable, shellWord, widthOf } from "../../cli/text.ts";
import { TestWorld } from "./command-line.ts";

t.test("terminal codes and line breaks in values are shown, not obeyed", async (t) => {
  t.equal(printable("a\u001b[31mred\nb"), "a\\u001b[31mred\\u000ab");
  t.equal(printable("23 °C"), "23 °C");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      // oxlint-disable-next-line no-control-regex
      return !/[\u0000-\u001f\u007f-\u009f]/.test(printable(text));
    }),
  );
});

t.test("a width is in cells of the terminal", async (t) => {
  t.equal(widthOf("temp"), 4);
  t.equal(widthOf("温度"), 4);
  t.equal(widthOf("é"), 1);
  t.equal(widthOf("e\u0301"), 1);
  t.equal(widthOf("…"), 1);
});

t.test("what is cut fits, says so, and what fits is whole", async (t) => {
  t.equal(cut("temperature", 5), "temp…");
  t.equal(cut("温度計", 4), "温…");
  t.equal(cut("temp", 4), "temp");
  t.equal(cut("temp", 0), "");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.nat(40), (text, width) => {
      const kept = cut(printable(text), width);
      return widthOf(kept) <= width && (kept === printable(text) || kept === "" || kept.endsWith("…"));
    }),
  );
});

t.test("a padded text has the width, or its own", async (t) => {
  t.equal(pad("a", 3), "a  ");
  t.equal(pad("a", 3, "right"), "  a");
  t.equal(pad("温", 3), "温 ");
  t.equal(pad("long", 3), "long");
});

t.test("numbers and times as people read them", async (t) => {
  t.same([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
  t.same(
    [1, 2].map((value) => counted(value, "event")),
    ["1 event", "2 events"],
  );
  const seconds = [0, 59, 60, 61, 599, 600, 3599, 3600, 3660, 36_000, 172_800];
  t.same(
    seconds.map((value) => age(value * 1000)),
    ["0s", "59s", "1m", "1m1s", "9m59s", "10m", "59m", "1h", "1h1m", "10h", "2d"],
  );
  t.equal(age(-5), "0s", "a clock that is ahead");
});

t.test("a word can be given to a shell as it is", async (t) => {
  t.equal(shellWord("default/this-machine"), "default/this-machine");
  t.equal(shellWord("$hw/events"), "'$hw/events'");
  t.equal(shellWord("it's"), `'it'\\''s'`);
  t.equal(shellWord(""), "''");
});

t.test("a table is aligned, and no line ends in spaces", async (t) => {
  const text = table(
    ["NAME", "COUNT", "NOTE"],
    [
      ["a", "1", ""],
      ["longer", "1000", "x"],
      [{ text: "温", style: "red" }, "20", ""],
    ],
    { right: [1] },
  );
  t.equal(text, ["NAME    COUNT  NOTE", "a           1", "longer   1000  x", "温         20", ""].join("\n"));
});

t.test("colour takes no room", async (t) => {
  const rows = [["a", { text: "yes", style: "green" }, "z"]] as const;
  const plain = table(["A", "B", "C"], rows);
  // oxlint-disable-next-line no-control-regex
  t.equal(table(["A", "B", "C"], rows, { paint: coloured }).replaceAll(/\u001b\[[0-9]+m/g, ""), plain);
});

t.test("a line is cut where the terminal ends", async (t) => {
  const columns = new Columns({ lineWidth: 10 });
  t.equal(columns.line(["abc", "defghijkl"]), "abc  defg…");
  t.equal(columns.line(["abcdefghijkl", "m"]), "abcdefghi…");
});

t.test("columns of lines that come one by one only widen", async (t) => {
  const columns = new Columns({ widths: [4] });
  t.equal(columns.line(["a", "x"]), "a     x");
  t.equal(columns.line(["abcdef", "x"]), "abcdef  x");
  t.equal(columns.line(["a", "x"]), "a       x");
});

t.test("a fact that is not known is left out", async (t) => {
  t.equal(
    facts([
      ["node", "n1"],
      ["lasting", undefined],
      ["model", "m"],
    ]),
    "  node   n1\n  model  m\n",
  );
});

t.test("colour is for terminals whose user wants it", async (t) => {
  const terminal = new TestWorld({ columns: 80 }).stdout;
  const pipe = new TestWorld().stdout;
  const isColoured = (output: typeof pipe, env: Record<string, string>, wanted = true): boolean =>
    paintFor(output, env, wanted) === coloured;
  t.equal(isColoured(terminal, {}), true);
  t.equal(isColoured(pipe, {}), false);
  t.equal(isColoured(terminal, { NO_COLOR: "1" }), false);
  t.equal(isColoured(terminal, { NO_COLOR: "" }), true, "an empty NO_COLOR says nothing");
  t.equal(isColoured(terminal, { TERM: "dumb" }), false);
  t.equal(isColoured(terminal, {}, false), false, "--no-color");
  t.equal(isColoured(pipe, { FORCE_COLOR: "1" }), true);
});

t.test("a progress bar says how far it is, where the end is known", async (t) => {
  t.equal(
    progressLine({ label: "Verifying", total: 200 }, 100, 2500),
    `Verifying [${"#".repeat(15)}${"·".repeat(15)}]  50 %  100 events  2 s`,
  );
  t.match(progressLine({ label: "Verifying", total: 0 }, 0, 0), /100 %/);
  t.equal(
    progressLine({ label: "Opening" }, 0, 1000),
    `Opening [${"·".repeat(10)}####${"·".repeat(16)}]  1 s`,
  );
});
