// The test reporter (`reporter` in .taprc): a line per test file as it ends, each failure in full, and at the
// end what failed and what was skipped by name, then the counts alone on the last line.
//
// What is counted is tests, not assertions: a test is a block without blocks of its own. One that skips
// anything is skipped, not passed; a file that dies outside of its tests is one failed test.
import { createRequire } from "node:module";
import { Transform } from "node:stream";

// The parser of the very tap that writes the stream: it comes with tap, under tap's own folder or beside it.
const tap = createRequire(createRequire(import.meta.url).resolve("tap"));
const { Parser } = createRequire(tap.resolve("@tapjs/core"))("tap-parser");

const detailLinesMax = 60;
const uninteresting = new Set([
  "at",
  "stack",
  "source",
  "stdio",
  "cwd",
  "externalID",
  "command",
  "args",
  "jobId",
]);
const colours = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code, text) => (colours ? `\u001B[${code}m${text}\u001B[0m` : text);
const red = (text) => paint(31, text);
const yellow = (text) => paint(33, text);
const green = (text) => paint(32, text);

/** A failed point's diagnostics, most telling first, as indented lines. */
function describe(diagnostics) {
  const { at, stack, ...rest } = diagnostics ?? {};
  const lines = [];
  if (at?.fileName) lines.push(`at ${at.fileName}:${at.lineNumber}`);
  for (const [name, value] of Object.entries(rest)) {
    if (uninteresting.has(name) || value === null) continue;
    const text = typeof value === "string" ? value.trimEnd() : JSON.stringify(value, null, 2);
    lines.push(...(text.includes("\n") ? [`${name}:`, ...text.split("\n")] : [`${name}: ${text}`]));
  }
  if (stack && !at?.fileName) lines.push(...String(stack).trimEnd().split("\n"));
  const rows = lines.slice(0, detailLinesMax).map((line) => `      ${line}\n`);
  return rows.join("") + (lines.length > detailLinesMax ? "      …\n" : "");
}

export default class Reporter extends Transform {
  #parser = new Parser();
  #passed = 0;
  #failed = [];
  #skipped = [];

  constructor() {
    super();
    this.#watch(this.#parser, []);
    this.#parser.on("bailout", (reason) => this.#fail("the whole run", [{ name: `bail out: ${reason}` }]));
  }

  _transform(chunk, _encoding, done) {
    this.#parser.write(chunk);
    done();
  }

  _flush(done) {
    this.#parser.end();
    if (this.#skipped.length > 0) this.#say(`\n${yellow("Skipped")}\n${this.#skipped.join("")}`);
    if (this.#failed.length > 0) this.#say(`\n${red("Failed")}\n${this.#failed.join("")}`);
    const skipped = this.#skipped.length === 0 ? "" : `, ${this.#skipped.length} skipped`;
    this.#say(`\n${this.#passed} passed, ${this.#failed.length} failed${skipped}\n`);
    done();
  }

  #say(text) {
    this.push(text);
  }

  /** Follows one block: the stream itself, a file, a test. Blocks end with a point of their parent's. */
  #watch(parser, path) {
    const block = { path, inner: 0, failedInside: false, failures: [], skips: [] };
    let open;
    parser.on("child", (child) => {
      open = this.#watch(child, [...path, child.name]);
    });
    parser.on("assert", (point) => {
      if (open) {
        block.inner += 1;
        if (this.#close(open, point)) block.failedInside = true;
        open = undefined;
      } else if (point.skip || point.todo) {
        block.skips.push(point);
      } else if (!point.ok) {
        block.failures.push(point);
      }
    });
    return block;
  }

  /** Counts an ended block; true when it failed. */
  #close(block, point) {
    const { path, skips, failures } = block;
    if (point.skip && skips.length === 0) skips.push({ name: "", skip: point.skip });
    for (const skip of skips) this.#skip(path, skip);
    const failed = !point.ok && !point.todo;
    if (failed && (failures.length > 0 || !block.failedInside)) {
      this.#fail(path.join(" > "), failures.length > 0 ? failures : [point]);
    } else if (!failed && block.inner === 0 && skips.length === 0) {
      this.#passed += 1;
    }
    if (path.length === 1) this.#fileEnded(path[0], { failed, point });
    return failed;
  }

  #skip(path, { name, skip, todo }) {
    const reason = [skip, todo].find((given) => typeof given === "string") ?? (todo ? "to do" : "");
    const where = [...path, name].filter(Boolean).join(" > ");
    this.#skipped.push(`  ${where}${reason ? `: ${reason}` : ""}\n`);
  }

  #fail(name, points) {
    this.#failed.push(`  ${name}\n`);
    const details = points.map((point) => `    ${point.name}\n${describe(point.diag)}`);
    this.#say(`${red("  fails")} ${name}\n${details.join("")}`);
  }

  #fileEnded(name, { failed, point }) {
    const seconds = ((point.time ?? 0) / 1000).toFixed(1).padStart(6);
    this.#say(`${failed ? red("FAIL") : green("ok  ")} ${seconds} s  ${name}\n`);
  }
}
