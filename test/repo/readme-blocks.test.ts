import { existsSync, readFileSync } from "node:fs";
import t, { type Test } from "tap";

import { matches, parseBlocks } from "./readme-blocks.ts";
import { type Outcome, runBlocks } from "./readme-run.ts";

/** A document whose code fences are written as `~~~`, so that it can stand in this file. */
function document(text: string): string {
  return text.replaceAll("~~~", "```");
}

async function run(t: Test, text: string): Promise<Outcome[]> {
  const env = { PATH: process.env["PATH"] };
  return runBlocks(parseBlocks(document(text)), { cwd: t.testdir(), env, endLimitMs: 1000 });
}

/** Each outcome in short: line, command, state and why. */
function brief(outcomes: readonly Outcome[]): string[] {
  return outcomes.map(({ line, command, state, why }) => {
    return `${line}: ${command}: ${state}${why === undefined ? "" : ` (${why})`}`;
  });
}

t.test("output is compared line by line, and … stands for anything", async (t) => {
  const cases: [shown: string[], printed: string, same: boolean][] = [
    [[], "whatever", true],
    [["a"], "a\n", true],
    [["a"], "a  \n\n\n", true],
    [["a"], "b\n", false],
    [["a"], "a\nb\n", false],
    [["a", "b"], "a\n", false],
    [["a.c"], "abc\n", false],
    [["a (1) [2]"], "a (1) [2]\n", true],
    [["took … ms"], "took 12.3 ms\n", true],
    [["took … ms"], "took 12.3 s\n", false],
    [["{…}"], '{"a":1}\n', true],
    [["a", "…", "z"], "a\nz\n", true],
    [["a", "…", "z"], "a\nb\nc\nz\n", true],
    [["a", "…", "z"], "a\nb\nc\n", false],
    [["…", "z"], "a\nz\n", true],
    [["a", "…"], "a\n", true],
    [["red"], "\u001B[31mred\u001B[0m\n", true],
  ];
  for (const [shown, printed, same] of cases) {
    t.equal(matches(shown, printed), same, JSON.stringify([shown, printed]));
  }
});

t.test("only console blocks hold commands", async (t) => {
  const blocks = parseBlocks(
    document(`
Words, and \`$ not a command\`.

~~~json
{ "$ neither": true }
~~~

~~~console
$ first \\
> --continued
shown

shown after a blank line

$ second
~~~
`),
  );
  t.match(blocks, [
    {
      line: 8,
      kind: "commands",
      steps: [
        { line: 9, command: "first \\\n--continued", expected: ["shown", "", "shown after a blank line"] },
        { line: 15, command: "second", expected: [] },
      ],
    },
  ]);
  t.equal(blocks.length, 1);
});

t.test("what can't be run as meant is refused, with its line", async (t) => {
  const cases: [text: string, message: string][] = [
    ["<!-- run: sideways -->\n~~~console\n$ a\n~~~", "line 1: not a directive: sideways"],
    ["<!-- run: skip -->\n~~~console\n$ a\n~~~", "line 1: not a directive: skip"],
    [
      "<!-- run: exit 3 -->\n\nWords.\n\n~~~console\n$ a\n~~~",
      "line 1: a directive stands right before a block",
    ],
    ["Words.\n<!-- run: exit 3 -->", "line 2: a directive stands right before a block"],
    [
      "<!-- run: exit 3 -->\n~~~yaml\na: 1\n~~~",
      "line 2: a directive stands before a block that is not `console`",
    ],
    ["~~~sh\na\n~~~", "line 1: commands stand in blocks of `console`, not of `sh`"],
    ["~~~console\na\n~~~", "line 2: output before the first command"],
    ["~~~console\n~~~", "line 1: a `console` block without a command"],
    [
      '<!-- run: background until "x" -->\n~~~console\n$ a\n$ b\n~~~',
      "line 2: a background block has one command",
    ],
  ];
  for (const [text, message] of cases) t.throws(() => parseBlocks(document(text)), { message }, message);
});

t.test("the blocks of a document are typed into one shell", async (t) => {
  const outcomes = await run(
    t,
    `
<!-- run: skip it is the reader's machine -->
~~~console
$ rm -rf everything
~~~

Save this as \`a.txt\`:

<!-- run: file a.txt -->
~~~text
from a file
~~~

~~~console
$ mkdir inner && NAME=someone
$ echo "hello, $NAME" >&2
hello, …
$ cat a.txt; pwd
from a file
/…
$ echo "[$NODE_OPTIONS]"
[]
~~~

<!-- run: cwd inner -->
<!-- run: exit 3 -->
~~~console
$ pwd
/…/inner
$ (exit 3)
~~~

~~~console
$ basename "$PWD" | grep -v inner
$ cat
~~~
`,
  );
  t.same(
    brief(outcomes).filter((line) => !line.endsWith(": passed")),
    ["4: rm -rf everything: skipped (it is the reader's machine)"],
  );
  t.equal(outcomes.length, 10);
});

t.test("the first failure ends the run, and says what was expected and what came", async (t) => {
  const text = (command: string): string => `~~~console\n$ ${command}\nexpected\n$ echo not reached\n~~~`;
  t.match(await run(t, text("echo came")), [
    { line: 2, state: "failed", why: /something else/, expected: ["expected"], got: ["came"] },
  ]);
  t.match(await run(t, text("echo expected; (exit 4)")), [{ state: "failed", why: "exit code 4, not 0" }]);
  t.match(await run(t, text("exit 0")), [{ state: "failed", why: "ended the shell" }]);
  t.match(await run(t, `<!-- run: limit 1s -->\n${text("echo before; sleep 60")}`), [
    { state: "failed", why: "did not end within 1 s", got: ["before"] },
  ]);
  t.match(await run(t, `<!-- run: cwd nowhere -->\n${text("echo expected")}`), [{ state: "failed" }]);
});

t.test(
  "a command shown as happening eventually is typed again until it does, or the time is up",
  async (t) => {
    const text = (last: number): string => `
<!-- run: eventually -->
<!-- run: limit 2s -->
~~~console
$ count=$((count + 1)); echo $((count < ${last} ? count : ${last}))
3
~~~
`;
    t.match(await run(t, text(3)), [{ state: "passed" }]);
    t.match(await run(t, text(2)), [{ state: "failed", got: ["2"] }]);
  },
);

/** A service that gets ready, and on Ctrl-C does as it is told. */
const service = (onInterrupt: string): string => `
~~~console
$ service() { bash -c 'trap "${onInterrupt}" INT; echo $$ > pid; echo ready; while :; do sleep 0.05; done'; }
~~~

<!-- run: background until "ready" -->
~~~console
$ service
~~~

~~~console
$ kill -0 "$(cat pid)"
~~~
`;

/** Whether the service of the test's last document still runs: a process that has ended may yet be a zombie. */
function isRunning(t: Test): boolean {
  const pid = readFileSync(`${t.testdirName}/pid`, "utf8").trim();
  return existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

t.test("a background command runs on, until Ctrl-C or the end of the document", async (t) => {
  const interrupt = `\n<!-- run: interrupt -->\n\n~~~console\n$ ! kill -0 "$(cat pid)"\n~~~\n`;
  const states = (outcomes: Outcome[]): string[] => outcomes.map(({ state }) => state);
  t.same(states(await run(t, service("exit 0") + interrupt)), Array(5).fill("passed"));
  t.same(states(await run(t, service("exit 0"))), Array(3).fill("passed"));
  t.notOk(isRunning(t), "nothing is left");
  t.match((await run(t, service("exit 7"))).at(-1), { state: "failed", why: /^exit code 7 after Ctrl-C/ });
  t.match((await run(t, "<!-- run: interrupt -->")).at(-1), {
    state: "failed",
    why: /no background command/,
  });
});

t.test("a background command that doesn't get ready, or doesn't end, is a failure", async (t) => {
  const never = (command: string): string =>
    `<!-- run: limit 1s -->\n<!-- run: background until "never" -->\n~~~console\n$ ${command}\n~~~`;
  t.match(await run(t, never("echo sorry")), [
    { state: "failed", why: 'ended without printing "never"', got: ["sorry"] },
  ]);
  t.match((await run(t, never("echo $$ > pid; exec sleep 60")))[0], {
    why: 'did not print "never" within 1 s',
  });
  t.match((await run(t, service("echo deaf"))).at(-1), { state: "failed", why: /still there 1 s after/ });
  t.notOk(isRunning(t), "it was ended all the same");
});
